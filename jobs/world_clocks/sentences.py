"""What the settings of a world clock mean, as sentences."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from django.utils.translation import gettext, gettext_noop

from jobs.world.ticking import CatchUpPolicy, Rule
from jobs.world_clocks.settings import Settings, format_rate
from scheduler_project.durations import duration_in_words as duration
from scheduler_project.durations import exact_duration

CATCH_UP: Final[Mapping[CatchUpPolicy, str]] = {
    CatchUpPolicy.SKIP: gettext_noop("skip: the clock goes on from now"),
    CatchUpPolicy.JUMP: gettext_noop("jump: one step catches up, within its limit"),
    CatchUpPolicy.STEP: gettext_noop("step: make the missed steps one after the other"),
}
_ANY_DAY: Final = datetime(2000, 1, 3, tzinfo=UTC)  #: without a change of daylight saving in any zone


def describe_rate(rate: Decimal, hours_per_day: int = 24) -> str:
    """
    >>> describe_rate(Decimal(60)), describe_rate(Decimal("0.5"), hours_per_day=10)
    ('60 x: a day in 24 min', '0.5 x: a day in 20 h')
    >>> describe_rate(Decimal("1.000000"))
    '1 x: as in the real world'
    """
    if rate == 1:
        return gettext("1 x: as in the real world")
    said = {"rate": format_rate(rate), "duration": _real_day(rate, hours_per_day)}
    return gettext("%(rate)s x: a day in %(duration)s") % said


def _real_day(rate: Decimal, hours_per_day: int) -> str:
    """The real time in which a day of the world passes."""
    return duration(timedelta(seconds=float(Decimal(3600 * hours_per_day) / rate)))


def describe(settings: Settings, hours_per_day: int = 24) -> list[str]:
    """One sentence for each thing that the clock would do; the settings are valid."""
    rule = settings.rule()
    step = gettext("Every %(every)s a step of %(length)s of world time.") % {
        "every": exact_duration(settings.step),
        "length": _length(rule.seconds_per_step),
    }
    rate = _describe_day_length(settings.rate, hours_per_day)
    return [rate, step, _describe_quiet(settings), _describe_day(rule), _describe_catch_up(settings)]


def _describe_day_length(rate: Decimal, hours_per_day: int) -> str:
    if rate == 1:
        return gettext("1 x: as in the real world.")
    said = {"rate": format_rate(rate), "hours": hours_per_day, "duration": _real_day(rate, hours_per_day)}
    if hours_per_day == 24:
        return gettext("%(rate)s x: a day passes in %(duration)s.") % said
    return gettext("%(rate)s x: a day of %(hours)s hours passes in %(duration)s.") % said


def _describe_quiet(settings: Settings) -> str:
    if not settings.quiet_hours.strip():
        return gettext("It has no quiet hours.")
    said = {"hours": settings.quiet_hours.strip(), "zone": settings.time_zone}
    return gettext("It stands still in the quiet hours %(hours)s (%(zone)s).") % said


def _describe_day(rule: Rule) -> str:
    """How far it comes in a day, and when it meets the limit."""
    start = _ANY_DAY.replace(tzinfo=rule.quiet.zone).astimezone(UTC)
    whole = rule.rate * int(rule.quiet.open_time(start, start + timedelta(days=1)).total_seconds())
    said = {"limit": _length(rule.most_per_day), "zone": rule.quiet.zone}
    if whole <= rule.most_per_day:
        text = gettext("In a real day it moves %(length)s of world time, within its limit of %(limit)s.")
        return text % {**said, "length": _length(whole)}
    until = duration(timedelta(seconds=float(rule.most_per_day / rule.rate)))
    text = gettext("Each day it moves %(limit)s in %(duration)s: its limit. Then it stands until midnight (%(zone)s).")
    return text % {**said, "duration": until}


def _describe_catch_up(settings: Settings) -> str:
    match CatchUpPolicy(settings.catch_up):
        case CatchUpPolicy.SKIP:
            return gettext("Time in which it could not move is skipped.")
        case CatchUpPolicy.JUMP:
            text = gettext("Time in which it could not move is caught up by one step of at most %(most)s.")
            return text % {"most": exact_duration(settings.most_per_step)}
        case CatchUpPolicy.STEP:
            return gettext("Time in which it could not move is caught up step by step.")


def _length(seconds: Decimal | int) -> str:
    return exact_duration(int(seconds)) if seconds == int(seconds) else duration(timedelta(seconds=float(seconds)))
