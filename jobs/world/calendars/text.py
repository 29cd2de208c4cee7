"""Writes dates as people do, and reads what they write: "12 Mirtul 1372, 18:00"."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from jobs.world.calendars.calendar import Calendar
from jobs.world.calendars.parts import Date
from jobs.world.clock import WorldTime, moment_at, ticks_of

LONGEST: Final = 200  #: characters of a written date
_ISO: Final = re.compile(r"\d{4}-\d\d-\d\d")
_DAY: Final = r"(?P<day>\d{1,4})(?:st|nd|rd|th|\.)?"
_YEAR: Final = r"(?P<year>[+-]?\d{1,9})"
_TIME: Final = (
    r"(?:[\s,]+(?:at\s+)?(?P<hour>\d{1,3}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.(?P<fraction>\d{1,6}))?)?)?"
)


def format_date(calendar: Calendar, ticks: int, *, with_year: bool = True, precise: bool = False) -> str:
    """To the minute, or with `precise` as exactly as parse_date reads it back."""
    date = calendar.to_date(ticks)
    return f"{format_day(calendar, date, with_year=with_year)}, {_time_text(date, precise=precise)}"


def format_day(calendar: Calendar, date: Date, *, with_year: bool = True) -> str:
    """A date without its time."""
    month = calendar.months[date.month]
    alone = month.intercalary and calendar.lengths(date.year)[date.month] == 1
    day = month.name if alone else f"{date.day} {month.name}"
    return f"{day} {format_year(calendar, date.year)}" if with_year else day


def format_year(calendar: Calendar, year: int) -> str:
    """With the era; years before the first are counted backwards where the calendar has a word for them."""
    if calendar.era_before and year < 1:
        return f"{1 - year} {calendar.era_before}"
    return f"{year} {calendar.era}".rstrip()


def format_world_time(calendar: Calendar, moment: WorldTime) -> str:
    """To the minute."""
    return format_date(calendar, ticks_of(moment))


def parse_world_time(calendar: Calendar, text: str) -> WorldTime:
    """Read a date of the calendar, or ISO 8601, in UTC if it has no offset.

    Raises ValueError naming the part that is wrong.
    """
    written = " ".join(text.split())
    if _ISO.match(written):
        try:
            at = datetime.fromisoformat(written.replace("z", "Z"))
        except ValueError as error:
            raise ValueError(f"{written[:LONGEST]!r} is not an ISO 8601 time: {error}") from None
        return WorldTime(at if at.tzinfo else at.replace(tzinfo=UTC))
    try:
        return moment_at(parse_date(calendar, written), WorldTime)
    except OverflowError:
        raise ValueError(f"{written!r} lies outside the years 0001 to 9999 of world time") from None


def parse_date(calendar: Calendar, text: str) -> int:
    """The ticks of a written date. Raises ValueError naming the part that is wrong.

    The day may stand before or after the month, and the weekday in front; a month may be cut short while no other
    begins alike. Midnight without a time.
    """
    written = " ".join(text.split())
    if len(written) > LONGEST:
        raise ValueError(f"a date has at most {LONGEST} characters")
    month, found = _find(calendar, written)
    year = _read_year(calendar, int(found["year"]), found["era"])
    day = int(found["day"]) if found["day"] else _only_day(calendar, year, month)
    fraction = (found["fraction"] or "").ljust(6, "0")
    hour, minute, second = (int(found[part] or 0) for part in ("hour", "minute", "second"))
    date = Date(year, month, day, hour, minute, second, int(fraction))
    ticks = calendar.from_date(date)
    weekday = found["weekday"]
    if weekday and weekday.casefold() != calendar.weekday(date).casefold():
        is_a = f"a {calendar.weekday(date)}" if calendar.weekday(date) else "no day of the week"
        raise ValueError(f"weekday: {format_date(calendar, ticks)} is {is_a}, not a {weekday}")
    return ticks


def _find(calendar: Calendar, written: str) -> tuple[int, re.Match[str]]:
    """The month's place and the parts of a written date."""
    for month, pattern in _patterns(calendar):
        if found := pattern.fullmatch(written):
            return month, found
    found = _any_month(calendar).fullmatch(written)
    if found is None:
        example = format_date(calendar, ticks_of(calendar.epoch))
        raise ValueError(f"{written!r} is not a date such as {example!r}, nor ISO 8601")
    typed = found["month"].rstrip(".")
    like = [i for i, month in enumerate(calendar.months) if month.name.casefold().startswith(typed.casefold())]
    if len(like) == 1:
        return like[0], found
    names = ", ".join(calendar.months[i].name for i in like or range(len(calendar.months)))
    raise ValueError(f"month: {typed!r} is {'more than one of' if like else 'none of'} {names}")


@lru_cache(maxsize=64)
def _patterns(calendar: Calendar) -> tuple[tuple[int, re.Pattern[str]], ...]:
    """How a date of each month is written. Longer names come first, for one may begin with another."""
    longest_first = sorted(range(len(calendar.months)), key=lambda i: -len(calendar.months[i].name))
    return tuple(
        (month, re.compile(pattern, flags))
        for flags in (re.NOFLAG, re.IGNORECASE)
        for month in longest_first
        for pattern in _orders(calendar, re.escape(calendar.months[month].name))
    )


@lru_cache(maxsize=64)
def _any_month(calendar: Calendar) -> re.Pattern[str]:
    day_first, _ = _orders(calendar, r"(?P<month>[^\W\d][^,:]*?)")
    return re.compile(day_first, re.IGNORECASE)


def _orders(calendar: Calendar, month: str) -> Iterator[str]:
    """The day first, as in "12 Mirtul 1372", and the month first, as in "Mirtul 12, 1372"."""
    weekdays, eras = (
        "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True)) or r"(?!)"
        for names in (calendar.weekdays, [era for era in (calendar.era, calendar.era_before) if era])
    )
    weekday, era = rf"(?:(?P<weekday>{weekdays})[\s,]+)?", rf"(?:\s*(?P<era>{eras}))?"
    yield rf"{weekday}(?:{_DAY}\s+(?:of\s+)?)?{month}[\s,]+{_YEAR}{era}{_TIME}"
    yield rf"{weekday}{month}\s+{_DAY}[\s,]+{_YEAR}{era}{_TIME}"


def _read_year(calendar: Calendar, number: int, era: str | None) -> int:
    before = calendar.era_before
    if before and number < 1:
        raise ValueError(f"year: years before 1 are written as {1 - number} {before}, not {number}")
    return 1 - number if before and (era or "").casefold() == before.casefold() else number


def _only_day(calendar: Calendar, year: int, month: int) -> int:
    length = calendar.lengths(year)[month]
    if length > 1:
        raise ValueError(f"day: which of the {length} days of {calendar.months[month].name}?")
    return 1


def _time_text(date: Date, *, precise: bool) -> str:
    text = f"{date.hour:02}:{date.minute:02}"
    if precise and (date.second or date.microsecond):
        text += f":{date.second:02}" + f".{date.microsecond:06}" * bool(date.microsecond)
    return text
