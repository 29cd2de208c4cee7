"""The wait between attempts."""

from datetime import timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from jobs.backoff import LONGEST, backoff


@given(st.integers(1, 3_600_000), st.integers(1, 10_000), st.integers())
def test_backoff_grows_to_its_limit(base_ms: int, failures: int, seed: int) -> None:
    """Never below the doubled base, never above an hour and its jitter."""
    base = timedelta(milliseconds=base_ms)
    wait = backoff(base, failures, random=Random(seed))

    assert min(base, LONGEST) <= wait <= LONGEST * 1.2
