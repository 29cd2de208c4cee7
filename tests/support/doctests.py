"""Doctests are looked for only in modules that have some: to look through every object of all takes a second."""

from collections.abc import Generator
from pathlib import Path

import pytest

_PROMPT = b">>> "


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Drop the DoctestModule of a file without a prompt; tests that the file defines are collected all the same."""
    found = yield
    if any(type(one).__name__ == "DoctestModule" for one in found) and _PROMPT not in file_path.read_bytes():
        return [one for one in found if type(one).__name__ != "DoctestModule"]
    return found
