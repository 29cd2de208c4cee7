"""What time does to a structure: it is built, wears and may be upgraded, each at its own due times."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic

from jobs.world.clock import M, moment_at, ticks_of
from jobs.world.due import in_ticks
from jobs.world.entity import Advanced, Entity, Series, anchor_ticks, count_due
from jobs.world.maintenance import (
    StructureEvent,
    changes_of,
    construction_time,
    is_upgradable,
    maintenance_interval,
    occurrences_left,
)
from jobs.world.marks import read_mark
from jobs.world.variables import StructureVariables

NEVER: Final = 2**63  #: after the year 9999, in microseconds
Window = tuple[int, int]  # from, and up to but without, in microseconds

_BUILD, _MAINTAIN, _UPGRADE = (
    StructureEvent.CONSTRUCTION_COMPLETE,
    StructureEvent.MAINTENANCE_DUE,
    StructureEvent.UPGRADE_AVAILABLE,
)


@dataclass(slots=True, kw_only=True)
class StructureAdvanced(Advanced[M], Generic[M]):
    """A structure after a stretch of time; `check_upgrade` completes it."""

    check: tuple[int, M] | None = None
    """How many upgrade checks are due, and when the last one is, which decides."""
    _read: StructureVariables | None = None

    def read(self) -> StructureVariables:
        """The variables as the rules read them."""
        if self._read is None:
            self._read = StructureVariables.read(self.variables)[0]
        return self._read

    def apply(self, event: StructureEvent, count: int, last: M, resources: Mapping[str, Any] | None = None) -> None:
        """Apply `count` occurrences of an event."""
        changed, summary = changes_of(event, self.read(), self.level, resources or {}, count)
        self.note(event, count, last, changed, summary)
        self._read = None


def advance_structure(structure: Entity[M], until: M) -> StructureAdvanced[M]:
    """Complete constructions and apply the maintenance that is due by `until`. Upgrade checks remain to be done."""
    kind, end = type(until), ticks_of(until)
    read, warnings = StructureVariables.read(structure.variables)
    after: StructureAdvanced[M] = StructureAdvanced(
        level=structure.level, variables=dict(structure.variables), warnings=warnings, _read=read
    )
    anchors = {event: anchor_ticks(structure, event) for event in (_BUILD, _MAINTAIN, _UPGRADE)}
    if read.construction_duration_minutes:
        begun, takes = anchors[_BUILD], in_ticks(construction_time(read))
        if begun is None:
            return after
        if begun + takes > end:
            after.recur(_BUILD, begun, takes, begun + takes, kind)
            return after
        after.apply(_BUILD, 1, moment_at(begun + takes, kind))
        after.series.append(Series(_BUILD, begun + takes, takes, 1))
        anchors = {_MAINTAIN: begun + takes, _UPGRADE: begun + takes}
        read = after.read()
    every = in_ticks(maintenance_interval(structure.level, read))
    if read.is_operational and (anchor := anchors[_MAINTAIN]) is not None:
        left = occurrences_left(read)
        due = count_due(anchor + every, every, end)
        count = due if left is None else min(due, left)
        if count:
            after.apply(_MAINTAIN, count, moment_at(anchor + count * every, kind))
            after.series.append(Series(_MAINTAIN, anchor + every, every, count))
        if count != left:
            anchor += count * every
            after.recur(_MAINTAIN, anchor, every, anchor + every, kind)
    if (anchor := anchors[_UPGRADE]) is not None:
        checks = count_due(anchor + every, every, end)
        if checks:
            after.check = (checks, moment_at(anchor + checks * every, kind))
            after.series.append(Series(_UPGRADE, anchor + every, every, checks))
        anchor += checks * every
        after.recur(_UPGRADE, anchor, every, anchor + every, kind)
    return after


def needs_resources(after: StructureAdvanced[M]) -> bool:
    """Whether the settlement's resources decide about its upgrade checks: others need not be read."""
    if after.check is None:
        return False
    read = after.read()
    return bool(read.required_resources_for_upgrade) and is_upgradable(after.level, read)


def check_upgrade(after: StructureAdvanced[M], resources: Mapping[str, Any]) -> None:
    """Apply the upgrade checks with the settlement's resources at the time of the last one."""
    if after.check is not None:
        count, last = after.check
        after.apply(_UPGRADE, count, last, resources)


def operating_window(structure: Entity[M], kind: type[M]) -> Window:
    """From when until when the structure operates, as far as its marks and its health tell; empty if it does not.

    It holds for times before what has been applied, too: the marks say when it was completed, and when it failed.
    """
    read, _ = StructureVariables.read(structure.variables)
    every = in_ticks(maintenance_interval(structure.level, read))
    anchor = anchor_ticks(structure, _MAINTAIN)
    if read.construction_duration_minutes:
        begun = anchor_ticks(structure, _BUILD)
        if begun is None:
            return NEVER, NEVER
        start = anchor = begun + in_ticks(construction_time(read))
    else:
        completed = read_mark(structure.variables, _BUILD, kind)
        start = ticks_of(completed) if completed else 0
        if not read.is_operational:
            failed = read_mark(structure.variables, _MAINTAIN, kind)
            return start, start if failed is None or read.health else ticks_of(failed)
    left = occurrences_left(read)
    return start, NEVER if left is None or anchor is None else anchor + left * every
