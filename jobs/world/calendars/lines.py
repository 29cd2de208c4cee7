"""A calendar as lines that people edit: one month, weekday or leap rule each."""

import re
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from jobs.world.calendars.calendar import Calendar
from jobs.world.calendars.examples import GREGORIAN
from jobs.world.calendars.parts import LeapRule, Month
from jobs.world.calendars.text import format_date
from jobs.world.clock import ticks_of

FESTIVAL: Final = "festival"
NO_WEEKDAY: Final = "no weekday"
LONGEST: Final = 8000  #: characters of the lines of one field
_MONTH: Final = re.compile(r"(?P<name>[^:]+):\s*(?P<days>\d{1,7})\s*(?:days?\b)?(?P<flags>(?:\s*,[^,]*)*)")
_RULE: Final = re.compile(
    r"(?P<month>[^:]+):\s*\+?(?P<days>\d{1,7})(?:\s+days?)?\s+every\s+(?P<every>\d{1,7})"
    r"(?P<others>(?:,?\s+(?:except|unless)(?:\s+every)?\s+\d{1,7})*)(?:,?\s+from\s+(?:year\s+)?(?P<first>[+-]?\d{1,7}))?",
    re.IGNORECASE,
)
T = TypeVar("T")


def parse_months(text: str) -> tuple[Month, ...]:
    """Lines such as "Lantern Night: 1, festival, no weekday". Raises ValueError naming the line.

    >>> parse_months("Long Calm: 40")
    (Month(name='Long Calm', days=40, intercalary=False, in_week=True),)
    """
    return _parse(text, _month, f"Emberwake: 28, or Lantern Night: 1, {FESTIVAL}, {NO_WEEKDAY}")


def parse_leap_rules(text: str) -> tuple[LeapRule, ...]:
    """Lines such as "February: +1 every 4, except every 100, unless every 400". Raises ValueError naming the line.

    >>> parse_leap_rules("Deeptide: +36 every 3, except every 30, from year 1")
    (LeapRule(month='Deeptide', every=(3, 30), days=36, first=1),)
    """
    return _parse(text, _rule, "February: +1 every 4, except every 100, unless every 400")


def parse_weekdays(text: str) -> tuple[str, ...]:
    """Names, separated by commas or lines."""
    names = (" ".join(name.split()) for name in re.split(r"[,\n]", text))
    return tuple(name for name in names if name)


def to_lines(calendar: Calendar) -> dict[str, str | int]:
    """The fields of a calendar, as people edit them."""
    first = calendar.weekdays[calendar.first_weekday] if calendar.weekdays else ""
    return {
        "name": calendar.name,
        "months": "\n".join(map(_month_line, calendar.months)),
        "weekdays": ", ".join(calendar.weekdays),
        "first_weekday": first,
        "hours_per_day": calendar.hours_per_day,
        "leap_rules": "\n".join(map(_rule_line, calendar.leap_rules)),
        "epoch": format_date(GREGORIAN, ticks_of(calendar.epoch), precise=True),
        "epoch_year": calendar.epoch_year,
        "era": calendar.era,
        "era_before": calendar.era_before,
    }


def _parse(text: str, parse: Callable[[str], T | None], example: str) -> tuple[T, ...]:
    found = []
    lines: Sequence[str] = [" ".join(line.split()) for line in text.splitlines()]
    for number, line in enumerate(lines, 1):
        if line:
            one = parse(line)
            if one is None:
                raise ValueError(f"line {number}: {line[:60]!r} is not like {example}")
            found.append(one)
    return tuple(found)


def _month(line: str) -> Month | None:
    match = _MONTH.fullmatch(line)
    if match is None:
        return None
    flags = {flag.strip().lower() for flag in match["flags"].split(",")} - {""}
    if flags - {FESTIVAL, NO_WEEKDAY}:
        return None
    name, days = match["name"].strip(), int(match["days"])
    return Month(name, days, intercalary=FESTIVAL in flags, in_week=NO_WEEKDAY not in flags)


def _rule(line: str) -> LeapRule | None:
    match = _RULE.fullmatch(line)
    if match is None:
        return None
    every = int(match["every"]), *(int(years) for years in re.findall(r"\d+", match["others"]))
    return LeapRule(match["month"].strip(), every, days=int(match["days"]), first=int(match["first"] or 0))


def _month_line(month: Month) -> str:
    flags = f", {FESTIVAL}" * month.intercalary + f", {NO_WEEKDAY}" * (not month.in_week)
    return f"{month.name}: {month.days}{flags}"


def _rule_line(rule: LeapRule) -> str:
    others = "".join(f", {('unless', 'except')[i % 2]} every {n}" for i, n in enumerate(rule.every) if i)
    first = f", from year {rule.first}" if rule.first else ""
    return f"{rule.month}: +{rule.days} every {rule.every[0]}{others}{first}"
