"""Growth: n occurrences at once give what n single ones would have given."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.world.change import Change
from jobs.world.growth import GrowthType, StructureStatus, grow, grow_population
from tests.support.worlds import amounts, events

odd: st.SearchStrategy[object] = st.sampled_from([None, "100", True, [], 10**1300])
settlements = st.fixed_dictionaries(
    {"population": st.integers(0, 20_000), "motto": st.text(max_size=5)},
    optional={
        "populationCap": st.integers(0, 30_000),
        "populationGrowthRate": st.floats(0, 2).map(lambda x: round(x, 3)),
        "resources": st.dictionaries(st.sampled_from(["food", "gold", "wood"]), amounts | odd),
        "generationRates": st.dictionaries(st.sampled_from(["food", "gold"]), amounts | odd),
        "requiredStructuresForLevelUp": st.lists(st.sampled_from(["market", "temple"])),
    },
)
STANDING = [StructureStatus("market", operational=True), StructureStatus("temple", operational=False)]


def grow_settlement(kind: GrowthType, level: int, variables: dict[str, Any], n: int) -> Change:
    """A settlement after n occurrences; the rule must not touch what it was given."""
    before = copy.deepcopy(variables)
    change = grow(kind, level=level, variables=variables, structures=STANDING, occurrences=n)
    assert variables == before
    assert change.variables["motto"] == before["motto"]
    return change


@given(st.sampled_from(GrowthType), st.integers(1, 8), settlements, events, events)
def test_one_jump_grows_as_much_as_two(
    kind: GrowthType, level: int, variables: dict[str, Any], first: int, then: int
) -> None:
    """Catching up over several intervals at once gives what single steps would have given."""
    at_once = grow_settlement(kind, level, variables, first + then)
    halfway = grow_settlement(kind, level, variables, first)
    stepwise = grow_settlement(kind, halfway.level, halfway.variables, then)

    assert (at_once.level, at_once.variables) == (stepwise.level, stepwise.variables)


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.floats(0, 3), events)
def test_a_population_never_shrinks_and_stays_below_its_cap(population: int, cap: int, rate: float, n: int) -> None:
    """It grows up to the cap; above the cap it stays as it is."""
    after = grow_population(population, cap, rate, occurrences=n)

    assert population <= after <= max(population, cap)


@pytest.mark.parametrize(
    ("population", "level", "required", "after"),
    [(1000, 1, [], 2), (999, 1, [], 1), (9999, 1, [], 2), (1000, 1, ["temple"], 1), (1000, 1, ["market"], 2)],
)
def test_a_settlement_levels_up(population: int, level: int, required: list[str], after: int) -> None:
    """At (level + 1) * 500 people with all required structures in operation, one level per check."""
    variables = {"population": population, "requiredStructuresForLevelUp": required, "motto": ""}

    assert grow_settlement(GrowthType.LEVEL_UP_CHECK, level, variables, 1).level == after


def one_by_one(population: int, cap: int, rate: float, occurrences: int) -> int:
    """The rule to the letter, in whole numbers of ten-thousandths."""
    parts = round(rate * 10_000)
    for _ in range(occurrences):
        population = max(population, min(cap, (2 * population * (10_000 + parts) + 10_000) // 20_000))
    return population


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 20_000), st.integers(1, 300))
def test_growth_at_once_equals_growth_step_by_step(population: int, cap: int, parts: int, n: int) -> None:
    """Equal gains are made at once; the result is the same."""
    rate = parts / 10_000

    assert grow_population(population, cap, rate, occurrences=n) == one_by_one(population, cap, rate, n)


def test_growth_is_exact_however_large() -> None:
    """A population of thirty digits grows to its cap, to the last one, within a jump of a million occurrences."""
    assert grow_population(100, 10**30 + 1, 0.05, occurrences=1_000_000) == 10**30 + 1
    assert grow_population(10**29, 10**30, 0.5, occurrences=1) == 15 * 10**28
    assert grow_population(10**9, 10**30, 1e-9, occurrences=20_000_000) == 1_020_000_000


@pytest.mark.parametrize("held", ["100", True, [7], {"amount": 7}, float("inf"), 10**1300])
def test_a_resource_that_is_no_number_is_left_as_it_is(held: object) -> None:
    """The others grow; a null is none yet."""
    variables = {"resources": {"food": held, "gold": None, "materials": 1, "silk": held}, "motto": ""}
    change = grow_settlement(GrowthType.RESOURCE_GENERATION, 1, variables, 2)

    assert change.variables["resources"] == {"food": held, "gold": 10, "materials": 7, "silk": held}
    assert change.summary == "gold 10, materials 7"
    assert len(change.warnings) == 1
    assert "resources.food: expected a number" in change.warnings[0]


@pytest.mark.parametrize(
    ("rates", "gained", "warnings"),
    [
        ({"food": 1, "gold": 2, "silk": 3}, {"food": 1, "gold": 2, "materials": 0, "silk": 3}, 0),
        ({"food": 1, "gold": None, "silk": 3}, {"food": 1, "gold": 5, "materials": 0, "silk": 3}, 0),
        ({"food": "1", "gold": 2, "silk": True}, {"food": 10, "gold": 2, "materials": 0, "silk": 0}, 1),
        ("x", {"food": 10, "gold": 5, "materials": 3, "silk": 0}, 1),
    ],
)
def test_an_odd_rate_costs_only_itself(rates: object, gained: dict[str, int], warnings: int) -> None:
    variables = {"resourceTypes": ["food", "gold", "materials", "silk"], "generationRates": rates, "motto": ""}
    change = grow_settlement(GrowthType.RESOURCE_GENERATION, 1, variables, 1)

    assert (change.variables["resources"], len(change.warnings)) == (gained, warnings)
