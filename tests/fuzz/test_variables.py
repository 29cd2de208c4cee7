"""Whatever stands in the environment: it is read, or named."""

import os
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from scheduler_project import environment
from scheduler_project.environment import VARIABLES, BadEnvironment
from tests.fuzz.meter import METERS
from tests.fuzz.mutants import mutants
from tests.fuzz.strategies import TEXT
from tests.support.examples import examples

_NAMES = [*(variable.name for variable in VARIABLES), "ENVIRONMENT", "NODE_ENV"]
_PARTS = st.sampled_from(
    [
        "redis://",
        "postgres://",
        "sqlite:///",
        "http://",
        "https://",
        "localhost",
        ":6379",
        "/0",
        "?",
        "a=b",
        "@",
        ":",
        ",",
        "/",
        "*",
        "[::1]",
        "%00",
        "name:secret-1",
        "os.getpid",
        "Europe/Berlin",
        "*/5",
        " * * * *",
        "-1",
        "1e9",
        "production",
    ]
)
_VALUE = (TEXT | st.lists(_PARTS, max_size=6).map("".join)).map(lambda text: text.encode("utf-8", "surrogatepass"))


@examples(10)
@given(
    drawn=st.dictionaries(st.sampled_from(_NAMES), _VALUE, min_size=1, max_size=4),
    mutated=st.sampled_from(_NAMES),
    seed=st.integers(0, 2**32),
)
def test_any_value_is_accepted_or_reported(drawn: dict[str, bytes], mutated: str, seed: int) -> None:
    """One line per error, which begins with the variable's name."""
    for value in mutants(drawn.get(mutated, next(iter(drawn.values()))), seed, 9):
        # An environment holds no NUL; bytes that are not UTF-8 come as halves of surrogate pairs.
        values = {name: os.fsdecode(one.replace(b"\0", b"")) for name, one in {**drawn, mutated: value}.items()}
        with METERS.one("variables"), patch.dict(os.environ, values):
            faults = faults_of_environment()

        assert all(fault.partition(":")[0] in _NAMES for fault in faults), faults


def faults_of_environment() -> list[str]:
    try:
        environment.read()
    except BadEnvironment as bad:
        return bad.faults
    return []
