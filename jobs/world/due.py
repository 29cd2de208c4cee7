"""When something is due that comes again and again."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Generic

from jobs.world.clock import M

MOST_OCCURRENCES: Final = 20_000_000  # of one job, 2,000 years of hours; the rest is due once these are applied
LEVEL_FACTORS: Final = (1.0, 0.9, 0.8, 0.7, 0.6)  # levels 1 to 5; every later level keeps the last


def interval(base: timedelta, level: int) -> timedelta:
    """How long a settlement or structure of `level` waits between two events; a level below 1 counts as 1.

    >>> interval(timedelta(minutes=60), level=3)
    datetime.timedelta(seconds=2880)
    """
    return base * LEVEL_FACTORS[max(1, min(level, len(LEVEL_FACTORS))) - 1]


@dataclass(frozen=True, slots=True)
class Due(Generic[M]):
    """How many due times have come, and the last of them."""

    last: M
    occurrences: int


def due_by(first: M | None, every: timedelta, reading: M) -> Due[M] | None:
    """The due times first, first + every, … that a clock showing `reading` has reached, at most MOST_OCCURRENCES.

    None for none.

    Raises ValueError when `every` is not positive.
    """
    if every <= timedelta(0):
        raise ValueError(f"the interval must be positive, got {every}")
    if first is None or first > reading:
        return None
    steps = min((reading.at - first.at) // every, MOST_OCCURRENCES - 1)
    return Due(type(first)(first.at + steps * every), steps + 1)


def outstanding(due: Due[M], every: timedelta, mark: M | None) -> int:
    """How many of the due times lie after `mark`, the last one that was applied: 0 to `due.occurrences`.

    Raises ValueError when `every` is not positive.
    """
    if every <= timedelta(0):
        raise ValueError(f"the interval must be positive, got {every}")
    if mark is None:
        return due.occurrences
    if mark >= due.last:
        return 0
    return min(due.occurrences, -((mark.at - due.last.at) // every))
