"""What a calendar's page shows: how world time reads in it, and the year that it is in."""

from dataclasses import dataclass
from typing import Final

from django.utils.translation import gettext, ngettext

from jobs.world.calendars.calendar import Calendar
from jobs.world.calendars.parts import Date
from jobs.world.calendars.text import format_date, format_year
from jobs.world.clock import WorldTime, moment_at, ticks_of

LEAP_YEARS: Final = 4  #: years of another length that are named
SEARCHED: Final = 400  #: years that are searched for them


@dataclass(frozen=True, slots=True)
class Sample:
    """A moment, as the calendar writes it."""

    what: str
    text: str
    weekday: str
    iso: str  #: empty outside the years of world time


@dataclass(frozen=True, slots=True)
class Part:
    """A month of the year, or days between months."""

    name: str
    days: int
    kind: str  #: what is not plain about it; empty for a month of its usual length
    weekday: str  #: of its first day
    world_time: str  #: the day on which it begins, in ISO 8601; empty outside of the years of world time


@dataclass(frozen=True, slots=True)
class Preview:
    """A calendar around one moment of world time."""

    calendar: Calendar
    samples: list[Sample]
    year: str
    days: int
    parts: list[Part]
    other_years: list[str]  #: the next years of another length, with their lengths


def preview(calendar: Calendar, moment: WorldTime) -> Preview:
    """How `moment` reads, what follows it, and its year."""
    ticks = ticks_of(moment)
    date = calendar.to_date(ticks)
    lengths = calendar.lengths(date.year)
    new_year = calendar.from_date(_first_day(calendar, date.year + 1))
    samples = [
        _sample(calendar, gettext("Now"), ticks),
        _sample(calendar, gettext("A day later"), ticks + calendar.day),
        _sample(calendar, gettext("Next year begins"), new_year),
    ]
    return Preview(
        calendar=calendar,
        samples=samples,
        year=format_year(calendar, date.year),
        days=sum(lengths),
        parts=[_part(calendar, date.year, month, days) for month, days in enumerate(lengths) if days],
        other_years=_find_other_years(calendar, date.year),
    )


def _first_day(calendar: Calendar, year: int) -> Date:
    return Date(year, next((month for month, days in enumerate(calendar.lengths(year)) if days), 0))


def _sample(calendar: Calendar, what: str, ticks: int) -> Sample:
    return Sample(what, format_date(calendar, ticks), calendar.weekday(calendar.to_date(ticks)), _iso(ticks))


def _part(calendar: Calendar, year: int, month: int, days: int) -> Part:
    first = Date(year, month)
    declared = calendar.months[month]
    leap = days - declared.days
    if declared.intercalary:
        kind = gettext("festival")
        text = ngettext("festival, %(count)s leap day", "festival, %(count)s leap days", leap)
    else:
        kind = ""
        text = ngettext("month, %(count)s leap day", "month, %(count)s leap days", leap)
    if leap:
        kind = text % {"count": leap}
    ticks = calendar.from_date(first)
    return Part(declared.name, days, kind, calendar.weekday(first), _iso(ticks)[:10])


def _find_other_years(calendar: Calendar, year: int) -> list[str]:
    usual = sum(calendar.lengths(year))
    found: list[str] = []
    for later in range(year + 1, year + SEARCHED if calendar.leap_rules else year):
        days = sum(calendar.lengths(later))
        if days != usual:
            text = ngettext("%(year)s (%(count)s day)", "%(year)s (%(count)s days)", days)
            found.append(text % {"year": format_year(calendar, later), "count": days})
        if len(found) == LEAP_YEARS:
            break
    return found


def _iso(ticks: int) -> str:
    try:
        return moment_at(ticks, WorldTime).isoformat()
    except OverflowError:
        return ""
