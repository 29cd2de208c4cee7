"""Due times and intervals."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from jobs.world.clock import WorldTime, later
from jobs.world.due import MOST_OCCURRENCES, Due, due_by, interval
from tests.support.worlds import moments


@given(moments, st.integers(1, 10**7), st.integers(0, 10**5), st.integers(0, 10**5))
def test_due_times_are_counted_once(first: WorldTime, seconds: int, a: int, b: int) -> None:
    """Those due by one reading and then by a later one are those due by the later one."""
    every, reading = timedelta(seconds=seconds), later(first, timedelta(minutes=a))
    last = later(reading, timedelta(minutes=b)) if reading else None
    if reading is None or last is None:
        return
    sooner, all_of_it = due_by(first, every, reading), due_by(first, every, last)

    assert sooner is not None
    assert all_of_it is not None
    rest = due_by(later(sooner.last, every), every, last)
    assert sooner.occurrences + (rest.occurrences if rest else 0) == all_of_it.occurrences
    assert all_of_it.last == (rest.last if rest else sooner.last)
    assert due_by(later(all_of_it.last, every), every, last) is None


def test_intervals_shrink_with_the_level() -> None:
    """1.0, 0.9, 0.8, 0.7, 0.6 for levels 1 to 5, 0.6 above, and a level below 1 counts as 1."""
    hours = [interval(timedelta(hours=10), level) / timedelta(hours=1) for level in range(8)]

    assert hours == [10, 10, 9, 8, 7, 6, 6, 6]


def test_a_job_applies_a_bounded_number_of_occurrences() -> None:
    """From the year 1 to 9999 second by second: MOST_OCCURRENCES, and the next job continues."""
    first, last = WorldTime.parse("0001-01-01T00:00:00Z"), WorldTime.parse("9999-12-31T23:59:59Z")

    due = due_by(first, timedelta(seconds=1), last)

    assert due == Due(WorldTime(first.at + timedelta(seconds=MOST_OCCURRENCES - 1)), MOST_OCCURRENCES)
