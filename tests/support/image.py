"""The Dockerfile and the Compose file."""

import re
from pathlib import Path
from typing import Any

import yaml

from tests.support.copies import copy_files
from tests.support.servers import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def stages() -> dict[str, list[str]]:
    """What each stage of the Dockerfile that is named copies from here."""
    copied: dict[str, list[str]] = {}
    for text in re.split(r"^FROM ", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)[1:]:
        if name := re.match(r"\S+ AS (\w+)", text):
            sources = re.findall(r"^COPY ([^-].*) \S+$", text, re.MULTILINE)
            copied[name[1]] = [source for each in sources for source in each.split()]
    return copied


def copy_stage(name: str, to: Path) -> None:
    """The files of a stage of the image: none may be changed in place."""
    for source in stages()[name]:
        copy_files(ROOT / source, to / source)


def variables_of(path: Path) -> dict[str, str]:
    """The variables of an environment file."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def fill_in(text: str, variables: dict[str, str]) -> str:
    """`text` as Compose fills in ${NAME}, ${NAME:-default} and ${NAME:?message}. Raises KeyError for one it refuses."""

    def value(match: re.Match[str]) -> str:
        name, operator, rest = match.groups()
        return variables.get(name) or (rest if operator == ":-" else variables[name])

    return re.sub(r"\$\{(\w+)(?:(:-|:\?)([^}]*))?\}", value, text)
