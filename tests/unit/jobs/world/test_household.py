"""A household does not care how time is moved: laws of the simulation, against one that goes step by step."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.world.clock import WorldTime
from jobs.world.entity import Advanced, Entity, anchor_of
from jobs.world.growth import GrowthType, StructureStatus, grow, settlement_intervals
from jobs.world.household import Household, advance, advance_settlement, advance_structures
from jobs.world.maintenance import StructureEvent, maintain, structure_intervals
from jobs.world.marks import KEY
from jobs.world.settlements import needs_structures
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
        settlement=seen("town", draw(levels), draw(settlement_variables), draw(ages)),
        structures={
            f"building-{n}": seen(f"building-{n}", level, variables, draw(ages), kind)
            for n, (variables, level, kind) in enumerate(structures)
        },
    )


def seen(entity_id: str, level: int, variables: dict[str, Any], age: timedelta, kind: str = "") -> Entity[WorldTime]:
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


def as_read(entity: Entity[WorldTime], after: Advanced[WorldTime], now: WorldTime) -> Entity[WorldTime]:
    """The entity as it is read from the main API afterwards, with its schedule's anchors."""
    events: list[str] = [*(StructureEvent if entity.type else GrowthType)]
    known = {event: after.next[event].anchor if event in after.next else None for event in events}
    anchors = {event: anchor_of(event, after.variables, known[event], now) for event in events}
    return replace(entity, level=after.level, variables=after.variables, anchors=anchors)


def state(entity: Entity[WorldTime] | Advanced[WorldTime] | None) -> tuple[int, dict[str, Any]]:
    """Level and variables without the marks."""
    assert entity is not None
    return entity.level, {name: value for name, value in entity.variables.items() if name != KEY}


@given(households(), periods)
def test_a_period_has_the_same_result_as_each_of_its_occurrences_in_turn(
    household: Household[WorldTime], readings: list[WorldTime]
) -> None:
    before = copy.deepcopy(household)
    town, buildings = advance(household, readings[-1])
    level, variables = StepByStep(household).run(readings[-1])[0]
    assert state(town) == (level, variables)
    assert {i: state(after) for i, after in buildings.items()} == StepByStep(household).run(readings[-1])[1]
    assert household == before, "what was passed in is unchanged"


@given(households(), periods, st.data())
def test_however_a_period_is_cut_the_household_is_the_same_afterwards(
    household: Household[WorldTime], readings: list[WorldTime], data: st.DataObject
) -> None:
    """At every reading the structures are advanced, the settlement only sometimes: its jobs may run later."""
    town, buildings = advance(household, readings[-1])
    for n, reading in enumerate(readings, 1):
        assert household.settlement
        late = n < len(readings) and data.draw(st.booleans(), label="settlement is late")
        advanced = advance_structures(household, household.structures, reading)
        read = {i: as_read(household.structures[i], after, reading) for i, after in advanced.items()}
        household = replace(household, structures=read)
        if not late:
            assert household.settlement
            after = advance_settlement(household, reading)
            household = replace(household, settlement=as_read(household.settlement, after, reading))
    assert household.settlement
    assert state(household.settlement) == state(town)
    assert {i: state(s) for i, s in household.structures.items()} == {i: state(a) for i, a in buildings.items()}
    again, structures = advance(household, readings[-1])
    assert again
    assert not again.occurred
    assert not any(after.occurred for after in structures.values())
    assert town
    assert {event: one.due for event, one in town.next.items()} == {e: one.due for e, one in again.next.items()}


@given(households(), periods)
def test_structures_are_read_only_if_a_level_up_depends_on_them(
    household: Household[WorldTime], readings: list[WorldTime]
) -> None:
    assert household.settlement
    if not needs_structures(household.settlement, readings[-1]):
        without = Household(settlement=household.settlement)
        assert state(advance_settlement(without, readings[-1])) == state(advance_settlement(household, readings[-1]))


