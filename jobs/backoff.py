"""The backoff between two attempts of a job, and between two jobs for the same work."""

from datetime import timedelta
from random import Random
from typing import Final

LONGEST: Final = timedelta(hours=1)
_MOST_DOUBLINGS: Final = 17  # of a second: a day and a half


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


def pause_before_repeating(again: int) -> timedelta:
    """The wait after the end of the job number `again` (from 0) for some work, before there is another.

    >>> [pause_before_repeating(n).total_seconds() for n in (0, 1, 2, 3)]
    [0.0, 1.0, 3.0, 7.0]
    """
    return timedelta(seconds=2 ** min(again, _MOST_DOUBLINGS) - 1)


class _NoJitter(Random):
    def random(self) -> float:
        return 0.0
