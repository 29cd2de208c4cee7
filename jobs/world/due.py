"""Due times of recurring events: intervals by level, and what is due by a time. Which comes next: entity.py."""

from datetime import timedelta
from functools import lru_cache
from typing import Any, Final, Generic, NamedTuple, cast

from jobs.world.clock import M

MOST_OCCURRENCES: Final = 20_000_000  # per job, over 2,000 years of hours; the rest is due once these are applied
LEVEL_FACTORS: Final = (1.0, 0.9, 0.8, 0.7, 0.6)  # levels 1 to 5; every later level keeps the last
SHORTEST_FROM: Final = len(LEVEL_FACTORS)  # the level from which intervals shrink no further


@lru_cache(maxsize=1024)
def interval(base: timedelta, level: int) -> timedelta:
    """The time between two events of a settlement or structure at `level`; a level below 1 counts as 1.

    >>> interval(timedelta(minutes=60), level=3)
    datetime.timedelta(seconds=2880)
    """
    return base * LEVEL_FACTORS[max(1, min(level, len(LEVEL_FACTORS))) - 1]


@lru_cache(maxsize=1024)
def interval_of(ticks: int) -> timedelta:
    """So many microseconds."""
    return timedelta(microseconds=ticks)


@lru_cache(maxsize=1024)
def in_ticks(every: timedelta) -> int:
    """An interval in microseconds."""
    return every // timedelta(microseconds=1)


class Due(NamedTuple, Generic[M]):
    """A number of due times, and the last of them."""

    last: M
    occurrences: int


def due_by(first: M | None, every: timedelta, reading: M) -> Due[M] | None:
    """The due times first, first + every, … up to `reading`, at most MOST_OCCURRENCES; None if there are none.

    Raises ValueError if `every` is not positive.
    """
    return cast("Due[M] | None", _due_by(cast("Any", first), every, cast("Any", reading), MOST_OCCURRENCES))


@lru_cache(maxsize=4096)  # most entities of a campaign are due at the same times
def _due_by(first: Any, every: timedelta, reading: Any, most: int) -> Due[Any] | None:
    if every <= timedelta(0):
        raise ValueError(f"the interval must be positive, got {every}")
    if first is None or first > reading:
        return None
    steps = min((reading.at - first.at) // every, most - 1)
    return Due(type(first)(first.at + steps * every), steps + 1)