@given(households(), periods)
def test_next_due_times_lie_after_the_reading(household: Household[WorldTime], readings: list[WorldTime]) -> None:
    town, buildings = advance(household, readings[-1])
    assert town is not None
    for after in [town, *buildings.values()]:
        assert all(one.due is None or one.due > readings[-1] for one in after.next.values())
        assert all(one.last <= readings[-1] for one in after.occurred.values())


def test_a_level_up_shortens_the_intervals_at_once() -> None:
    """Level 1 at 1000 people: the check after 60 minutes finds them; resources, due at 90, then come every 81."""
    variables = {"population": 1000, "populationCap": 1000, "resourceGenerationIntervalMinutes": 90}
    household = Household(settlement=seen("town", 1, variables, timedelta(0)))
    after = advance_settlement(household, WorldTime(START.at + timedelta(minutes=60)))
    assert after.level == 2
    due = {event: one.due and one.due.at - START.at for event, one in after.next.items()}
    assert due == {
        "POPULATION_GROWTH": timedelta(minutes=114),
        "RESOURCE_GENERATION": timedelta(minutes=81),
        "LEVEL_UP_CHECK": timedelta(minutes=114),
    }


def test_what_a_shorter_interval_makes_overdue_is_due_at_the_level_up() -> None:
    variables = {"population": 1000, "populationCap": 1000, "resourceGenerationIntervalMinutes": 62}
    household = Household(settlement=seen("town", 1, variables, timedelta(0)))
    after = advance_settlement(household, WorldTime(START.at + timedelta(minutes=60)))
    assert after.occurred["RESOURCE_GENERATION"].last.at - START.at == timedelta(minutes=60)  # not 55.8


def test_levels_stop_when_a_required_structure_fails() -> None:
    """Checks every 36 minutes from level 5; the market fails after 240."""
    town = {"population": 10_000, "requiredStructuresForLevelUp": ["market"]}
    market = {"health": 20, "maintenanceWear": 10, "maintenanceIntervalMinutes": 120}
    household = Household(
        settlement=seen("town", 5, town, timedelta(0)),
        structures={"market": seen("market", 1, market, timedelta(0), "market")},
    )
    assert advance_settlement(household, WorldTime(START.at + timedelta(days=9))).level == 5 + 240 // 36


def test_a_repaired_structure_is_not_charged_for_the_time_out_of_operation() -> None:
    variables = {"health": 10, "maintenanceWear": 10}
    broken = Household(settlement=None, structures={"mill": seen("mill", 1, variables, timedelta(0), "mill")})
    month = WorldTime(START.at + timedelta(days=30))
    after = advance_structures(broken, ["mill"], month)["mill"]
    assert after.variables["isOperational"] is False
    repaired = as_read(broken.structures["mill"], after, month)
    repaired = replace(repaired, variables=after.variables | {"isOperational": True, "health": 100})
    later = WorldTime(month.at + timedelta(hours=3))
    again = advance_structures(Household(settlement=None, structures={"mill": repaired}), ["mill"], later)["mill"]
    assert again.variables["health"] == 90


@pytest.mark.parametrize("until", [START.at - timedelta(days=400), START.at])
def test_a_clock_that_has_not_moved_changes_nothing(until: datetime) -> None:
    household = Household(
        settlement=seen("town", 1, {}, timedelta(0)),
        structures={"mill": seen("mill", 1, {}, timedelta(0), "mill")},
    )
    town, buildings = advance(household, WorldTime(until))
    assert town
    assert not town.occurred
    assert not buildings["mill"].occurred


def test_ten_thousand_years_are_calculated_at_once() -> None:
    household = Household(
        settlement=seen("town", 1, {"populationCap": 10**9}, timedelta(0)),
        structures={"mill": seen("mill", 1, {"maintenanceWear": 0}, timedelta(0), "mill")},
    )
    town, buildings = advance(household, WorldTime(datetime(9999, 12, 31, tzinfo=UTC)))
    assert town
    assert town.variables["population"] == 10**9
    assert buildings["mill"].occurred["MAINTENANCE_DUE"].count > 30_000_000
