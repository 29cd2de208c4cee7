"""Everything that will happen in a campaign in the next days of its clock, if nobody interferes; from reads only.

Counts per day come from the series in which events are due, and cost the same for any number of occurrences. Single
lines are calculated for the page that is asked for.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from heapq import merge
from itertools import islice
from typing import Any, Final

from django.utils.translation import gettext

from jobs.errors import InvalidForecast
from jobs.main_api.model import Event
from jobs.schedules.towns import CampaignWorld, Town
from jobs.triggers.looking import Coming
from jobs.triggers.open_events import scheduled_at
from jobs.world.clock import LAST_TICK, Moment, moment_at, ticks_of
from jobs.world.entity import Series
from jobs.world.household import advance
from jobs.world.occurrences import ORDER, Occurrence, Slot, Steps, count_between, slots_of

LONGEST_DAYS: Final = 366
MOST_LINES: Final = 1000  #: of a page
MOST_PERIODS: Final = 62  #: a longer forecast counts several days together
EVENT_EXPIRED: Final = "EVENT_EXPIRED"
EVENT_TRIGGERED: Final = "EVENT_TRIGGERED"  #: an event that a policy triggers, and that has no job yet
EVENT_ASKED: Final = "EVENT_ASKED"  #: the same; an operator is asked first
GRACE: Final = timedelta(minutes=5)  #: the main API calls an event overdue after that
_EXPIRES: Final = len(ORDER)  #: rank of expirations,
_RUNS: Final = _EXPIRES + 1  #: of jobs that are due at a world time: after all else of the same moment,
_TRIGGERS: Final = _RUNS + 1  #: and of events that will have such a job
_DAY: Final = timedelta(days=1) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Something happens once."""

    slot: Slot
    at: Moment
    event: str
    entity_type: str
    entity_id: str
    entity_name: str
    town: Town | None
    """None for events and jobs of the campaign."""
    summary: str
    scheduled_at: Moment | None = None
    """Of an event that expires, after the main API's GRACE."""
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cursor(self) -> str:
        return f"{self.slot.at}.{self.slot.rank}.{self.slot.entity_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A day, or some, and how often each event occurs."""

    after: Moment
    until: Moment
    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def cursor(self) -> str:
        """Lines after it are those of this period and later ones."""
        return f"{ticks_of(self.after)}.{_TRIGGERS + 1}."


