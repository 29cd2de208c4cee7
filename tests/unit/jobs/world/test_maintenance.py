"""Maintenance: n occurrences at once give what n single ones would have given."""

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from jobs.world.change import Change
from jobs.world.maintenance import StructureEvent, maintain, structure_intervals
from tests.support.worlds import amounts, events

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


def wear(event: StructureEvent, level: int, variables: dict[str, Any], n: int) -> Change:
    """A structure after n occurrences."""
    before = copy.deepcopy(variables)
    change = maintain(event, level=level, variables=variables, settlement_resources={"gold": 10}, occurrences=n)
    assert variables == before
    assert change.variables["motto"] == before["motto"]
    return change


@given(st.sampled_from(StructureEvent), st.integers(1, 8), structures, events, events)
def test_one_jump_wears_as_much_as_two(
    event: StructureEvent, level: int, variables: dict[str, Any], first: int, then: int
) -> None:
    """Catching up over several maintenances at once gives what single ones would have given."""
    at_once = wear(event, level, variables, first + then)
    stepwise = wear(event, level, wear(event, level, variables, first).variables, then)

    assert at_once.variables == stepwise.variables


def test_a_structure_without_health_stops_operating() -> None:
    """The maintenance that takes the last health ends the operation; after it none is due."""
    change = wear(StructureEvent.MAINTENANCE_DUE, 1, {"health": 25, "motto": ""}, 9)

    assert change.variables == {
        "health": 0,
        "motto": "",
        "maintenanceDue": True,
        "missedMaintenance": 3,
        "isOperational": False,
    }
    assert list(structure_intervals(1, change.variables)) == [StructureEvent.UPGRADE_AVAILABLE]


def test_millions_of_maintenances_are_calculated_at_once() -> None:
    """Ten million of a thousandth each, without losing a thousandth."""
    change = wear(
        StructureEvent.MAINTENANCE_DUE, 1, {"health": 10_000, "maintenanceWear": 0.001, "motto": ""}, 9_999_999
    )

    assert change.variables["health"] == 0.001
    assert change.variables["missedMaintenance"] == 9_999_999
    assert wear(StructureEvent.MAINTENANCE_DUE, 1, change.variables, 5).variables["missedMaintenance"] == 10_000_000
