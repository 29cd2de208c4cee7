"""Variables of settlements and structures, whatever they hold."""

from datetime import timedelta

import pytest

from jobs.world.growth import GrowthType, grow, settlement_intervals
from jobs.world.maintenance import StructureEvent, maintain, structure_intervals
from jobs.world.variables import SettlementVariables, StructureVariables


@pytest.mark.parametrize("wrong", ["x", True, -1, float("nan"), [], {}])
def test_wrong_values_are_replaced_by_defaults_with_a_warning(wrong: object) -> None:
    """Each value of the wrong type is named; missing and null ones are not."""
    read, warnings = SettlementVariables.read({"population": wrong, "populationCap": None})

    assert read.population == 100
    assert len(warnings) == 1
    assert "population" in warnings[0]
    assert StructureVariables.read(wrong)[0] == StructureVariables()


@pytest.mark.parametrize("value", [10**400, 1.7e308, float("inf"), float("nan"), -(10**400)])
def test_rules_accept_numbers_of_any_size(value: float) -> None:
    """Four hundred digits, or no number at all."""
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
def test_intervals_below_a_second_take_the_default(minutes: float) -> None:
    """They are a mistake, which must not delay the rest of the campaign."""
    assert structure_intervals(1, {"maintenanceIntervalMinutes": minutes}) == structure_intervals(1, {})
    assert settlement_intervals(1, {"resourceGenerationIntervalMinutes": minutes}) == settlement_intervals(1, {})


def test_an_odd_amount_for_an_upgrade_drops_no_other() -> None:
    read, warnings = StructureVariables.read({"requiredResourcesForUpgrade": {"gold": 50, "wood": None, "silk": "9"}})

    assert (read.required_resources_for_upgrade, len(warnings)) == ({"gold": 50, "wood": 0, "silk": 0}, 1)
