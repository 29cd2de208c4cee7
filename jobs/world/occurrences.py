"""The single occurrences of a household in the order of their due times, each with what it changes.

When they are due is known from a few series per entity, however many there are; what each changes is calculated only
for those that are asked for.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import merge
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


def rank_of(event: str) -> int:
    """Its place among the events of one moment; others come last."""
    return _RANKS.get(event, len(ORDER))


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


class Steps(Generic[M]):
    """A household on its way from one due time to the next."""

    def __init__(self, household: Household[M], kind: type[M]) -> None:
        self._household = household
        self._kind = kind
        self._at = -1
        self._advanced: dict[str, Advanced[M]] = {}

    def occurrence(self, slot: Slot) -> Occurrence[M]:
        """What occurs in a slot. After the first one, none of the household may be left out."""
        if self._at < 0:  # others may have had slots at this moment before the first
            self._begin(slot.at)
        elif slot.at != self._at:
            self._at, self._advanced = slot.at, {}
        if slot.entity_id not in self._advanced:
            self._advance(slot.at, {slot.entity_id})
        one = self._advanced[slot.entity_id].occurred[slot.event]
        return Occurrence(moment_at(slot.at, self._kind), slot, one.summary, one.before, one.after)

    def _begin(self, at: int) -> None:
        before = moment_at(at - 1, self._kind)
        self._at, self._household = at, _after(self._household, *advance(self._household, before), before)
        settlement = self._household.settlement
        self._advance(at, {*self._household.structures, *([settlement.id] if settlement else [])})

    def _advance(self, at: int, ids: Collection[str]) -> None:
        """Advance some of the entities; the others stand as they are."""
        household, now = self._household, moment_at(at, self._kind)
        structures = advance_structures(household, [i for i in household.structures if i in ids], now)
        self._advanced |= structures
        settlement, own = household.settlement, None
        if settlement is not None and settlement.id in ids:
            own = self._advanced[settlement.id] = advance_settlement(household, now)
        self._household = _after(household, own, structures, now)


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
