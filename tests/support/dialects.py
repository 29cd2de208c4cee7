"""Marks tests that run against every dialect of the sandbox."""

import pytest

from sandbox.dialect import DIALECTS

in_each_dialect = pytest.mark.parametrize("sandbox", DIALECTS, indirect=True)
