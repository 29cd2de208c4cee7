"""Variables of settlements and structures, whatever they hold."""

from datetime import timedelta

import pytest

from jobs.world.growth import GrowthType, grow, settlement_intervals
from jobs.world.maintenance import StructureEvent, maintain, structure_intervals
from jobs.world.variables import SettlementVariables, StructureVariables


@pytest.mark.parametrize("wrong", ["x", True, -1, float("nan"), [], {}])
def test_wrong_values_give_way_to_defaults_with_a_warning(wrong: object) -> None:
    """Each value of the wrong type is named; missing and null ones are not."""
    read, warnings = SettlementVariables.read({"population": wrong, "populationCap": None})

    assert read.population == 100
    assert len(warnings) == 1
    assert "population" in warnings[0]
    assert StructureVariables.read(wrong)[0] == StructureVariables()


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
        assert grow(kind, level=1, variables=town, structures=[], occurrences=1_000_000).summary
    for event in StructureEvent:
        assert maintain(event, level=1, variables=house, settlement_resources={}, occurrences=1_000_000).summary
    assert min([*settlement_intervals(1, town).values(), *structure_intervals(1, house).values()]) > timedelta(0)


@pytest.mark.parametrize("minutes", [1e-12, 1e-3, 0, -5])
def test_what_comes_too_often_to_be_meant_comes_as_by_default(minutes: float) -> None:
    """An interval below a second is a slip of the pen, which must not hold up the rest of its campaign."""
    assert structure_intervals(1, {"maintenanceIntervalMinutes": minutes}) == structure_intervals(1, {})
    assert settlement_intervals(1, {"resourceGenerationIntervalMinutes": minutes}) == settlement_intervals(1, {})
