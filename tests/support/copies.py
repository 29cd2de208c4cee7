"""Copies of the project's files that nobody changes in place."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any


def copy_files(source: Path, to: Path, ignore: Callable[[Any, list[str]], set[str]] | None = None) -> None:
    """A file or a folder, by hard links: to copy the content of a thousand files takes a second of CPU."""
    if source.is_dir():
        shutil.copytree(source, to, ignore=ignore, copy_function=_link)
    else:
        _link(source, to)


def _link(source: str | Path, to: str | Path) -> None:
    try:
        os.link(source, to)
    except OSError:  # on another file system
        shutil.copy2(source, to)
