"""What the documents name is there."""

import re
from pathlib import Path

import pytest

from tests.support.servers import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
TESTS = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    """Links to files of ours have their file."""
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
        assert (document.parent / target).exists(), f"{document.name}: {target}"


@pytest.mark.parametrize("document", ["verification.md", "security.md"])
def test_every_test_that_is_named_is_there(document: str) -> None:
    """By its function or its file."""
    files = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    for name in re.findall(r"\b(test_\w+)(\.py)?", (ROOT / "docs" / document).read_text()):
        there = "".join(name) in files if name[1] else f"def {name[0]}(" in TESTS
        assert there, "".join(name)


def test_every_boundary_has_its_test() -> None:
    """A line of security.md that believes or refuses something names who holds it, or says that nobody does."""
    lines = (ROOT / "docs" / "security.md").read_text().splitlines()
    for line in (line for line in lines if line.startswith("|")):
        held_by = line.rstrip("| ").rpartition("|")[2].strip()
        assert "test_" in held_by or held_by in ("held by", "---", "nobody"), line
