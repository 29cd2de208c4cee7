"""What time does to a settlement: its people and resources grow, and it levels up, each at its own due times."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Generic

from jobs.world.clock import M, moment_at, ticks_of
from jobs.world.due import MOST_OCCURRENCES, SHORTEST_FROM, in_ticks
from jobs.world.entity import Advanced, Entity, Series, anchor_ticks, count_due
from jobs.world.growth import (
    PEOPLE_PER_LEVEL,
    GrowthType,
    amounts_in_words,
    generate,
    grow_population,
    intervals_at,
    occurrences_until,
)
from jobs.world.marks import LEVELLED_UP, read_mark, with_mark
from jobs.world.structures import NEVER, Window, operating_window
from jobs.world.variables import SettlementVariables

_GROW, _GENERATE, _CHECK = GrowthType.POPULATION_GROWTH, GrowthType.RESOURCE_GENERATION, GrowthType.LEVEL_UP_CHECK
_ALWAYS: Final[Sequence[Window]] = [(0, NEVER)]


class SettlementCourse(Generic[M]):
    """A settlement on its way through time; `advance` may be called again, with later times.

    A level-up shortens the intervals at once: what would be due by then is due at the moment of the level-up.
    """

    def __init__(self, settlement: Entity[M], structures: Collection[Entity[M]], kind: type[M]) -> None:
        self._settlement = settlement
        self._kind = kind
        self._read, self._warnings = SettlementVariables.read(settlement.variables)
        self._level = settlement.level
        self._population = self._read.population
        self._operating = _windows(self._read.required_structures_for_level_up, structures, kind)
        levelled = read_mark(settlement.variables, LEVELLED_UP, kind)
        self._levelled = ticks_of(levelled) if levelled else 0
        self._has_levelled = False
        self._anchors = {
            event: anchor
            for event in (_GROW, _GENERATE, _CHECK)
            if (anchor := anchor_ticks(settlement, event)) is not None
        }
        self._counts = dict.fromkeys(self._anchors, 0)
        self._series: list[Series] = []
        self._every: dict[GrowthType, int] = {}
        self._due: dict[GrowthType, int] = {}
        self._schedule()
        self._limit = min((due + MOST_OCCURRENCES * self._every[e] for e, due in self._due.items()), default=NEVER)

    def advance(self, until: M) -> None:
        """Apply what is due by `until`, but about MOST_OCCURRENCES of an event at most; the rest stays due."""
        end = min(ticks_of(until), self._limit)
        while (found := self._next_level_ups(end)) is not None:
            number, at = found
            self._grow(at)
            self._level += number
            self._levelled, self._has_levelled = at, True
            self._schedule()
        self._grow(end)

    @property
    def resources(self) -> Mapping[str, Any]:
        """The resources now."""
        count = self._counts.get(_GENERATE)
        return generate(self._read, count)[0] if count else self._read.resources

    @property
    def can_reach(self) -> bool:
        """Whether the population has reached the next level."""
        return self._population >= (self._level + 1) * PEOPLE_PER_LEVEL

    @property
    def requires_structures(self) -> bool:
        """Whether levels depend on structures."""
        return bool(self._read.required_structures_for_level_up)

    def result(self) -> Advanced[M]:
        """The settlement as it stands now."""
        before, kind = self._settlement, self._kind
        after: Advanced[M] = Advanced(level=before.level, variables=dict(before.variables), warnings=self._warnings)
        if count := self._counts.get(_GROW):
            summary = f"population {self._read.population} → {self._population}"
            after.note(_GROW, count, self._last(_GROW), {"population": self._population}, summary)
        if count := self._counts.get(_GENERATE):
            resources, unusable = generate(self._read, count)
            after.warnings = [*after.warnings, *unusable]
            words = amounts_in_words(self._read, resources)
            after.note(_GENERATE, count, self._last(_GENERATE), {"resources": resources}, words)
        if count := self._counts.get(_CHECK):
            same = before.level == self._level
            summary = f"stays at level {self._level}" if same else f"level {before.level} → {self._level}"
            after.note(_CHECK, count, self._last(_CHECK), {}, summary, self._level)
        if self._has_levelled:
            after.variables = with_mark(after.variables, LEVELLED_UP, moment_at(self._levelled, kind))
        for event, anchor in self._anchors.items():
            after.recur(event, anchor, self._every[event], self._due[event], kind)
        after.series = self._series
        return after

    def _last(self, event: GrowthType) -> M:
        return moment_at(self._anchors[event], self._kind)

    def _schedule(self) -> None:
        self._every = {event: in_ticks(every) for event, every in intervals_at(self._level, self._read).items()}
        self._due = {event: max(anchor + self._every[event], self._levelled) for event, anchor in self._anchors.items()}

    def _grow(self, until: int) -> None:
        """Apply what is due by `until` at the present level."""
        for event, due in self._due.items():
            every = self._every[event]
            count = count_due(due, every, until)
            if not count:
                continue
            if event is _GROW:
                read = self._read
                self._population = grow_population(
                    self._population, read.population_cap, read.population_growth_rate, occurrences=count
                )
            self._counts[event] += count
            self._series.append(Series(event, due, every, count))
            self._anchors[event] = due + (count - 1) * every
            self._due[event] = due + count * every

    def _next_level_ups(self, until: int) -> tuple[int, int] | None:
        """Find the first check with people and structures enough. Returns the number of level-ups and their last time.

        Once the intervals shrink no further, each check in turn brings another level as long as there are people.
        """
        check = self._due.get(_CHECK)
        if check is None or check > until:
            return None
        ready = self._peopled_at(until)
        every = self._every[_CHECK]
        for start, end in self._operating:
            earliest = max(ready, start, check)
            at = check - (check - earliest) // every * every  # the first check that is not before `earliest`
            if at < end:
                possible = self._population // PEOPLE_PER_LEVEL - self._level if self._level >= SHORTEST_FROM else 1
                number = min(max(1, possible), count_due(at, every, min(until, end - 1)))
                return (number, at + (number - 1) * every) if number else None
        return None

    def _peopled_at(self, until: int) -> int:
        """When the population is large enough for the next level; NEVER if that is after `until`."""
        if self.can_reach:
            return 0
        if _GROW not in self._due:
            return NEVER
        due, every, read = self._due[_GROW], self._every[_GROW], self._read
        count = occurrences_until(
            (self._level + 1) * PEOPLE_PER_LEVEL,
            self._population,
            read.population_cap,
            read.population_growth_rate,
            most=count_due(due, every, until),
        )
        return NEVER if count is None else due + (count - 1) * every


def needs_structures(settlement: Entity[M], until: M) -> bool:
    """Whether a level-up by `until` depends on structures: others need not be read."""
    read, _ = SettlementVariables.read(settlement.variables)
    if not read.required_structures_for_level_up:
        return False
    course = SettlementCourse(settlement, (), type(until))
    course.advance(until)
    return course.can_reach


def _windows(required: Sequence[str], structures: Collection[Entity[M]], kind: type[M]) -> Sequence[Window]:
    """When a structure of every required type operates."""
    windows = _ALWAYS
    for name in set(required):
        own = [operating_window(structure, kind) for structure in structures if structure.type == name]
        windows = _common(windows, _join(own))
    return windows


def _join(windows: Sequence[Window]) -> list[Window]:
    """The times that are in any of the windows.

    >>> _join([(5, 7), (1, 3), (2, 4)])
    [(1, 4), (5, 7)]
    """
    joined: list[Window] = []
    for start, end in sorted(windows):
        if start >= end:
            continue
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def _common(one: Sequence[Window], other: Sequence[Window]) -> list[Window]:
    """The times that are in a window of both.

    >>> _common([(1, 5), (7, 9)], [(3, 8)])
    [(3, 5), (7, 8)]
    """
    both = ((max(a, c), min(b, d)) for a, b in one for c, d in other)
    return sorted((start, end) for start, end in both if start < end)
