"""Prints how much was tried, by all processes together."""

from typing import Any

import pytest

from tests.fuzz.meter import METERS


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process of pytest-xdist hands its figures over."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["inputs"] = METERS.figures


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the figures of a process of pytest-xdist."""
    METERS.add(getattr(node, "workeroutput", {}).get("inputs", {}))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the totals."""
    if METERS.figures:
        terminalreporter.section("inputs")
        for line in METERS.lines():
            terminalreporter.write_line(line)
