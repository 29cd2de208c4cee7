"""The parts of a calendar and of a date."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Month:
    """A part of the year: a month, or days that belong to none."""

    name: str
    days: int  #: 0: it exists only in years in which a leap rule gives it days
    intercalary: bool = False  #: a festival between the months
    in_week: bool = True  #: False: its days have no weekday, and the week goes on after them


@dataclass(frozen=True, slots=True)
class LeapRule:
    """Gives days to a month every n years, except every m years, unless every k years, and so on.

    >>> rule = LeapRule("February", (4, 100, 400))
    >>> [year for year in (1896, 1898, 1900, 2000) if rule.is_leap(year)]
    [1896, 2000]
    """

    month: str
    every: tuple[int, ...]  #: n, m, k, …: each a multiple of the one before it
    days: int = 1
    first: int = 0  #: a year in which all of `every` coincide

    def before(self, year: int) -> int:
        """How many leap years there are before `year`, from a fixed one on: only differences mean something."""
        passed = year - 1 - self.first
        return sum((-1) ** i * (passed // every) for i, every in enumerate(self.every))

    def is_leap(self, year: int) -> bool:
        return self.before(year + 1) > self.before(year)


@dataclass(frozen=True, slots=True, order=True)
class Date:
    """A moment of a calendar. Year 0 is the one before year 1; `month` is its place in the year, from 0."""

    year: int
    month: int
    day: int = 1
    hour: int = 0
    minute: int = 0
    second: int = 0
    microsecond: int = 0
