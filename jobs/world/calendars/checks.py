"""What makes a calendar sound; each fault names its field."""

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from jobs.world.calendars.parts import LeapRule, Month

MOST_MONTHS: Final = 60
MOST_DAYS: Final = 1000  #: of a month
MOST_WEEKDAYS: Final = 60
MOST_HOURS: Final = 100  #: of a day
MOST_RULES: Final = 20
MOST_YEARS: Final = 1_000_000  #: of a leap rule, or before the epoch
LONGEST_NAME: Final = 60
_SIGNS: Final = frozenset(",:")  #: what separates the parts of a date


class CalendarFields(Protocol):
    """The fields to check, before they make a calendar."""

    @property
    def name(self) -> str: ...
    @property
    def months(self) -> Sequence[Month]: ...
    @property
    def weekdays(self) -> Sequence[str]: ...
    @property
    def hours_per_day(self) -> int: ...
    @property
    def leap_rules(self) -> Sequence[LeapRule]: ...
    @property
    def epoch_year(self) -> int: ...
    @property
    def first_weekday(self) -> int: ...
    @property
    def era(self) -> str: ...
    @property
    def era_before(self) -> str: ...


class InvalidCalendar(ValueError):
    """A calendar that cannot be."""

    def __init__(self, field: str, fault: str) -> None:
        super().__init__(f"{field}: {fault}")
        self.field, self.fault = field, fault


def check(calendar: CalendarFields) -> None:
    """Raise InvalidCalendar for the first fault."""
    for field, fault in _faults(calendar):
        raise InvalidCalendar(field, fault)


def _faults(calendar: CalendarFields) -> Iterator[tuple[str, str]]:
    yield from _name_faults("name", [calendar.name])
    yield from _month_faults(calendar.months)
    yield from _many("weekdays", len(calendar.weekdays), 0, MOST_WEEKDAYS)
    yield from _name_faults("weekdays", calendar.weekdays)
    yield from _many("hours_per_day", calendar.hours_per_day, 1, MOST_HOURS)
    yield from _many("leap_rules", len(calendar.leap_rules), 0, MOST_RULES)
    for number, rule in enumerate(calendar.leap_rules, 1):
        for fault in _rule_faults(rule, calendar.months):
            yield "leap_rules", f"rule {number}: {fault}"
    yield from _many("epoch_year", calendar.epoch_year, -MOST_YEARS, MOST_YEARS)
    yield from _many("first_weekday", calendar.first_weekday, 0, max(0, len(calendar.weekdays) - 1))
    for field, era in (("era", calendar.era), ("era_before", calendar.era_before)):
        yield from _name_faults(field, [era] if era else [])
        if any(letter.isdigit() for letter in era):
            yield field, f"{era!r} has a digit"
    if calendar.era and calendar.era.casefold() == calendar.era_before.casefold():
        yield "era_before", "it must differ from the era"


def _month_faults(months: Sequence[Month]) -> Iterator[tuple[str, str]]:
    yield from _many("months", len(months), 1, MOST_MONTHS)
    yield from _name_faults("months", [month.name for month in months])
    for month in months:
        for _, fault in _many("days", month.days, 0, MOST_DAYS):
            yield "months", f"{month.name}: days {fault}"
    if not any(month.days for month in months):
        yield "months", "a year needs a day"


def _rule_faults(rule: LeapRule, months: Sequence[Month]) -> Iterator[str]:
    if rule.month not in {month.name for month in months}:
        yield f"{rule.month!r} is no month"
    for name, value, least, most in (("days", rule.days, 1, MOST_DAYS), ("first", rule.first, -MOST_YEARS, MOST_YEARS)):
        yield from (f"{name} {fault}" for _, fault in _many(name, value, least, most))
    if not rule.every:
        yield "every needs a number of years"
    for years in rule.every:
        yield from (f"every {fault}" for _, fault in _many("every", years, 1, MOST_YEARS))
    for shorter, longer in zip(rule.every, rule.every[1:], strict=False):
        if longer % shorter or longer == shorter:
            yield f"every: {longer} must be a multiple of {shorter}"


def _many(field: str, value: int, least: int, most: int) -> Iterator[tuple[str, str]]:
    if not least <= value <= most:
        yield field, f"must be {least:,} to {most:,}, not {value:,}"


def _name_faults(field: str, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """A name is found again in a written date: it begins with no digit, and nothing in it separates parts of a date."""
    seen = set()
    for name in names:
        if not name or name != " ".join(name.split()) or not name.isprintable():
            yield field, f"{name!r} is empty, or has surplus spaces or characters that cannot be printed"
        if len(name) > LONGEST_NAME:
            yield field, f"{name[:20]!r}… has more than {LONGEST_NAME} characters"
        if not name[:1].isalpha() or _SIGNS & set(name):
            yield field, f"{name!r} must begin with a letter and have no comma or colon"
        if name.casefold() in seen:
            yield field, f"{name!r} is there twice"
        seen.add(name.casefold())
