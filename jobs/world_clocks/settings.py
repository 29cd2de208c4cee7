"""The settings of a world clock: which are valid, and the rule that they make."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Self

from django.utils.translation import gettext

from jobs.errors import InvalidWorldClock
from jobs.models import WorldClock
from jobs.world.quiet_hours import QuietHours, parse_ranges
from jobs.world.ticking import CatchUpPolicy, Position, Rule
from scheduler_project.durations import exact_duration, parse_duration
from scheduler_project.moments import read_zone

LEAST_RATE: Final = Decimal("0.000001")
MOST_RATE: Final = Decimal(1_000_000)
LEAST_STEP: Final = 10  #: seconds of real time
MOST_STEP: Final = 86_400
MOST_PER_STEP: Final = 3_660 * 86_400  #: seconds of world time
MOST_PER_DAY: Final = 10 * MOST_PER_STEP


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an administrator sets; the fields of WorldClock have the same names and units."""

    rate: Decimal
    step: int
    most_per_step: int
    most_per_day: int
    quiet_hours: str
    time_zone: str
    catch_up: str

    @classmethod
    def of(cls, clock: WorldClock) -> Self:
        return cls(**{field.name: getattr(clock, field.name) for field in fields(cls)})

    def faults(self) -> dict[str, str]:
        """What is wrong, by field."""
        found = {name: fault for name, fault in self._own_faults().items() if fault}
        if not {"rate", "step"} & found.keys():
            found |= {name: fault for name, fault in self._limit_faults().items() if fault and name not in found}
        return found

    def check(self) -> None:
        """Raise InvalidWorldClock, naming the first wrong field."""
        for field, fault in self.faults().items():
            raise InvalidWorldClock(field, fault)

    def rule(self) -> Rule:
        """Raises ValueError for a row that was edited in the database."""
        return Rule(
            rate=self.rate,
            step=timedelta(seconds=self.step),
            most_per_step=self.most_per_step,
            most_per_day=self.most_per_day,
            quiet=QuietHours(read_zone(self.time_zone), parse_ranges(self.quiet_hours)),
            catch_up=CatchUpPolicy(self.catch_up),
        )

    def as_fields(self) -> dict[str, Any]:
        return asdict(self)

    def as_json(self) -> dict[str, Any]:
        """As people read them in the audit trail."""
        lengths = {name: exact_duration(getattr(self, name)) for name in ("step", "most_per_step", "most_per_day")}
        return {**asdict(self), "rate": format_rate(self.rate), **lengths}

    def with_json(self, values: Mapping[str, Any]) -> Self:
        """With values that `as_json` wrote."""
        read: dict[str, Callable[[Any], Any]] = {
            "rate": Decimal,
            **dict.fromkeys(("step", "most_per_step", "most_per_day"), parse_duration),
        }
        return replace(self, **{name: read.get(name, str)(value) for name, value in values.items()})

    def _own_faults(self) -> dict[str, str]:
        within = gettext("must be from %(least)s to %(most)s, with at most 6 decimals") % {
            "least": format_rate(LEAST_RATE),
            "most": format_rate(MOST_RATE),
        }
        between = gettext("must be from %(least)s to %(most)s of real time") % {
            "least": exact_duration(LEAST_STEP),
            "most": exact_duration(MOST_STEP),
        }
        no_zone = gettext("there is no time zone “%(zone)s”") % {"zone": self.time_zone[:100]}
        modes = gettext("must be one of %(modes)s") % {"modes": ", ".join(CatchUpPolicy)}
        return {
            "rate": "" if LEAST_RATE <= self.rate <= MOST_RATE and not self.rate % LEAST_RATE else within,
            "step": "" if LEAST_STEP <= self.step <= MOST_STEP else between,
            "quiet_hours": _refusal(parse_ranges, self.quiet_hours),
            "time_zone": no_zone if _refusal(read_zone, self.time_zone) else "",
            "catch_up": "" if self.catch_up in list(CatchUpPolicy) else modes,
        }

    def _limit_faults(self) -> dict[str, str]:
        least = math.ceil(self.rate * self.step)
        most = {"most_per_step": MOST_PER_STEP, "most_per_day": MOST_PER_DAY}
        found: dict[str, str] = {}
        for name, limit in most.items():
            value = getattr(self, name)
            if value < least:
                text = gettext("one step moves %(length)s: the limit cannot be less")
                found[name] = text % {"length": exact_duration(least)}
            elif value > limit:
                found[name] = gettext("must be at most %(length)s") % {"length": exact_duration(limit)}
        return found


def position_of(clock: WorldClock) -> Position | None:
    """Where the clock is; None if it does not run."""
    if clock.counted_until is None:
        return None
    return Position(counted_until=clock.counted_until, owed=clock.owed, day=clock.day, moved=clock.moved)


def set_position(clock: WorldClock, position: Position, next_at: datetime | None) -> None:
    """Set the clock's fields; the caller saves them."""
    clock.counted_until, clock.owed = position.counted_until, position.owed
    clock.day, clock.moved, clock.next_at = position.day, position.moved, next_at


def format_rate(rate: Decimal) -> str:
    """Without trailing zeros.

    >>> format_rate(Decimal("60.000000")), format_rate(Decimal("1E+3"))
    ('60', '1000')
    """
    return f"{rate.normalize():f}"


def _refusal(parse: Any, text: str) -> str:
    try:
        parse(text)
    except ValueError as error:
        return str(error)
    return ""
