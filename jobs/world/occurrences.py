"""The single occurrences of a household in the order of their due times, each with what it changes.

When they are due is known from a few series per entity, however many there are; what each changes is calculated only
for those that are asked for.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from itertools import groupby
from typing import Any, Final, Generic, NamedTuple

from jobs.world.clock import M, moment_at
from jobs.world.entity import Advanced, Series
from jobs.world.growth import GrowthType
from jobs.world.household import Household, advance, advance_settlement, advance_structures, entity_after
from jobs.world.maintenance import StructureEvent

ORDER: Final[Sequence[str]] = (
    StructureEvent.CONSTRUCTION_COMPLETE,
    StructureEvent.MAINTENANCE_DUE,
    GrowthType.POPULATION_GROWTH,
    GrowthType.RESOURCE_GENERATION,
    GrowthType.LEVEL_UP_CHECK,
    StructureEvent.UPGRADE_AVAILABLE,
)
"""In which events of a household occur at the same moment."""
_RANKS: Final[Mapping[str, int]] = {event: rank for rank, event in enumerate(ORDER)}


class Slot(NamedTuple):
    """When an event of an entity is due; slots sort in the order of things."""

    at: int
    """Microseconds since the year 1."""
    rank: int
    entity_id: str

    @property
    def event(self) -> str:
        return ORDER[self.rank]


@dataclass(frozen=True, slots=True)
class Occurrence(Generic[M]):
    """An event of an entity occurs once."""

    at: M
    slot: Slot
    summary: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]


def slots_of(series: Mapping[str, Iterable[Series]], after: Slot | None = None) -> Iterator[Slot]:
    """The due times of entities in order, those after `after`."""
    each = (_slots(entity_id, one, after) for entity_id, own in series.items() for one in own)
    return merge(*each)


def count_between(series: Iterable[Series], after: int, until: int) -> int:
    """Count the due times after `after`, up to `until`.

    >>> count_between([Series("x", 10, 5, 3)], 9, 20), count_between([Series("x", 10, 5, 3)], 10, 99)
    (3, 2)
    """
    return sum(_count_until(one, until) - _count_until(one, after) for one in series)


def occurrences(household: Household[M], slots: Iterable[Slot], kind: type[M]) -> Iterator[Occurrence[M]]:
    """What occurs in slots of the household. From the first on none may be left out."""
    present: _Present[M] | None = None
    for at, together in groupby(slots, key=lambda slot: slot.at):
        own = list(together)
        if present is None:
            present = _Present(household, at, kind)
        occurred = present.advance(at, [slot.entity_id for slot in own])
        for slot in own:
            one = occurred[slot.entity_id].occurred[slot.event]
            yield Occurrence(moment_at(at, kind), slot, one.summary, one.before, one.after)


class _Present(Generic[M]):
    """A household on its way from one due time to the next."""

    def __init__(self, household: Household[M], before: int, kind: type[M]) -> None:
        now = moment_at(before - 1, kind)
        self._kind = kind
        self._household = _after(household, *advance(household, now), now)

    def advance(self, at: int, ids: Sequence[str]) -> Mapping[str, Advanced[M]]:
        """Advance the entities for which something is due; the others stand as they are."""
        household, now = self._household, moment_at(at, self._kind)
        structures = advance_structures(household, [i for i in dict.fromkeys(ids) if i in household.structures], now)
        settlement = household.settlement
        own = advance_settlement(household, now) if settlement and settlement.id in ids else None
        self._household = _after(household, own, structures, now)
        return structures if settlement is None or own is None else {**structures, settlement.id: own}


def _after(
    household: Household[M], settlement: Advanced[M] | None, structures: Mapping[str, Advanced[M]], now: M
) -> Household[M]:
    town = household.settlement
    if town is not None and settlement is not None:
        town = entity_after(town, settlement, now)
    changed = {i: entity_after(household.structures[i], after, now) for i, after in structures.items()}
    return replace(household, settlement=town, structures={**household.structures, **changed})


def _slots(entity_id: str, series: Series, after: Slot | None) -> Iterator[Slot]:
    rank = _RANKS[series.event]
    skipped = max(0, _count_until(series, after.at - 1)) if after else 0
    for n in range(skipped, series.number):
        slot = Slot(series.first + n * series.every, rank, entity_id)
        if after is None or slot > after:
            yield slot


def _count_until(series: Series, until: int) -> int:
    return min(series.number, max(0, (until - series.first) // series.every + 1))
