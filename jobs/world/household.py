"""A settlement and its structures between two readings of the clock: everything in the order of its own time.

At the same moment: construction is completed, maintenance falls due, the population grows, resources are generated,
level-ups are checked, upgrades are checked. However a period is cut into steps, the household is the same afterwards,
and also if its structures are advanced before the settlement.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Generic

from jobs.world.clock import M
from jobs.world.entity import Advanced, Entity, anchor_of
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
    course = None
    if household.settlement is not None and any(after.check for after in advanced.values()):
        course = SettlementCourse(household.settlement, household.structures.values(), type(until))
    _check_upgrades(advanced.values(), course)
    return dict(advanced)


def _check_upgrades(structures: Collection[StructureAdvanced[M]], course: SettlementCourse[M] | None) -> None:
    """Apply the upgrade checks with the resources of their times; without a course there are none."""
    checks = [(after.check[1], after) for after in structures if after.check is not None]
    for at, after in sorted(checks, key=lambda one: one[0]):
        if course is not None:
            course.advance(at)
        check_upgrade(after, course.resources if course is not None else {})


def advance(household: Household[M], until: M) -> tuple[Advanced[M] | None, dict[str, Advanced[M]]]:
    """Apply everything that is due by `until`. Returns the settlement and the structures as they stand then."""
    if household.settlement is None:
        return None, advance_structures(household, household.structures, until)
    advanced = {i: advance_structure(structure, until) for i, structure in household.structures.items()}
    course = SettlementCourse(household.settlement, household.structures.values(), type(until))
    _check_upgrades(advanced.values(), course)
    course.advance(until)
    return course.result(), dict(advanced)


def entity_after(entity: Entity[M], after: Advanced[M], now: M) -> Entity[M]:
    """The entity as it stands after `after`, which was calculated up to `now`."""
    known = {event: after.next[event].anchor if event in after.next else None for event in entity.anchors}
    anchors = {event: anchor_of(event, after.variables, anchor, now) for event, anchor in known.items()}
    return replace(entity, level=after.level, variables=after.variables, anchors=anchors)
