"""The marks of what was applied."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from jobs.world.clock import WallTime, WorldTime
from jobs.world.marks import is_job_applied, read_mark, with_job, with_mark
from tests.support.worlds import moments


@given(moments, st.dictionaries(st.text(max_size=3), st.integers()))
def test_marks_are_read_as_written(moment: WorldTime, variables: dict[str, Any]) -> None:
    """A mark is found on its own clock only, and leaves the other variables alone."""
    marked = with_mark(variables, "X", moment)

    assert read_mark(marked, "X", WorldTime) == moment
    assert read_mark(marked, "X", WallTime) is None
    assert read_mark(with_mark(marked, "Y", WallTime(moment.at)), "X", WorldTime) is None
    assert {k: v for k, v in marked.items() if k != "schedulerMarks"} == variables


def test_the_last_jobs_submitted_by_hand_are_marked() -> None:
    """Twenty of them."""
    variables: dict[str, Any] = {}
    for n in range(25):
        variables = with_job(variables, "X", str(n))

    assert is_job_applied(variables, "X", "24")
    assert is_job_applied(variables, "X", "5")
    assert not is_job_applied(variables, "X", "4")
