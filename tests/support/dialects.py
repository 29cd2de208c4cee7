"""Marks tests that run against every dialect of the sandbox, and lets time move in each."""

import pytest

from sandbox.dialect import DIALECTS
from tests.support.environment import DIALECT
from tests.support.servers import SandboxApi

in_each_dialect = pytest.mark.parametrize("sandbox", DIALECTS, indirect=True)


def let_time_move(sandbox: SandboxApi) -> None:
    """As served today the main API refuses every advance (point 11): without that, where tests run against it."""
    if DIALECT == "today":
        sandbox.control("POST", "dialect", {"points": sorted(DIALECTS["today"] - {11})})
