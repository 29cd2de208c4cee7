"""A settlement or structure as it stands, what a stretch of time does to it, and when its events are due next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, NamedTuple

from jobs.world.clock import LAST_TICK, M, later, moment_at, ticks_of
from jobs.world.due import interval_of
from jobs.world.maintenance import StructureEvent
from jobs.world.marks import LEVELLED_UP, read_mark, with_mark

_STARTS_AT: Mapping[str, Sequence[str]] = {
    StructureEvent.MAINTENANCE_DUE: (StructureEvent.UPGRADE_AVAILABLE, StructureEvent.CONSTRUCTION_COMPLETE),
    StructureEvent.UPGRADE_AVAILABLE: (StructureEvent.CONSTRUCTION_COMPLETE,),
}
"""Events that others begin with: maintenance goes on with the upgrade checks of the time out of operation, and both
begin when construction is complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity(Generic[M]):
    """A settlement or structure."""

    id: str
    level: int
    variables: Mapping[str, Any]
    anchors: Mapping[str, M]
    """By event: when it was last due or, if it never was, when the entity was first seen (`anchor_of`)."""
    type: str = ""


@dataclass(slots=True, kw_only=True)
class Occurred(Generic[M]):
    """The occurrences of one event in a stretch of time, and what they changed.

    Not frozen: it is made in a third of the time.
    """

    count: int
    last: M
    summary: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]


class Next(NamedTuple, Generic[M]):
    """When an event is due next."""

    anchor: M
    interval: timedelta
    due: M | None
    """None: never, for it lies past the year 9999."""


class Series(NamedTuple):
    """Due times of an event at one interval: first, first + every, … (microseconds since the year 1)."""

    event: str
    first: int
    every: int
    number: int


@dataclass(slots=True, kw_only=True)
class Advanced(Generic[M]):
    """An entity after a stretch of time."""

    level: int
    variables: dict[str, Any]
    """With the marks of what was applied."""
    occurred: dict[str, Occurred[M]] = field(default_factory=dict)
    """By event, in the order in which they occur at the same moment."""
    next: dict[str, Next[M]] = field(default_factory=dict)
    """By event, for those that recur."""
    series: list[Series] = field(default_factory=list)
    """When each of what occurred was due."""
    warnings: list[str] = field(default_factory=list)

    def note(
        self, event: str, count: int, last: M, changed: Mapping[str, Any], summary: str, level: int | None = None
    ) -> None:
        """Record `count` occurrences of `event`, and set the mark and what they changed; None there removes it."""
        names = [name for name, value in changed.items() if self.variables.get(name) != value]
        before = {name: self.variables[name] for name in names if name in self.variables}
        after = {name: changed[name] for name in names if changed[name] is not None}
        if level is not None and level != self.level:
            before, after = {"level": self.level} | before, {"level": level} | after
            self.level = level
        self.occurred[event] = Occurred(count=count, last=last, summary=summary, before=before, after=after)
        kept = {**self.variables, **changed}
        for name in [name for name, value in changed.items() if value is None]:
            del kept[name]
        self.variables = with_mark(kept, event, last)

    def recur(self, event: str, anchor: int, ticks: int, due: int, kind: type[M]) -> None:
        """Record when an event is due next."""
        never = due > LAST_TICK
        self.next[event] = Next(moment_at(anchor, kind), interval_of(ticks), None if never else moment_at(due, kind))


def anchor_of(event: str, variables: Mapping[str, Any], known: M | None, seen: M, *, is_current: bool = False) -> M:
    """From when the interval of `event` counts: the last time it was due, else `seen`, the time of its first sight.

    `known` is what the schedule has of it. A new construction has no past: an earlier one's mark is not its beginning.
    `is_current`: the variables are no older than the schedule. Marks that are all before `known` are those of a backup
    then, from which the main API was restored: what the schedule knows has not happened.
    """
    kind = type(seen)
    mark = read_mark(variables, event, kind)
    if known is not None and mark is not None and mark >= known:
        return mark
    if event == StructureEvent.CONSTRUCTION_COMPLETE or (known is not None and not is_current):
        return known or seen
    last = _last_mark(event, mark, variables, kind) or known or seen
    return last if known is None or last < known else known


def _last_mark(event: str, mark: M | None, variables: Mapping[str, Any], kind: type[M]) -> M | None:
    """The last mark of the event, and of those that it begins with."""
    marks = [mark, *(read_mark(variables, other, kind) for other in _STARTS_AT.get(event, ()))]
    return max((one for one in marks if one is not None), default=None)


def next_due_of(anchor: M, interval: timedelta, variables: Mapping[str, Any]) -> M | None:
    """When an event is due after `anchor`, but not before the level-up that shortened its interval; None: never."""
    due = later(anchor, interval)
    levelled_up = read_mark(variables, LEVELLED_UP, type(anchor))
    return max(due, levelled_up) if due is not None and levelled_up is not None else due


def count_due(first: int, every: int, until: int) -> int:
    """Count the due times first, first + every, … up to `until`.

    >>> count_due(10, 5, 9), count_due(10, 5, 10), count_due(10, 5, 20)
    (0, 1, 3)
    """
    return 0 if first > until else (until - first) // every + 1


def anchor_ticks(entity: Entity[M], event: str) -> int | None:
    """The anchor of an event in microseconds; None if it has none."""
    anchor = entity.anchors.get(event)
    return None if anchor is None else ticks_of(anchor)
