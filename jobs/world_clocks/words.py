"""What the settings of a world clock mean, in words."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from jobs.world.ticking import CatchUp, Rule
from jobs.world_clocks.settings import Settings, format_rate
from scheduler_project.durations import duration, exact_duration

CATCH_UP: Final[Mapping[CatchUp, str]] = {
    CatchUp.SKIP: "skip it: the clock goes on from now",
    CatchUp.JUMP: "jump: one step makes up for it, within its limit",
    CatchUp.STEP: "step: make the missed steps one after the other",
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
        return "1 x: as in the real world"
    real = timedelta(seconds=float(Decimal(3600 * hours_per_day) / rate))
    return f"{format_rate(rate)} x: a day in {duration(real)}"


def describe(settings: Settings, hours_per_day: int = 24) -> list[str]:
    """One sentence for each thing that the clock would do; the settings are valid."""
    rule = settings.rule()
    own = "" if hours_per_day == 24 else f" of {hours_per_day} hours"
    rate = describe_rate(settings.rate, hours_per_day).replace("a day in", f"a day{own} passes in")
    step = f"Every {exact_duration(settings.step)} a step of {_length(rule.seconds_per_step)} of world time"
    return [f"{rate}.", f"{step}.", _describe_quiet(settings), _describe_day(rule), _describe_catch_up(settings)]


def _describe_quiet(settings: Settings) -> str:
    if not settings.quiet_hours.strip():
        return "It has no quiet hours."
    return f"It stands still in the quiet hours {settings.quiet_hours.strip()} ({settings.time_zone})."


def _describe_day(rule: Rule) -> str:
    """How far it comes in a day, and when it meets the limit."""
    start = _ANY_DAY.replace(tzinfo=rule.quiet.zone).astimezone(UTC)
    whole = rule.rate * int(rule.quiet.open_time(start, start + timedelta(days=1)).total_seconds())
    limit = _length(rule.most_per_day)
    if whole <= rule.most_per_day:
        return f"In a real day it moves {_length(whole)} of world time, within its limit of {limit}."
    until = duration(timedelta(seconds=float(rule.most_per_day / rule.rate)))
    return f"Each day it moves {limit} in {until}: its limit. Then it stands until midnight ({rule.quiet.zone})."


def _describe_catch_up(settings: Settings) -> str:
    most = exact_duration(settings.most_per_step)
    return {
        CatchUp.SKIP: "Time in which it could not move is skipped.",
        CatchUp.JUMP: f"Time in which it could not move is made up for by one step of at most {most}.",
        CatchUp.STEP: "Time in which it could not move is made up for step by step.",
    }[CatchUp(settings.catch_up)]


def _length(seconds: Decimal | int) -> str:
    return exact_duration(int(seconds)) if seconds == int(seconds) else duration(timedelta(seconds=float(seconds)))
