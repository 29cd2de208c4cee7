"""Catalogues of translations."""

import shutil
import subprocess
from gettext import GNUTranslations
from pathlib import Path

import pytest

needs_gettext = pytest.mark.skipif(
    shutil.which("msgfmt") is None, reason="no GNU gettext here: apt-get install gettext"
)


def stale(folder: Path, scratch: Path) -> list[Path]:
    """The catalogues of a folder whose compiled file is missing, or says something else."""
    compiled = scratch / "compiled.mo"
    found = []
    for source in sorted(folder.glob("*/LC_MESSAGES/django.po")):
        subprocess.run(["msgfmt", "--output-file", str(compiled), str(source)], check=True)
        there = source.with_suffix(".mo")
        if not there.exists() or texts(there) != texts(compiled):
            found.append(source)
    return found


def texts(compiled: Path) -> dict[object, str]:
    """What a compiled catalogue says, without the times in its header."""
    with compiled.open("rb") as file:
        said = vars(GNUTranslations(file))["_catalog"]
    return {text: translation for text, translation in said.items() if text}