class Forecast:
    """What will happen up to `until`; what is due already comes first, at its own time."""

    def __init__(self, world: CampaignWorld, days: int) -> None:
        self.world = world
        self.days = days
        self.until = _days_after(world.now, days)
        self._kind: type[Any] = type(world.now)
        self._towns: dict[str, Town] = {}
        self._series: dict[str, Sequence[Series]] = {}
        for town in world.towns:
            self._add(town)
        self._events = {event.id: event for event in world.events}
        self._jobs = {str(due.job.pk): due for due in world.jobs if due.at.at <= self.until.at}
        runs = [Slot(ticks_of(due.at), _RUNS, job_id) for job_id, due in self._jobs.items()]
        self._coming = {one.event.id: one for one in world.coming if one.at.at <= self.until.at}
        triggers = [Slot(ticks_of(one.at), _TRIGGERS, event_id) for event_id, one in self._coming.items()]
        self._singles = sorted([*_expirations(world.events, world.now, self.until), *runs, *triggers])

    def periods(self) -> list[Period]:
        """The days, each with the number of its occurrences; what is overdue has a period of its own."""
        step = -(-self.days // MOST_PERIODS)
        bounds = [_days_after(self.world.now, n) for n in range(0, self.days, step)] + [self.until]
        ticks = [0, *(ticks_of(bound) for bound in bounds)]
        counts = [Counter[str]() for _ in bounds]
        for series in (one for own in self._series.values() for one in own):
            last = series.first + (series.number - 1) * series.every
            for n, counted in enumerate(counts):
                if ticks[n] < last and series.first <= ticks[n + 1]:
                    counted[series.event] += count_between([series], ticks[n], ticks[n + 1])
        for slot in self._singles:
            counts[next(n for n in range(len(bounds)) if slot.at <= ticks[n + 1])][self._name_of(slot)] += 1
        starts: list[Moment] = [moment_at(0, self._kind), *bounds[:-1]]
        periods = [
            Period(after=after, until=until, counts={name: number for name, number in counted.items() if number})
            for after, until, counted in zip(starts, bounds, counts, strict=True)
        ]
        return periods if periods[0].counts else periods[1:]

    def lines(self, after: str = "") -> Iterator[Line]:
        """The lines after a cursor, in the order in which things happen. Raises InvalidForecast."""
        cursor = _parse_cursor(after) if after else None
        slots = merge(slots_of(self._series, cursor), (one for one in self._singles if not cursor or one > cursor))
        return self._lines(slots)

    def page(self, after: str, limit: int) -> tuple[list[Line], str]:
        """At most `limit` lines after a cursor, and the cursor of the next page; empty if there is none."""
        found = list(islice(self.lines(after), limit + 1))
        return found[:limit], found[limit - 1].cursor if len(found) > limit else ""

    def _add(self, town: Town) -> None:
        settlement, structures = advance(town.household, self.until)
        for entity_id, after in (*([(town.settlement.id, settlement)] if settlement else []), *structures.items()):
            self._towns[entity_id] = town
            self._series[entity_id] = after.series

    def _name_of(self, slot: Slot) -> str:
        """The event of one of `_singles`."""
        if slot.rank == _EXPIRES:
            return EVENT_EXPIRED
        return self._jobs[slot.entity_id].job.type if slot.rank == _RUNS else name_of(self._coming[slot.entity_id])

    def _lines(self, slots: Iterator[Slot]) -> Iterator[Line]:
        steps: dict[str, Steps[Any]] = {}
        for slot in slots:
            if slot.rank == _EXPIRES:
                yield self._expiration(slot)
                continue
            if slot.rank == _RUNS:
                yield self._run(slot)
                continue
            if slot.rank == _TRIGGERS:
                yield self._trigger(slot)
                continue
            town = self._towns[slot.entity_id]
            own = steps.get(town.settlement.id)
            if own is None:
                own = steps[town.settlement.id] = Steps(town.household, self._kind)
            yield self._line(town, own.occurrence(slot))

    def _line(self, town: Town, one: Occurrence[Any]) -> Line:
        structure = town.structures.get(one.slot.entity_id)
        return Line(
            slot=one.slot,
            at=one.at,
            event=one.slot.event,
            entity_type="Structure" if structure else "Settlement",
            entity_id=one.slot.entity_id,
            entity_name=(structure or town.settlement).name,
            town=town,
            summary=one.summary,
            before=one.before,
            after=one.after,
        )

    def _run(self, slot: Slot) -> Line:
        due = self._jobs[slot.entity_id]
        return Line(
            slot=slot,
            at=due.at,
            event=due.job.type,
            entity_type="Job",
            entity_id=slot.entity_id,
            entity_name=due.job.subject,
            town=None,
            summary=gettext("what it changes is not known in advance; later lines ignore it"),
        )

    def _trigger(self, slot: Slot) -> Line:
        at, event, asks = one = self._coming[slot.entity_id]
        if asks:
            text = gettext(
                "an operator is asked whether to trigger the event; what it changes is not known in advance; later "
                "lines ignore it"
            )
        else:
            text = gettext("the event is triggered; what it changes is not known in advance; later lines ignore it")
        return Line(
            slot=slot,
            at=at,
            event=name_of(one),
            entity_type="Event",
            entity_id=event.id,
            entity_name=event.name,
            town=None,
            summary=text,
        )

    def _expiration(self, slot: Slot) -> Line:
        event = self._events[slot.entity_id]
        at = scheduled_at(event)
        said = {"time": at.isoformat() if at else ""}
        return Line(
            slot=slot,
            at=moment_at(slot.at, self._kind),
            event=EVENT_EXPIRED,
            entity_type="Event",
            entity_id=slot.entity_id,
            entity_name=event.name,
            town=None,
            summary=gettext("the event, scheduled for %(time)s, expires") % said
            if at
            else gettext("the event expires"),
            scheduled_at=at,
            before={"isCompleted": False},
            after={"isCompleted": True},
        )


def name_of(coming: Coming) -> str:
    """What a forecast calls it."""
    return EVENT_ASKED if coming.asks else EVENT_TRIGGERED


def expires_by(event: Event, until: Moment) -> bool:
    """Whether the main API calls an event overdue at `until`."""
    return _overdue_at(event, until) < ticks_of(until)


def _expirations(events: Sequence[Event], now: Moment, until: Moment) -> Iterator[Slot]:
    return (Slot(_overdue_at(event, now), _EXPIRES, event.id) for event in events if expires_by(event, until))


def _overdue_at(event: Event, now: Moment) -> int:
    """Events have world times. One with an unreadable time counts as overdue: the main API listed it as such."""
    at = scheduled_at(event)
    return ticks_of(now) - 1 if at is None else ticks_of(at) + GRACE // timedelta(microseconds=1)


def _days_after(now: Moment, days: int) -> Moment:
    """Not after the year 9999."""
    return moment_at(min(ticks_of(now) + days * _DAY, LAST_TICK), type(now))


def _parse_cursor(text: str) -> Slot:
    at, _, rest = text.partition(".")
    rank, dot, entity_id = rest.partition(".")
    if not (dot and at.isdecimal() and at.isascii() and rank.isdecimal() and rank.isascii() and len(at + rank) < 25):
        raise InvalidForecast("after", gettext("“%(text)s” is not the cursor of a page") % {"text": text[:100]})
    return Slot(int(at), int(rank), entity_id)
