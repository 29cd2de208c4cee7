"""The laws of the rules: n occurrences at once give what n single ones would have given."""

import copy
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.world.change import Change
from jobs.world.clock import WallTime, WorldTime, later
from jobs.world.due import MOST_OCCURRENCES, Due, due_by, interval, outstanding
from jobs.world.growth import GrowthType, StructureStatus, grow, grow_population, settlement_intervals
from jobs.world.maintenance import StructureEvent, maintain, structure_intervals
from jobs.world.marks import is_job_applied, read_mark, with_job, with_mark
from jobs.world.variables import SettlementVariables, StructureVariables

events = st.integers(1, 30)
amounts = st.integers(0, 10_000) | st.floats(0, 1000).map(lambda x: round(x, 2))
moments = st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29)).map(  # noqa: DTZ001
    lambda m: WorldTime(m.replace(tzinfo=UTC))
)
settlements = st.fixed_dictionaries(
    {"population": st.integers(0, 20_000), "motto": st.text(max_size=5)},
    optional={
        "populationCap": st.integers(0, 30_000),
        "populationGrowthRate": st.floats(0, 2).map(lambda x: round(x, 3)),
        "resources": st.dictionaries(st.sampled_from(["food", "gold", "wood"]), amounts),
        "generationRates": st.dictionaries(st.sampled_from(["food", "gold"]), amounts),
        "requiredStructuresForLevelUp": st.lists(st.sampled_from(["market", "temple"])),
    },
)
structures = st.fixed_dictionaries(
    {"motto": st.text(max_size=5)},
    optional={
        "health": amounts,
        "maintenanceWear": amounts,
        "isOperational": st.booleans(),
        "constructionDurationMinutes": st.integers(0, 500),
        "missedMaintenance": st.integers(0, 9),
        "requiredResourcesForUpgrade": st.dictionaries(st.sampled_from(["food", "gold"]), amounts),
    },
)
STANDING = [StructureStatus("market", operational=True), StructureStatus("temple", operational=False)]


def grown(kind: GrowthType, level: int, variables: dict[str, Any], n: int) -> Change:
    """A settlement after n occurrences; the rule must not touch what it was given."""
    before = copy.deepcopy(variables)
    change = grow(kind, level=level, variables=variables, structures=STANDING, occurrences=n)
    assert variables == before
    assert change.variables["motto"] == before["motto"]
    return change


def worn(event: StructureEvent, level: int, variables: dict[str, Any], n: int) -> Change:
    """A structure after n occurrences."""
    before = copy.deepcopy(variables)
    change = maintain(event, level=level, variables=variables, settlement_resources={"gold": 10}, occurrences=n)
    assert variables == before
    assert change.variables["motto"] == before["motto"]
    return change


@given(st.sampled_from(GrowthType), st.integers(1, 8), settlements, events, events)
def test_one_jump_grows_as_much_as_two(
    kind: GrowthType, level: int, variables: dict[str, Any], first: int, then: int
) -> None:
    """Catching up over several intervals at once gives what single steps would have given."""
    at_once = grown(kind, level, variables, first + then)
    halfway = grown(kind, level, variables, first)
    stepwise = grown(kind, halfway.level, halfway.variables, then)

    assert (at_once.level, at_once.variables) == (stepwise.level, stepwise.variables)


@given(st.sampled_from(StructureEvent), st.integers(1, 8), structures, events, events)
def test_one_jump_wears_as_much_as_two(
    event: StructureEvent, level: int, variables: dict[str, Any], first: int, then: int
) -> None:
    """Catching up over several maintenances at once gives what single ones would have given."""
    at_once = worn(event, level, variables, first + then)
    stepwise = worn(event, level, worn(event, level, variables, first).variables, then)

    assert at_once.variables == stepwise.variables


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.floats(0, 3), events)
def test_a_population_never_shrinks_and_stays_below_its_cap(population: int, cap: int, rate: float, n: int) -> None:
    """It grows up to the cap; above the cap it stays as it is."""
    after = grow_population(population, cap, rate, occurrences=n)

    assert population <= after <= max(population, cap)


