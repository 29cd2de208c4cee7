"""A settlement and its structures between two readings of the clock: everything in the order of its own time.

At the same moment: construction is completed, maintenance falls due, the population grows, resources are generated,
level-ups are checked, upgrades are checked. However a period is cut into steps, the household is the same afterwards,
and also if its structures are advanced before the settlement.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic

from jobs.world.clock import M
from jobs.world.entity import Advanced, Entity
from jobs.world.settlements import SettlementCourse
from jobs.world.structures import StructureAdvanced, advance_structure, check_upgrade


@dataclass(frozen=True, slots=True, kw_only=True)
class Household(Generic[M]):
    """A settlement with its structures."""

    settlement: Entity[M] | None
    """None: unknown. Then it has no resources."""
    structures: Mapping[str, Entity[M]] = field(default_factory=dict)


def advance_settlement(household: Household[M], until: M) -> Advanced[M]:
    """Apply what is due to the settlement by `until`.

    Structures may stand earlier or later than the settlement, but not so late that their upgrade checks still need
    its present resources.
    """
    if household.settlement is None:
        raise ValueError("the household has no settlement")
    course = SettlementCourse(household.settlement, household.structures.values(), type(until))
    course.advance(until)
    return course.result()


def advance_structures(household: Household[M], ids: Collection[str], until: M) -> dict[str, Advanced[M]]:
    """Apply what is due to these structures by `until`.

    The settlement may stand earlier: its resources at the time of an upgrade check are calculated.
    """
    advanced = {i: advance_structure(household.structures[i], until) for i in ids}
    checks = [(after.check[1], after) for after in advanced.values() if after.check is not None]
    for resources, after in _resources_at(household, checks, type(until)):
        check_upgrade(after, resources)
    return dict(advanced)


def _resources_at(
    household: Household[M], checks: list[tuple[M, StructureAdvanced[M]]], kind: type[M]
) -> list[tuple[Mapping[str, Any], StructureAdvanced[M]]]:
    if household.settlement is None:
        return [({}, after) for _, after in checks]
    course = SettlementCourse(household.settlement, household.structures.values(), kind)
    known = []
    for at, after in sorted(checks, key=lambda one: one[0]):
        course.advance(at)
        known.append((course.resources, after))
    return known


def advance(household: Household[M], until: M) -> tuple[Advanced[M] | None, dict[str, Advanced[M]]]:
    """Apply everything that is due by `until`. Returns the settlement and the structures as they stand then."""
    settlement = advance_settlement(household, until) if household.settlement else None
    return settlement, advance_structures(household, household.structures, until)
