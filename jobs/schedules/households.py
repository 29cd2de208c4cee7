"""Reads what the rules of one entity need of the rest of its household."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

import msgspec

from jobs.errors import JobError
from jobs.main_api.listing import Listing
from jobs.main_api.model import Settlement, Structure
from jobs.run import Run
from jobs.world.clock import Moment
from jobs.world.entity import Entity, anchor_of
from jobs.world.growth import GrowthType
from jobs.world.maintenance import StructureEvent
from jobs.world.marks import read_mark
from jobs.world.settlements import SettlementCourse
from jobs.world.variables import SettlementVariables, StructureVariables, is_number

E_ = TypeVar("E_", Settlement, Structure)


class DueEntity(msgspec.Struct, Generic[E_], frozen=True):
    """An entity that was read, and up to when it is advanced."""

    entity: E_
    in_world: Entity[Any]
    until: Moment
    attempts: int = 1  #: of its jobs, this one included; the fewest


def as_world_entity(
    entity: Settlement | Structure, events: Iterable[str], known: Mapping[str, Moment], seen: Moment
) -> Entity[Any]:
    """The entity for the rules of the world; `known` is what its schedule has, `seen` the time of its first sight.

    It was read by itself: what a list shows may be older than its schedule.
    """
    variables = entity.variables if isinstance(entity.variables, dict) else {}
    kind = type(seen)
    anchors: dict[str, Any] = {}
    for event in events:
        begun = known.get(event)
        begun = begun if isinstance(begun, kind) else None
        anchors[event] = anchor_of(event, variables, begun, seen, is_current=True)
    return Entity(
        id=entity.id, level=entity.level, variables=variables, anchors=anchors, type=getattr(entity, "type", "")
    )


def read_structures(
    run: Run, settlements: Sequence[DueEntity[Settlement]]
) -> dict[str, dict[str, Entity[Any]] | JobError]:
    """Read the structures that the settlements require for their next level, or a settlement's own error.

    The main API may serve lists from a cache: a structure that the list shows as it was before our last update is read
    individually.
    """
    if not settlements:
        return {}
    lists = run.api.structures_by_settlement([one.entity.id for one in settlements])
    found = {one.entity.id: _find_required(one, lists[one.entity.id]) for one in settlements}
    every = [s for structures in found.values() if not isinstance(structures, JobError) for s in structures]
    anchors = run.schedules.anchors([structure.id for structure in every])
    stale = [structure.id for structure in every if is_stale(structure, anchors.get(structure.id, {}))]
    fresh = run.api.structures(stale) if stale else {}
    return {one.entity.id: _as_world_entities(found[one.entity.id], fresh, anchors, one.until) for one in settlements}


def _find_required(one: DueEntity[Settlement], structures: Listing[Structure] | JobError) -> list[Structure] | JobError:
    if isinstance(structures, JobError):
        return structures
    if structures.unreadable:
        return structures.unreadable[0].error
    required = SettlementVariables.read(one.in_world.variables)[0].required_structures_for_level_up
    return [structure for structure in structures if structure.type in required and not structure.archived_at]


def is_stale(entity: Settlement | Structure, anchors: Mapping[str, Moment]) -> bool:
    """Whether something may have been applied that the entity, which a list shows, does not show."""
    variables = entity.variables if isinstance(entity.variables, dict) else {}
    for event, anchor in anchors.items():
        mark = read_mark(variables, event, type(anchor))
        if event != StructureEvent.CONSTRUCTION_COMPLETE and (mark is None or mark.at < anchor.at):
            return True
    return False


def _as_world_entities(
    structures: list[Structure] | JobError,
    fresh: Mapping[str, Structure | JobError | None],
    anchors: Mapping[str, Mapping[str, Moment]],
    seen: Moment,
) -> dict[str, Entity[Any]] | JobError:
    if isinstance(structures, JobError):
        return structures
    entities: dict[str, Entity[Any]] = {}
    for listed in structures:
        structure = fresh.get(listed.id, listed)
        if isinstance(structure, JobError):
            return structure
        if structure is not None and not structure.archived_at:
            entities[structure.id] = as_world_entity(structure, StructureEvent, anchors.get(structure.id, {}), seen)
    return entities


class ResourcesInTime:
    """The resources of settlements at the times of their structures' upgrade checks, asked for in the order of time."""

    def __init__(self, run: Run, structures: Collection[DueEntity[Structure]]) -> None:
        self._required = {one.entity.id: _required_resources(one.entity) for one in structures}
        ids = {one.entity.settlement_id for one in structures}
        self._run = run
        self._settlements = run.api.settlements(sorted(ids)) if ids else {}
        self._anchors = run.schedules.anchors(sorted(ids)) if ids else {}
        self._last = max((one.until for one in structures), key=lambda until: until.at, default=None)
        self._bounds: dict[str, _Bounds] = {}
        self._structures: dict[str, dict[str, Entity[Any]] | JobError] = {}

    def at(self, structure: Structure, moment: Moment) -> Mapping[str, Any] | JobError:
        """What the settlement has at that moment, or the error of a read; nothing if it is gone."""
        required = self._required[structure.id]
        settlement = self._settlements.get(structure.settlement_id)
        if settlement is None or isinstance(settlement, JobError):
            return settlement or {}
        if settlement.id not in self._bounds:
            # An event without an anchor was first seen now: none is due by the last of the checks.
            known = self._anchors.get(settlement.id, {})
            in_world = as_world_entity(settlement, GrowthType, known, self._last or moment)
            self._bounds[settlement.id] = _Bounds(in_world)
        bounds = self._bounds[settlement.id]
        least, most = bounds.at(moment)
        if all(_has(least, name, amount) == _has(most, name, amount) for name, amount in required.items()):
            return least
        return self._exactly(DueEntity(settlement, bounds.settlement, moment))

    def _exactly(self, one: DueEntity[Settlement]) -> Mapping[str, Any] | JobError:
        """Levels decide how often resources are generated, and structures decide on levels."""
        if one.entity.id not in self._structures:
            self._structures |= read_structures(self._run, [one])
        structures = self._structures[one.entity.id]
        if isinstance(structures, JobError):
            return structures
        course = SettlementCourse(one.in_world, structures.values(), type(one.until))
        course.advance(one.until)
        return course.resources