@pytest.mark.parametrize(
    ("population", "level", "required", "after"),
    [(1000, 1, [], 2), (999, 1, [], 1), (9999, 1, [], 2), (1000, 1, ["temple"], 1), (1000, 1, ["market"], 2)],
)
def test_level_up(population: int, level: int, required: list[str], after: int) -> None:
    """A level is gained at (level + 1) * 500 people with all required structures in operation, one a check."""
    variables = {"population": population, "requiredStructuresForLevelUp": required, "motto": ""}

    assert grown(GrowthType.LEVEL_UP_CHECK, level, variables, 1).level == after


def test_health_gone_means_out_of_operation() -> None:
    """The maintenance that takes the last health ends the operation; after it none is due."""
    change = worn(StructureEvent.MAINTENANCE_DUE, 1, {"health": 25, "motto": ""}, 9)

    assert change.variables == {
        "health": 0,
        "motto": "",
        "maintenanceDue": True,
        "missedMaintenance": 3,
        "isOperational": False,
    }
    assert list(structure_intervals(1, change.variables)) == [StructureEvent.UPGRADE_AVAILABLE]


@given(moments, st.integers(1, 10**7), st.integers(0, 10**5), st.integers(0, 10**5))
def test_due_times_are_counted_once(first: WorldTime, seconds: int, a: int, b: int) -> None:
    """What is due by one reading and then by a later one is what is due by the later one."""
    every, reading = timedelta(seconds=seconds), later(first, timedelta(minutes=a))
    last = later(reading, timedelta(minutes=b)) if reading else None
    if reading is None or last is None:
        return
    sooner, all_of_it = due_by(first, every, reading), due_by(first, every, last)

    assert sooner is not None
    assert all_of_it is not None
    assert outstanding(all_of_it, every, sooner.last) == all_of_it.occurrences - sooner.occurrences
    assert outstanding(all_of_it, every, None) == all_of_it.occurrences
    assert outstanding(all_of_it, every, all_of_it.last) == 0


def test_intervals_shrink_with_the_level() -> None:
    """1.0, 0.9, 0.8, 0.7, 0.6 for levels 1 to 5, 0.6 above, and a level below 1 counts as 1."""
    hours = [interval(timedelta(hours=10), level) / timedelta(hours=1) for level in range(8)]

    assert hours == [10, 10, 9, 8, 7, 6, 6, 6]


@given(moments)
def test_moments_survive_their_text(moment: WorldTime) -> None:
    """parse(isoformat(x)) == x in every year from 1 to 9999."""
    assert WorldTime.parse(moment.isoformat()) == moment


