"""The jobs of events: each event, and each of its jobs, has its own subject."""

from hypothesis import given
from hypothesis import strategies as st

from jobs.triggers.due import subject_of

_EVENT = st.from_regex(r"\A[e:0-9٣]{1,6}\Z")
_AGAIN = st.integers(0, 12)


@given(first=st.tuples(_EVENT, _AGAIN), second=st.tuples(_EVENT, _AGAIN))
def test_no_two_jobs_have_one_subject(first: tuple[str, int], second: tuple[str, int]) -> None:
    """Else the one would count as submitted once the other is."""
    assert (subject_of(*first) == subject_of(*second)) == (first == second)
