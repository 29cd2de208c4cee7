"""Cron expressions of five or six fields (seconds first): validation and next match. No I/O."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from scheduler_project.moments import read_zone

_SIZES: Final = (60, 60, 24, 31, 12, 7)  # of the fields: seconds, minutes, hours, days, months, days of the week
_ANY_DAY: Final = datetime(2000, 1, 1, tzinfo=UTC)


def _matches(expression: str, after: datetime) -> CronSim:
    """Iterate over the matches after a moment, in its time zone. Raises ValueError with a readable message."""
    try:
        found = CronSim(expression, after)
    except (CronSimError, ValueError):  # ValueError: a number with thousands of digits
        raise ValueError(f"{expression[:100]!r} is not a cron expression of five or six fields") from None
    for field, size in zip(found.parts, _SIZES, strict=True):
        for base, slash, step in (part.partition("/") for part in field.split(",")):
            if slash and (int(step) >= size or base.startswith("L")):  # */61, or a step from the last day (L)
                raise ValueError(f"the step of the field {field[:100]!r} exceeds its range")
    return found


def fires(expression: str) -> bool:
    """Return whether `expression` is a cron expression of five or six fields that ever matches."""
    try:
        return next(_matches(expression, _ANY_DAY), None) is not None
    except ValueError:
        return False


def is_expression(text: str) -> bool:
    """Return whether `text` is a cron expression of five or six fields, whether or not it ever matches."""
    try:
        _matches(text, _ANY_DAY)
    except ValueError:
        return False
    return True


def next_match(expression: str, time_zone: str, after: datetime) -> datetime:
    """Return the first match after `after` in the time zone, in UTC. Raises ValueError.

    DST: a fixed time that occurs twice fires once; hourly expressions ("*" or "*/n") fire in both hours; a skipped time
    fires when the gap ends, unless the hours are "*".
    """
    zone = read_zone(time_zone)
    local = after.astimezone(zone)
    matches = _matches(expression, local)
    by_the_hour = matches.parts[2].startswith("*")
    found: list[datetime] = []
    if by_the_hour:
        found += islice(matches, 1)
    if not (by_the_hour and len(matches.hours) == _SIZES[2]):
        # CronSim's own DST rule ignores six fields and "*" minutes, so it gets naive wall-clock times.
        walls = _matches(expression, local.replace(tzinfo=None))
        found += islice((at for wall in walls if (at := _moment(wall, zone)) > after), 1)
    if not found:
        raise ValueError(f"{expression[:100]!r} never matches")
    return min(at.astimezone(UTC) for at in found)


def newest_matches(expression: str, time_zone: str, after: datetime, until: datetime, most: int) -> list[datetime]:
    """Return the last matches after `after` up to `until`, at most `most`, oldest first. Raises ValueError.

    There may be millions between them, so the time is halved until it holds no more than are wanted.

    >>> newest_matches("* 9-17 * * *", "UTC", _ANY_DAY, _ANY_DAY + timedelta(days=300, hours=9), 2)[0].isoformat()
    '2000-10-26T17:59:00+00:00'
    """
    found: list[datetime] = []
    at = next_match(expression, time_zone, after)
    while at <= until and len(found) <= most:
        found.append(at)
        at = next_match(expression, time_zone, at)
    if len(found) <= most:
        return found
    middle = after + (until - after) / 2
    newer = newest_matches(expression, time_zone, middle, until, most)
    if len(newer) == most:
        return newer
    return newest_matches(expression, time_zone, after, middle, most - len(newer)) + newer


def _moment(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return when a clock in the zone first shows this time, or the end of the gap that skips it."""
    local = wall.replace(tzinfo=zone)
    while (moment := local.astimezone(UTC)).astimezone(zone) != local:
        local = local.replace(second=0) + timedelta(minutes=1)
    return moment
