"""What a calendar is, and its arithmetic: exact integers, for any year before or after its epoch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from jobs.world.calendars.checks import check
from jobs.world.calendars.parts import Date, LeapRule, Month
from jobs.world.clock import WorldTime, ticks_of

SECOND: Final = 1_000_000  #: ticks
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
FIRST: Final = WorldTime.parse("0001-01-01T00:00:00Z")


@dataclass(frozen=True)
class Calendar:
    """The months, the week, the day and the leap rules of a world. Raises InvalidCalendar, which names the field."""

    name: str
    months: tuple[Month, ...]
    weekdays: tuple[str, ...] = ()
    hours_per_day: int = 24
    leap_rules: tuple[LeapRule, ...] = ()
    epoch: WorldTime = FIRST  #: when the first day of `epoch_year` begins
    epoch_year: int = 1
    first_weekday: int = 0  #: the place in the week of the first day that has a weekday, from the epoch on
    era: str = ""  #: stands after the year
    era_before: str = ""  #: stands after years before 1, which count backwards from 1; without it they are negative

    def __post_init__(self) -> None:
        check(self)

    @property
    def day(self) -> int:
        """The ticks of a day."""
        return self.hours_per_day * HOUR

    def lengths(self, year: int) -> list[int]:
        """How many days each month has in that year."""
        extra: dict[str, int] = {}
        for rule in self.leap_rules:
            if rule.is_leap(year):
                extra[rule.month] = extra.get(rule.month, 0) + rule.days
        return [month.days + extra.get(month.name, 0) for month in self.months]

    def to_date(self, ticks: int) -> Date:
        """The date of a moment, given in ticks of jobs/world/clock.py."""
        days, rest = divmod(ticks - self._epoch, self.day)
        year = self._year_of(days)
        days -= self._all.before(year)
        month = 0
        for length in self.lengths(year):
            if days < length:
                break
            days -= length
            month += 1
        hour, rest = divmod(rest, HOUR)
        minute, rest = divmod(rest, MINUTE)
        return Date(year, month, days + 1, hour, minute, *divmod(rest, SECOND))

    def from_date(self, date: Date) -> int:
        """The ticks of a date. Raises ValueError naming the part that does not exist."""
        self._check(date)
        days = self._all.before(date.year) + sum(self.lengths(date.year)[: date.month]) + date.day - 1
        time = date.hour * HOUR + date.minute * MINUTE + date.second * SECOND + date.microsecond
        return self._epoch + days * self.day + time

    def next_time_of_day(self, ticks: int, hour: int, minute: int) -> int:
        """The first moment after `ticks` at which its clocks show that time. Raises ValueError naming the part."""
        _check_units(Date(0, 0, 1, hour, minute), self.hours_per_day)
        at = ticks - (ticks - self._epoch) % self.day + hour * HOUR + minute * MINUTE
        return at if at > ticks else at + self.day

    def weekday(self, date: Date) -> str:
        """The name of its day of the week; empty for a day without one."""
        if not self.weekdays or not self.months[date.month].in_week:
            return ""
        earlier = zip(self.months[: date.month], self.lengths(date.year), strict=False)
        days = sum(length for month, length in earlier if month.in_week) + date.day - 1
        return self.weekdays[(self.first_weekday + self._in_week.before(date.year) + days) % len(self.weekdays)]

    def _check(self, date: Date) -> None:
        if not 0 <= date.month < len(self.months):
            raise ValueError(f"month: the year has {len(self.months)} parts, not {date.month + 1}")
        length, name = self.lengths(date.year)[date.month], self.months[date.month].name
        if not length:
            raise ValueError(f"month: {name} does not occur in the year {date.year}")
        if not 1 <= date.day <= length:
            raise ValueError(f"day: {name} has days 1 to {length} in that year, not {date.day}")
        _check_units(date, self.hours_per_day)

    def _year_of(self, days: int) -> int:
        """The year of a day, counted from the epoch. It steps by the longest year, so it never steps too far."""
        year, longest = self.epoch_year, self._longest
        while (early := self._all.before(year) - days) > 0:
            year -= -(-early // longest)
        while (late := days - self._all.before(year + 1)) >= 0:
            year += late // longest + 1
        return year

    @cached_property
    def _epoch(self) -> int:
        return ticks_of(self.epoch)

    @cached_property
    def _longest(self) -> int:
        return sum(month.days for month in self.months) + sum(rule.days for rule in self.leap_rules)

    @cached_property
    def _all(self) -> "_Days":
        return _Days(self.months, self.leap_rules, self.epoch_year)

    @cached_property
    def _in_week(self) -> "_Days":
        return _Days((month for month in self.months if month.in_week), self.leap_rules, self.epoch_year)


def _check_units(date: Date, hours_per_day: int) -> None:
    units = (("hour", hours_per_day), ("minute", 60), ("second", 60), ("microsecond", SECOND))
    for unit, many in units:
        if not 0 <= getattr(date, unit) < many:
            raise ValueError(f"{unit}: must be 0 to {many - 1}, not {getattr(date, unit)}")


class _Days:
    """Counts the days of some months."""

    def __init__(self, months: Iterable[Month], rules: Sequence[LeapRule], epoch_year: int) -> None:
        days = {month.name: month.days for month in months}
        self._ordinary = sum(days.values())
        self._rules = [rule for rule in rules if rule.month in days]
        self._epoch_year = epoch_year

    def before(self, year: int) -> int:
        """The days from the beginning of the epoch's year to the beginning of `year`; negative for earlier years."""
        leap = sum(rule.days * (rule.before(year) - rule.before(self._epoch_year)) for rule in self._rules)
        return (year - self._epoch_year) * self._ordinary + leap
