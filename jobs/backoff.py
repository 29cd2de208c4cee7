"""The backoff between two attempts of a job."""

from datetime import timedelta
from random import Random
from typing import Final

LONGEST: Final = timedelta(hours=1)


def backoff(base: timedelta, failures: int, *, random: Random) -> timedelta:
    """The wait after the `failures`-th failure (from 1): base * 2**(failures - 1), at most an hour, with jitter.

    The jitter is 0 to +20 %, so that jobs that failed together do not retry together, and none retries early
    (exponential backoff with jitter, as in "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).

    >>> [backoff(timedelta(seconds=5), n, random=_NoJitter()).total_seconds() for n in (1, 2, 3)]
    [5.0, 10.0, 20.0]
    """
    doublings = min(failures - 1, 40)
    wait = min(LONGEST, base * 2**doublings) if base * 2 ** min(doublings, 20) < LONGEST else LONGEST
    return wait * (1 + 0.2 * random.random())


class _NoJitter(Random):
    def random(self) -> float:
        return 0.0