class _Bounds:
    """A settlement's resources if no required structure lets it level up, and if all do."""

    def __init__(self, settlement: Entity[Any]) -> None:
        self.settlement = settlement
        self._least: SettlementCourse[Any] | None = None
        self._most: SettlementCourse[Any] | None = None

    def at(self, moment: Moment) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The least and the most at that moment, which is not before the last one."""
        if self._least is None:
            self._least = SettlementCourse(self.settlement, (), type(moment))
        self._least.advance(moment)
        # Without people enough for the next level, no structure changes anything.
        if self._most is None and self._least.can_reach and self._least.requires_structures:
            self._most = SettlementCourse(_without_requirements(self.settlement), (), type(moment))
        if self._most is None:
            return self._least.resources, self._least.resources
        self._most.advance(moment)
        return self._least.resources, self._most.resources


def resources_of(settlement: Settlement | None) -> dict[str, Any]:
    """The settlement's resources now; none if it is gone or its variables are no map."""
    resources = settlement.variables.get("resources") if settlement and isinstance(settlement.variables, dict) else None
    return resources if isinstance(resources, dict) else {}


def _required_resources(structure: Structure) -> Mapping[str, float]:
    return StructureVariables.read(structure.variables)[0].required_resources_for_upgrade


def _without_requirements(settlement: Entity[Any]) -> Entity[Any]:
    variables = {n: value for n, value in settlement.variables.items() if n != "requiredStructuresForLevelUp"}
    return replace(settlement, variables=variables)


def _has(resources: Mapping[str, Any], name: str, amount: float) -> bool:
    held = resources.get(name, 0)
    return (held if is_number(held) else 0) >= amount
