"""How durations are written."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_project.durations import duration


@pytest.mark.parametrize(
    ("length", "written"),
    [
        (timedelta(0), "0.0 ms"),
        (timedelta(milliseconds=0.4), "0.4 ms"),
        (timedelta(milliseconds=18), "18 ms"),
        (timedelta(seconds=1), "1.0 s"),
        (timedelta(seconds=59.5), "59.5 s"),
        (timedelta(seconds=60), "1 min"),
        (timedelta(seconds=90), "1 min 30 s"),
        (timedelta(hours=3, minutes=5, seconds=9), "3 h 5 min"),
        (timedelta(days=2, seconds=1), "2 d 1 s"),
    ],
)
def test_a_duration_has_two_units_at_most(length: timedelta, written: str) -> None:
    """From a fraction of a millisecond to days; the sign does not matter."""
    assert duration(length) == duration(-length) == written


@given(st.timedeltas())
def test_any_duration_can_be_written(length: timedelta) -> None:
    """A number and its unit, once or twice."""
    parts = duration(length).split()
    assert len(parts) in (2, 4)
    assert set(parts[1::2]) <= {"ms", "s", "min", "h", "d"}
