"""A household does not care how time is moved: laws of the simulation, against one that goes step by step."""

import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.world.clock import WorldTime
from jobs.world.entity import anchor_of
from jobs.world.growth import GrowthType
from jobs.world.household import Household, advance, advance_settlement, advance_structures, entity_after
from jobs.world.maintenance import StructureEvent
from jobs.world.marks import KEY
from jobs.world.settlements import needs_structures
from tests.support.households import START, StepByStep, households, make_entity, periods, state


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
        read = {i: entity_after(household.structures[i], after, reading) for i, after in advanced.items()}
        household = replace(household, structures=read)
        if not late:
            assert household.settlement
            after = advance_settlement(household, reading)
            household = replace(household, settlement=entity_after(household.settlement, after, reading))
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
    household = Household(settlement=make_entity("town", 1, variables, timedelta(0)))
    after = advance_settlement(household, WorldTime(START.at + timedelta(minutes=60)))
    assert after.level == 2
    due = {event: one.due and one.due.at - START.at for event, one in after.next.items()}
    assert due == {
        "POPULATION_GROWTH": timedelta(minutes=114),
        "RESOURCE_GENERATION": timedelta(minutes=81),
        "LEVEL_UP_CHECK": timedelta(minutes=114),
    }


def test_variables_that_are_null_stay() -> None:
    """They are somebody else's; null of what the rules know counts as missing."""
    theirs = {"ruler": None, "notes": {"tax": None}, "lastUpgradeAt": None}
    variables = {"population": 100, "populationCap": 1000, "resources": None, **theirs}
    town = advance_settlement(
        Household(settlement=make_entity("town", 1, variables, timedelta(0))), WorldTime(START.at + timedelta(days=1))
    )
    wall = {"constructionDurationMinutes": 5, "health": 100, **theirs}
    household = Household(settlement=None, structures={"wall": make_entity("wall", 1, wall, timedelta(0), "wall")})
    (built,) = advance_structures(household, household.structures, WorldTime(START.at + timedelta(days=1))).values()

    assert town.occurred
    assert built.occurred
    for after in (town, built):
        assert {name: after.variables[name] for name in theirs} == theirs


def test_what_a_shorter_interval_makes_overdue_is_due_at_the_level_up() -> None:
    variables = {"population": 1000, "populationCap": 1000, "resourceGenerationIntervalMinutes": 62}
    household = Household(settlement=make_entity("town", 1, variables, timedelta(0)))
    after = advance_settlement(household, WorldTime(START.at + timedelta(minutes=60)))
    assert after.occurred["RESOURCE_GENERATION"].last.at - START.at == timedelta(minutes=60)  # not 55.8


def test_levels_stop_when_a_required_structure_fails() -> None:
    """Checks every 36 minutes from level 5; the market fails after 240."""
    town = {"population": 10_000, "requiredStructuresForLevelUp": ["market"]}
    market = {"health": 20, "maintenanceWear": 10, "maintenanceIntervalMinutes": 120}
    household = Household(
        settlement=make_entity("town", 5, town, timedelta(0)),
        structures={"market": make_entity("market", 1, market, timedelta(0), "market")},
    )
    assert advance_settlement(household, WorldTime(START.at + timedelta(days=9))).level == 5 + 240 // 36


def test_a_repaired_structure_is_not_charged_for_the_time_out_of_operation() -> None:
    variables = {"health": 10, "maintenanceWear": 10}
    broken = Household(settlement=None, structures={"mill": make_entity("mill", 1, variables, timedelta(0), "mill")})
    month = WorldTime(START.at + timedelta(days=30))
    after = advance_structures(broken, ["mill"], month)["mill"]
    assert after.variables["isOperational"] is False
    repaired = entity_after(broken.structures["mill"], after, month)
    repaired = replace(repaired, variables=after.variables | {"isOperational": True, "health": 100})
    later = WorldTime(month.at + timedelta(hours=3))
    again = advance_structures(Household(settlement=None, structures={"mill": repaired}), ["mill"], later)["mill"]
    assert again.variables["health"] == 90


@pytest.mark.parametrize("until", [START.at - timedelta(days=400), START.at])
def test_a_clock_that_has_not_moved_changes_nothing(until: datetime) -> None:
    household = Household(
        settlement=make_entity("town", 1, {}, timedelta(0)),
        structures={"mill": make_entity("mill", 1, {}, timedelta(0), "mill")},
    )
    town, buildings = advance(household, WorldTime(until))
    assert town
    assert not town.occurred
    assert not buildings["mill"].occurred


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(minutes=1), timedelta(days=400)])
def test_nothing_occurs_before_a_mark_again(ahead: timedelta) -> None:
    """Marks may be ahead of the clock: after a restore of the main API's data, say."""
    reading = WorldTime(START.at + timedelta(days=9))
    mark = WorldTime(reading.at + ahead).isoformat()
    marked = {KEY: {"clock": "world", **dict.fromkeys([*GrowthType, *StructureEvent], mark)}}
    town, mill = make_entity("town", 1, marked, timedelta(0)), make_entity("mill", 1, marked, timedelta(0), "mill")
    read = [
        replace(one, anchors={event: anchor_of(event, marked, at, reading) for event, at in one.anchors.items()})
        for one in (town, mill)
    ]
    after, buildings = advance(Household(settlement=read[0], structures={"mill": read[1]}), reading)
    assert after
    assert not after.occurred
    assert not buildings["mill"].occurred


def test_ten_thousand_years_are_calculated_at_once() -> None:
    household = Household(
        settlement=make_entity("town", 1, {"populationCap": 10**9}, timedelta(0)),
        structures={"mill": make_entity("mill", 1, {"maintenanceWear": 0}, timedelta(0), "mill")},
    )
    town, buildings = advance(household, WorldTime(datetime(9999, 12, 31, tzinfo=UTC)))
    assert town
    assert town.variables["population"] == 10**9
    assert buildings["mill"].occurred["MAINTENANCE_DUE"].count > 30_000_000