def test_clocks_cannot_be_mixed_up() -> None:
    """Comparing wall-clock time with world time is a TypeError; a naive time is no moment."""
    now = datetime(2026, 1, 1, tzinfo=UTC)

    with pytest.raises(TypeError):
        _ = WallTime(now) < WorldTime(now)  # type: ignore[operator]
    assert WallTime(now) != WorldTime(now)  # type: ignore[comparison-overlap]
    with pytest.raises(ValueError, match="offset"):
        WallTime(datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(ValueError, match="yesterday"):
        WorldTime.parse("yesterday")


@given(moments, st.dictionaries(st.text(max_size=3), st.integers()))
def test_marks_are_read_as_written(moment: WorldTime, variables: dict[str, Any]) -> None:
    """A mark is found on its own clock only, and leaves the other variables alone."""
    marked = with_mark(variables, "X", moment)

    assert read_mark(marked, "X", WorldTime) == moment
    assert read_mark(marked, "X", WallTime) is None
    assert read_mark(with_mark(marked, "Y", WallTime(moment.at)), "X", WorldTime) is None
    assert {k: v for k, v in marked.items() if k != "schedulerMarks"} == variables


def test_jobs_asked_for_by_hand_are_remembered() -> None:
    """The last 20 are."""
    variables: dict[str, Any] = {}
    for n in range(25):
        variables = with_job(variables, "X", str(n))

    assert is_job_applied(variables, "X", "24")
    assert is_job_applied(variables, "X", "5")
    assert not is_job_applied(variables, "X", "4")


@pytest.mark.parametrize("wrong", ["x", True, -1, float("nan"), [], {}])
def test_wrong_values_give_way_to_defaults_with_a_warning(wrong: object) -> None:
    """Each value of the wrong type is named; missing and null ones are not."""
    read, warnings = SettlementVariables.read({"population": wrong, "populationCap": None})

    assert read.population == 100
    assert len(warnings) == 1
    assert "population" in warnings[0]
    assert StructureVariables.read(wrong)[0] == StructureVariables()


def test_already_due_with_nothing_left() -> None:
    """Nothing is outstanding after a mark past the due time."""
    at = WorldTime.parse("1000-01-01T00:00:00Z")
    due = Due(at, 3)

    assert outstanding(due, timedelta(hours=1), later(at, timedelta(hours=5))) == 0


def test_the_world_runs_in_a_bare_python() -> None:
    """No rule needs Django."""
    code = "import sys, jobs.world.growth, jobs.world.maintenance; sys.exit('django' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def one_by_one(population: int, cap: int, rate: float, occurrences: int) -> int:
    """The rule to the letter, in whole numbers of ten-thousandths."""
    parts = round(rate * 10_000)
    for _ in range(occurrences):
        population = max(population, min(cap, (2 * population * (10_000 + parts) + 10_000) // 20_000))
    return population


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 20_000), st.integers(1, 300))
def test_growth_in_leaps_is_growth_step_by_step(population: int, cap: int, parts: int, n: int) -> None:
    """Equal gains are made at once, and nobody can tell by the result."""
    rate = parts / 10_000

    assert grow_population(population, cap, rate, occurrences=n) == one_by_one(population, cap, rate, n)


@pytest.mark.parametrize("value", [10**400, 1.7e308, float("inf"), float("nan"), -(10**400)])
def test_numbers_may_be_of_any_size(value: float) -> None:
    """Neither four hundred digits nor what is no number at all stops a rule."""
    town = {
        "population": value,
        "populationCap": value,
        "populationGrowthRate": value,
        "motto": "",
        "populationGrowthIntervalMinutes": value,
        "resources": {"food": value},
        "generationRates": {"food": 0.5},
    }
    house = {
        "health": value,
        "maintenanceWear": value,
        "maxLevel": value,
        "maintenanceIntervalMinutes": value,
        "requiredResourcesForUpgrade": {"gold": value},
        "motto": "",
    }
    for kind in GrowthType:
        assert grown(kind, 1, town, 1_000_000).summary
    for event in StructureEvent:
        assert worn(event, 1, house, 1_000_000).summary
    assert min([*settlement_intervals(1, town).values(), *structure_intervals(1, house).values()]) > timedelta(0)


@pytest.mark.parametrize("minutes", [1e-12, 1e-3, 0, -5])
def test_what_comes_too_often_to_be_meant_comes_as_by_default(minutes: float) -> None:
    """An interval below a second is a slip of the pen, which must not hold up the rest of its campaign."""
    assert structure_intervals(1, {"maintenanceIntervalMinutes": minutes}) == structure_intervals(1, {})
    assert settlement_intervals(1, {"resourceGenerationIntervalMinutes": minutes}) == settlement_intervals(1, {})


def test_a_long_wear_is_calculated_at_once() -> None:
    """Ten million maintenances of a thousandth each, and no thousandth is lost on the way."""
    change = worn(
        StructureEvent.MAINTENANCE_DUE, 1, {"health": 10_000, "maintenanceWear": 0.001, "motto": ""}, 9_999_999
    )

    assert change.variables["health"] == 0.001
    assert change.variables["missedMaintenance"] == 9_999_999
    assert worn(StructureEvent.MAINTENANCE_DUE, 1, change.variables, 5).variables["missedMaintenance"] == 10_000_000


def test_all_of_time_is_not_one_job() -> None:
    """From the year 1 to 9999 second by second: a job applies MOST_OCCURRENCES, the next begins where it ended."""
    first, last = WorldTime.parse("0001-01-01T00:00:00Z"), WorldTime.parse("9999-12-31T23:59:59Z")

    due = due_by(first, timedelta(seconds=1), last)

    assert due == Due(WorldTime(first.at + timedelta(seconds=MOST_OCCURRENCES - 1)), MOST_OCCURRENCES)


def test_growth_is_exact_however_large() -> None:
    """A population of thirty digits grows to its cap, to the last one, within a jump of a million occurrences."""
    assert grow_population(100, 10**30 + 1, 0.05, occurrences=1_000_000) == 10**30 + 1
    assert grow_population(10**29, 10**30, 0.5, occurrences=1) == 15 * 10**28
    assert grow_population(10**9, 10**30, 1e-9, occurrences=20_000_000) == 1_020_000_000
