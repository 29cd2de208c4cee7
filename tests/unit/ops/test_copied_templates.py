"""Templates that replace unfold's are copies of them: a new version of unfold may have changed the originals."""

import hashlib
from pathlib import Path
from typing import Final

import pytest
import unfold

from tests.support.servers import ROOT

ORIGINALS: Final = Path(unfold.__file__).parent / "templates"
#: The digest of each original that its copy was last compared with.
COMPARED: Final = {
    "admin/base.html": "2ce9250b3c649e3a",
    "unfold/helpers/app_list.html": "6ab83ac498b2f50f",
    "unfold/helpers/empty_results.html": "5f4727a37a99da76",
    "unfold/helpers/header_title.html": "b126ed2ab9ca1680",
    "unfold/helpers/messages.html": "9e37d808b5122af1",
    "unfold/helpers/navigation_header.html": "35139b9d94580be9",
    "unfold/helpers/navigation_user.html": "4c9ba58b3f215326",
    "unfold/helpers/site_icon.html": "e35b87d138cd96c9",
    "unfold/helpers/welcomemsg.html": "e8eab02522ba2319",
    "unfold/layouts/skeleton.html": "66af9f0bb45f98ba",
    "unfold/layouts/unauthenticated.html": "768501529f1a8dae",
    "unfold/widgets/select.html": "33286510ee2c7fb0",
    "unfold/widgets/text.html": "95b51fac8ec3a40f",
}


@pytest.mark.parametrize("name", COMPARED)
def test_a_copy_was_compared_with_its_original(name: str) -> None:
    """If this fails after an upgrade: bring what changed into ops/templates, then the new digest here."""
    digest = hashlib.sha256((ORIGINALS / name).read_bytes()).hexdigest()

    assert digest.startswith(COMPARED[name])


def test_every_copy_of_the_theme_is_compared() -> None:
    folder = ROOT / "ops" / "templates"
    copies = {str(path.relative_to(folder)) for path in (folder / "unfold").rglob("*.html")}

    assert copies == {name for name in COMPARED if name.startswith("unfold/")}
