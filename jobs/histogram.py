"""Histograms of how long jobs waited, which add up over minutes, types and workers, and their percentiles."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

#: Upper bounds in milliseconds. Longer waits only count in the row's `jobs`. 1,000 is the objective.
BOUNDS_MS: Final = (10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 15_000, 60_000, 300_000)
COLUMNS: Final = tuple(f"waited_{bound}" for bound in BOUNDS_MS)  #: of jobs.models.OutcomeMinute
OBJECTIVE_MS: Final = 1_000  #: a job should start within this time after its due time ...
OBJECTIVE_SHARE: Final = 0.95  #: ... in this share of cases


def count_waits(waits_ms: Iterable[float]) -> tuple[int, ...]:
    """Count the waits in each bucket: above the previous bound, up to and including its own.

    >>> count_waits([3.0, 10.0, 11.0, 9e9])[:3]
    (2, 1, 0)
    """
    buckets = [0] * (len(BOUNDS_MS) + 1)
    for wait in waits_ms:
        buckets[bisect_left(BOUNDS_MS, wait)] += 1
    return tuple(buckets[:-1])


def percentile(share: float, buckets: Sequence[int], *, jobs: int, longest_ms: float) -> float | None:
    """The wait in milliseconds that `share` of the jobs did not exceed, interpolated linearly; None without jobs.

    Like Prometheus's histogram_quantile, except that the longest wait is known and bounds the last bucket.

    >>> percentile(0.5, (0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), jobs=10, longest_ms=20.0)
    15.0
    """
    if jobs <= 0:
        return None
    wanted, below, lower = share * jobs, 0.0, 0.0
    for bound, count in zip((*BOUNDS_MS, longest_ms), (*buckets, jobs - sum(buckets)), strict=True):
        upper = max(lower, min(float(bound), longest_ms))
        if count > 0 and below + count >= wanted:
            return lower + (upper - lower) * (wanted - below) / count
        below, lower = below + max(0, count), upper
    return longest_ms


def within(bound_ms: int, buckets: Sequence[int]) -> int:
    """Count the waits up to `bound_ms`, which is one of BOUNDS_MS."""
    return sum(buckets[: BOUNDS_MS.index(bound_ms) + 1])
