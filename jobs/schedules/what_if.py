"""What an advance of a campaign's clock would do to each settlement, structure and event; from reads only."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from django.utils.translation import gettext

from jobs.errors import InvalidForecast
from jobs.main_api.model import Event, Settlement, Structure
from jobs.schedules.forecast import EVENT_EXPIRED, expires_by, name_of
from jobs.schedules.towns import CampaignWorld, Town
from jobs.stops import DueJob
from jobs.triggers.looking import Coming
from jobs.world.clock import Moment, later
from jobs.world.entity import Advanced
from jobs.world.household import advance
from jobs.world.marks import KEY
from scheduler_project.numbers import format_number

LONGEST: Final = timedelta(days=3660)
_LENGTH: Final = re.compile(r"([0-9]{1,7})\s*([mhd])")
_MINUTES: Final = {"m": 1, "h": 60, "d": 24 * 60}


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityChange:
    """What becomes of a settlement or structure."""

    entity_type: str
    entity_id: str
    entity_name: str
    version: int
    """That was read."""
    occurrences: Mapping[str, int]
    """By event."""
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    """The level and variables that change, without marks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TownChange:
    """What becomes of a settlement and its structures, without structures that have nothing due."""

    town: Town
    settlement: EntityChange | None
    structures: Sequence[EntityChange]

    @property
    def changes(self) -> Iterator[EntityChange]:
        if self.settlement is not None:
            yield self.settlement
        yield from self.structures


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """What would happen up to `until`."""

    world: CampaignWorld
    until: Moment
    towns: Sequence[TownChange]
    """Those in which something happens."""
    expired: Sequence[Event]
    coming: Sequence[Coming]
    """Events that would be triggered, or asked about, and have no job yet; what they change is not in `towns`."""
    jobs: Sequence[DueJob]
    """Those that would run on the way, at their world times; what they change is not in `towns`."""
    totals: Mapping[str, int] = field(default_factory=dict)
    """Occurrences by event."""


def read_until(now: Moment, *, to: str = "", by: str = "") -> Moment:
    """The moment `to` (ISO 8601), or `by` after `now` ("90m", "12h", "10d"). Raises InvalidForecast."""
    if bool(to) == bool(by):
        raise InvalidForecast("to", gettext("give either to or by"))
    if to:
        try:
            until: Moment | None = type(now).parse(to)
        except ValueError as error:
            raise InvalidForecast("to", str(error)) from None
    else:
        match = _LENGTH.fullmatch(by.strip())
        if match is None:
            text = gettext("“%(length)s” is not a duration such as 90m, 12h or 10d")
            raise InvalidForecast("by", text % {"length": by[:100]})
        until = later(now, timedelta(minutes=int(match[1]) * _MINUTES[match[2]]))
    if until is None or until.at - now.at > LONGEST:
        text = gettext("must be within %(days)s days, and the year 9999")
        raise InvalidForecast("to" if to else "by", text % {"days": format_number(LONGEST.days)})
    return until


def what_if(world: CampaignWorld, until: Moment) -> WhatIf:
    """Advance all towns up to `until`. Raises InvalidForecast if the clock is not before it."""
    if until.at <= world.now.at:
        text = gettext("must be after the campaign's clock, which shows %(time)s")
        raise InvalidForecast("to", text % {"time": world.now.isoformat()})
    towns = [found for town in world.towns if (found := _advance(town, until)) is not None]
    expired = [event for event in world.events if expires_by(event, until)]
    jobs = [due for due in world.jobs if due.at.at <= until.at]
    coming = [one for one in world.coming if one.at.at <= until.at]
    totals = Counter[str]([*(due.job.type for due in jobs), *map(name_of, coming)])
    for change in (one for town in towns for one in town.changes):
        totals.update(change.occurrences)
    if expired:
        totals[EVENT_EXPIRED] = len(expired)
    return WhatIf(world=world, until=until, towns=towns, expired=expired, coming=coming, jobs=jobs, totals=totals)


def _advance(town: Town, until: Moment) -> TownChange | None:
    settlement, structures = advance(town.household, until)
    own = _change(town.settlement, settlement) if settlement is not None else None
    changes = [change for i, after in structures.items() if (change := _change(town.structures[i], after)) is not None]
    return TownChange(town=town, settlement=own, structures=changes) if own or changes else None


def _change(entity: Settlement | Structure, after: Advanced[Any]) -> EntityChange | None:
    if not after.occurred:
        return None
    was = {"level": entity.level, **(entity.variables if isinstance(entity.variables, dict) else {})}
    now = {"level": after.level, **after.variables}
    names = [name for name in {**was, **now} if name != KEY and was.get(name) != now.get(name)]
    return EntityChange(
        entity_type=type(entity).__name__,
        entity_id=entity.id,
        entity_name=entity.name,
        version=entity.version,
        occurrences={event: one.count for event, one in after.occurred.items()},
        before={name: was[name] for name in names if name in was},
        after={name: now[name] for name in names if name in now},
    )
