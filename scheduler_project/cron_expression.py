"""Cron expressions of five or six fields, seconds first: whether they match, when next, and in words. Pure."""

import re
from datetime import UTC, datetime

from cron_descriptor import (
    ExpressionDescriptor,
    FormatException,
    MissingFieldException,
    Options,
    WrongArgumentException,
)
from croniter import CroniterBadDateError, croniter

from scheduler_project.moments import read_zone

_SIZES = (60, 60, 24, 31, 12, 7)  # of the fields: seconds, minutes, hours, days, months, days of the week


def _can_be_meant(field: str, size: int) -> bool:
    """Not where croniter draws lots (R), or takes a step for once that the field has no room for (*/61)."""
    parts = [part.partition("/") for part in field.split(",")]
    drawn = any(re.match(r"r(\W|$)", base, re.IGNORECASE) for base, _, _ in parts)
    return not drawn and all(int(step) < size for _, _, step in parts if step.isdecimal())


def fires(expression: str) -> bool:
    """Whether `expression` is a cron expression of five or six fields (seconds first) that ever matches."""
    fields = expression.split()
    if len(fields) not in (5, 6) or not croniter.is_valid(expression, second_at_beginning=True):
        return False
    if not all(_can_be_meant(field, size) for field, size in zip(reversed(fields), reversed(_SIZES), strict=False)):
        return False
    try:
        croniter(expression, datetime(2000, 1, 1, tzinfo=UTC), second_at_beginning=True).get_next()
    except CroniterBadDateError:  # the 31st of February
        return False
    return True


def next_match(expression: str, time_zone: str, after: datetime) -> datetime:
    """The first moment after `after` at which the expression matches in the time zone, in UTC.

    A time of day that the end of daylight saving repeats counts once, unless the expression is for every hour ("*", or
    a step of it). One that its begin leaves out is at the end of the gap.
    """
    zone = read_zone(time_zone)
    moments = croniter(expression, after.astimezone(zone), second_at_beginning=True)
    every_hour = expression.split()[-4].startswith("*")
    while True:
        found: datetime = moments.get_next(datetime).astimezone(UTC)
        if every_hour or not found.astimezone(zone).fold:
            return found


def sentence(expression: str) -> str:
    """The expression in words; empty where it has none.

    >>> sentence("30 0 9 * * 1-5")
    'At 09:00:30, Monday through Friday'
    """
    options = Options()
    options.use_24hour_time_format = True
    fields = expression.split()
    if len(fields) == 6:
        fields.append("*")  # a year: of six fields alone the last might be taken for it
    try:
        text: str = ExpressionDescriptor(" ".join(fields), options).get_description()
    except (FormatException, MissingFieldException, WrongArgumentException, ValueError, IndexError):
        return ""
    return text
