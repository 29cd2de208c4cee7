"""Households of any kind for the laws of their simulation, and a simulation that goes step by step."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from jobs.world.clock import WorldTime
from jobs.world.entity import Advanced, Entity
from jobs.world.growth import GrowthType, StructureStatus, grow, settlement_intervals
from jobs.world.household import Household, advance, entity_after
from jobs.world.maintenance import StructureEvent, maintain, structure_intervals
from jobs.world.marks import KEY
from jobs.world.variables import StructureVariables

START = WorldTime(datetime(1372, 1, 16, 6, tzinfo=UTC))
ORDER: list[GrowthType | StructureEvent] = [
    StructureEvent.CONSTRUCTION_COMPLETE,
    StructureEvent.MAINTENANCE_DUE,
    GrowthType.POPULATION_GROWTH,
    GrowthType.RESOURCE_GENERATION,
    GrowthType.LEVEL_UP_CHECK,
    StructureEvent.UPGRADE_AVAILABLE,
]
TYPES = ["market", "temple"]

minutes = st.sampled_from([25, 40, 60, 60.5, 90, 120, 600])
amounts = st.integers(0, 60) | st.floats(0, 9).map(lambda x: round(x, 1))
settlement_variables = st.fixed_dictionaries(
    {"population": st.integers(0, 9000), "motto": st.just("Onward")},
    optional={
        "populationCap": st.integers(0, 12_000),
        "populationGrowthRate": st.sampled_from([0, 0.01, 0.05, 0.3]),
        "populationGrowthIntervalMinutes": minutes,
        "resourceGenerationIntervalMinutes": minutes,
        "resources": st.dictionaries(st.sampled_from(["food", "gold", "wood"]), amounts),
        "generationRates": st.dictionaries(st.sampled_from(["food", "gold"]), amounts),
        "requiredStructuresForLevelUp": st.lists(st.sampled_from(TYPES), max_size=2),
    },
)
structure_variables = st.fixed_dictionaries(
    {"motto": st.just("Higher")},
    optional={
        "maintenanceIntervalMinutes": minutes,
        "health": amounts,
        "maintenanceWear": amounts,
        "isOperational": st.booleans(),
        "constructionDurationMinutes": st.integers(0, 2000),
        "requiredResourcesForUpgrade": st.dictionaries(st.sampled_from(["food", "gold"]), st.integers(0, 900)),
    },
)
levels = st.integers(0, 6)
ages = st.timedeltas(timedelta(0), timedelta(minutes=6)).map(lambda age: age - age % timedelta(milliseconds=1))


@st.composite
def households(draw: st.DrawFn) -> Household[WorldTime]:
    """A settlement with up to three structures, each seen first at a moment of its own."""
    structures = draw(st.lists(st.tuples(structure_variables, levels, st.sampled_from(TYPES)), max_size=3))
    return Household(
        settlement=make_entity("town", draw(levels), draw(settlement_variables), draw(ages)),
        structures={
            f"building-{n}": make_entity(f"building-{n}", level, variables, draw(ages), kind)
            for n, (variables, level, kind) in enumerate(structures)
        },
    )


def make_entity(
    entity_id: str, level: int, variables: dict[str, Any], age: timedelta, kind: str = ""
) -> Entity[WorldTime]:
    """An entity whose events were all seen first at the same moment."""
    events = StructureEvent if kind else GrowthType
    anchor = WorldTime(START.at - age)
    return Entity(id=entity_id, level=level, variables=variables, anchors=dict.fromkeys(events, anchor), type=kind)


periods = st.lists(st.integers(1, 700), min_size=1, max_size=5).map(
    lambda parts: [WorldTime(START.at + timedelta(minutes=sum(parts[: n + 1]))) for n in range(len(parts))]
)


@dataclass
class StepByStep:
    """The household's rules, one occurrence at a time."""

    household: Household[WorldTime]
    anchors: dict[tuple[str, str], datetime] = field(default_factory=dict)
    levelled: datetime | None = None
    occurred: list[tuple[datetime, str, str]] = field(default_factory=list)
    """Due time, event and entity; of the settlement the entity is empty."""

    def run(self, until: WorldTime) -> tuple[Any, dict[str, Any]]:
        """Return (level, variables) of the settlement, and of each structure."""
        assert self.household.settlement
        entities = {"": self.household.settlement, **self.household.structures}
        self.state = {i: (entity.level, dict(entity.variables)) for i, entity in entities.items()}
        self.anchors = {(i, event): at.at for i, entity in entities.items() for event, at in entity.anchors.items()}
        while due := [one for one in self._due() if one[0] <= until.at]:
            at, rank, entity_id = min(due)
            self._apply(at, ORDER[rank], entity_id)
        return self.state[""], {i: state for i, state in self.state.items() if i}

    def _due(self) -> list[tuple[datetime, int, str]]:
        found = []
        for i, (level, variables) in self.state.items():
            intervals: Mapping[Any, timedelta] = (structure_intervals if i else settlement_intervals)(level, variables)
            for event, every in intervals.items():
                at = self.anchors[i, event] + every
                if not i and self.levelled:
                    at = max(at, self.levelled)
                found.append((at, ORDER.index(event), i))
        return found

    def _apply(self, at: datetime, event: GrowthType | StructureEvent, i: str) -> None:
        level, variables = self.state[i]
        self.anchors[i, event] = at
        self.occurred.append((at, event.value, i))
        if isinstance(event, GrowthType):
            change = grow(event, level=level, variables=variables, structures=self._statuses(), occurrences=1)
            if change.level != level:
                self.levelled = at
        else:
            resources = self.state[""][1].get("resources", {})
            change = maintain(event, level=level, variables=variables, settlement_resources=resources, occurrences=1)
            if event is StructureEvent.CONSTRUCTION_COMPLETE:
                self.anchors |= {(i, StructureEvent.MAINTENANCE_DUE): at, (i, StructureEvent.UPGRADE_AVAILABLE): at}
        self.state[i] = change.level, change.variables

    def _statuses(self) -> list[StructureStatus]:
        statuses = []
        for i, structure in self.household.structures.items():
            read, _ = StructureVariables.read(self.state[i][1])
            working = read.is_operational and not read.construction_duration_minutes
            statuses.append(StructureStatus(structure.type, working))
        return statuses


def carry(household: Household[WorldTime], until: WorldTime) -> Household[WorldTime]:
    """The household as it stands once everything due by `until` is applied."""
    town, structures = advance(household, until)
    settlement = household.settlement
    if settlement is not None and town is not None:
        settlement = entity_after(settlement, town, until)
    changed = {i: entity_after(household.structures[i], after, until) for i, after in structures.items()}
    return replace(household, settlement=settlement, structures={**household.structures, **changed})


def patch(household: Household[WorldTime], entity_id: str, variables: Mapping[str, Any]) -> Household[WorldTime]:
    """The household after an effect has set variables of one entity, if it is one of its own."""
    own = household.settlement
    if own is not None and own.id == entity_id:
        return replace(household, settlement=replace(own, variables={**own.variables, **variables}))
    if structure := household.structures.get(entity_id):
        structure = replace(structure, variables={**structure.variables, **variables})
        return replace(household, structures={**household.structures, entity_id: structure})
    return household


def state(entity: Entity[WorldTime] | Advanced[WorldTime] | None) -> tuple[int, dict[str, Any]]:
    """Level and variables without the marks."""
    assert entity is not None
    return entity.level, {name: value for name, value in entity.variables.items() if name != KEY}
