"""Reads a calendar as the main API serves it: months with lengths and names, and an epoch."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from jobs.world.calendars.calendar import FIRST, Calendar
from jobs.world.calendars.checks import MOST_MONTHS
from jobs.world.calendars.examples import GREGORIAN
from jobs.world.calendars.parts import Month
from jobs.world.calendars.text import parse_world_time
from jobs.world.clock import WorldTime, iso_text

MOST_CALENDARS: Final = 50  #: of one world; the others are not looked at
_SHOWN: Final = 60  #: characters of a value in a fault


def read_calendars(served: object) -> tuple[Calendar | None, str]:
    """The first sound calendar of a world, and what is wrong with those before it.

    `served` is {"calendars": […]}, the list alone, or either as text. Neither for a world without calendars.
    """
    listed = _unwrap(served)
    if listed is None:
        return None, ""
    if not isinstance(listed, list):
        return None, f"calendars: expected a list, not {_quote(served)}"
    faults: list[str] = []
    for number, one in enumerate(listed[:MOST_CALENDARS], 1):
        try:
            return _read(one), "; ".join(faults)
        except ValueError as error:
            faults.append(f"calendar {number}: {error}")
    return None, "; ".join(faults)


def _unwrap(served: object) -> object:
    if isinstance(served, str):
        try:
            served = msgspec.json.decode(served) if served.strip() else None
        except msgspec.DecodeError:
            return served
    return served.get("calendars") if isinstance(served, Mapping) else served


def _read(one: object) -> Calendar:
    """Raises ValueError naming the field."""
    if not isinstance(one, Mapping):
        raise ValueError(f"expected an object, not {_quote(one)}")
    days = [_whole("daysPerMonth", value) for value in _list(one, "daysPerMonth")]
    names = [_text("monthNames", value) for value in _list(one, "monthNames")]
    count = one.get("monthsPerYear")
    months = len(days) if count is None else _whole("monthsPerYear", count)
    if months > MOST_MONTHS:
        raise ValueError(f"monthsPerYear: at most {MOST_MONTHS}, not {months}")
    names = names or [f"Month {number}" for number in range(1, months + 1)]
    for field, found in (("daysPerMonth", days), ("monthNames", names)):
        if len(found) != months:
            raise ValueError(f"{field}: {len(found)} of {months} months")
    return Calendar(
        name=_text("name", one.get("name") or "Calendar"),
        months=tuple(Month(name, length) for name, length in zip(names, days, strict=True)),
        epoch=_epoch(one.get("epoch")),
    )


def _epoch(value: object) -> WorldTime:
    """World time, or milliseconds since 1970, at which the year 1 begins; words are no time, and count as none."""
    try:
        return parse_world_time(GREGORIAN, iso_text(value)) if value not in (None, "") else FIRST
    except ValueError:
        return FIRST


def _list(one: Mapping[str, Any], field: str) -> list[Any]:
    value = one.get(field)
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f"{field}: expected a list, not {_quote(value)}")
    return value[: MOST_MONTHS + 1]


def _whole(field: str, value: object) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{field}: expected a whole number, not {_quote(value)}")
    return value


def _text(field: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{field}: expected a text, not {_quote(value)}")
    return " ".join(value.split())


def _quote(value: object) -> str:
    return repr(value)[:_SHOWN]
