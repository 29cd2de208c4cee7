"""How structures are built, wear and upgrade. n occurrences at once have the same result as n in turn."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any

from jobs.world.change import Change
from jobs.world.due import interval
from jobs.world.exact import exact, plain
from jobs.world.variables import StructureVariables, is_number


class StructureEvent(StrEnum):
    """The events of a structure."""

    CONSTRUCTION_COMPLETE = "CONSTRUCTION_COMPLETE"
    MAINTENANCE_DUE = "MAINTENANCE_DUE"
    UPGRADE_AVAILABLE = "UPGRADE_AVAILABLE"


def structure_intervals(level: int, variables: object) -> dict[StructureEvent, timedelta]:
    """The structure's events and their intervals.

    Under construction, the only event is its completion after constructionDurationMinutes, which does not shrink with
    the level. Maintenance is due while the structure is operational; upgrades are checked at the same interval.
    """
    read, _ = StructureVariables.read(variables)
    return intervals_at(level, read)


def intervals_at(level: int, read: StructureVariables) -> dict[StructureEvent, timedelta]:
    """The structure's events and their intervals, from variables that were read."""
    if read.construction_duration_minutes:
        return {StructureEvent.CONSTRUCTION_COMPLETE: construction_time(read)}
    every = maintenance_interval(level, read)
    upgrade = {StructureEvent.UPGRADE_AVAILABLE: every}
    return {StructureEvent.MAINTENANCE_DUE: every, **upgrade} if read.is_operational else upgrade


def construction_time(read: StructureVariables) -> timedelta:
    """How long construction takes, at any level; 0: it is built."""
    return timedelta(minutes=read.construction_duration_minutes)


def maintenance_interval(level: int, read: StructureVariables) -> timedelta:
    """The interval of maintenance and of upgrade checks once the structure is built."""
    return interval(timedelta(minutes=read.maintenance_interval_minutes), level)


def maintain(
    event: StructureEvent,
    *,
    level: int,
    variables: Mapping[str, Any],
    settlement_resources: Mapping[str, Any],
    occurrences: int,
) -> Change:
    """Apply `occurrences` of `event` to a structure; unknown variables are kept."""
    read, warnings = StructureVariables.read(variables)
    changed, summary = changes_of(event, read, level, settlement_resources, occurrences)
    kept = {name: value for name, value in variables.items() if name not in changed}
    return Change(level, kept | {name: v for name, v in changed.items() if v is not None}, summary, warnings)


def changes_of(
    event: StructureEvent, read: StructureVariables, level: int, resources: Mapping[str, Any], occurrences: int
) -> tuple[dict[str, Any], str]:
    """The variables that `occurrences` of an event change, None for one that it removes, and a summary."""
    match event:
        case StructureEvent.CONSTRUCTION_COMPLETE:
            return {"constructionDurationMinutes": None, "isOperational": True}, "construction complete"
        case StructureEvent.MAINTENANCE_DUE:
            if read.construction_duration_minutes or not read.is_operational:
                return {}, "no maintenance due: not in operation"
            worn = _wear_down(read, occurrences)
            return worn, _summarise(read, worn)
        case StructureEvent.UPGRADE_AVAILABLE:
            available = _can_upgrade(level, read, resources)
            return {"upgradeAvailable": available}, "upgrade available" if available else "no upgrade available"


def occurrences_left(read: StructureVariables) -> int | None:
    """Count the occurrences of maintenance after which the structure stops operating; None: it never does."""
    full, wear = exact(read.health), exact(read.maintenance_wear)
    if wear:
        return max(1, -(-full // wear))  # rounded up
    return None if full else 1


def _wear_down(read: StructureVariables, occurrences: int) -> dict[str, Any]:
    """Each maintenance due reduces the health, until the structure stops operating and no more is due."""
    last = occurrences_left(read)
    missed = occurrences if last is None else min(occurrences, last)
    health = plain(max(0, exact(read.health) - exact(read.maintenance_wear) * missed))
    worn: dict[str, Any] = {
        "maintenanceDue": True,
        "missedMaintenance": read.missed_maintenance + missed,
        "health": health,
    }
    return worn if health > 0 else {**worn, "isOperational": False}


def _summarise(read: StructureVariables, worn: Mapping[str, Any]) -> str:
    summary = f"maintenance due, health {read.health} → {worn['health']}"
    return summary if worn["health"] else f"{summary}, out of operation"


def _can_upgrade(level: int, read: StructureVariables, resources: Mapping[str, Any]) -> bool:
    """Whether the structure operates, is below its highest level, and the settlement has what the upgrade takes."""

    def amount_of(name: str) -> Any:
        amount = resources.get(name, 0)
        return amount if is_number(amount) else 0

    return is_upgradable(level, read) and all(
        amount_of(name) >= amount for name, amount in read.required_resources_for_upgrade.items()
    )


def is_upgradable(level: int, read: StructureVariables) -> bool:
    """Whether the structure operates and is below its highest level, so that resources decide."""
    return level < read.max_level and read.is_operational and not read.construction_duration_minutes
