"""Updates of settlements and structures: the entity as read and its new values."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from jobs.errors import JobError, NotFound, VersionConflict
from jobs.main_api.model import Settlement, Structure

E = TypeVar("E", Settlement, Structure)


class Update(msgspec.Struct, Generic[E], frozen=True):
    """One entity as read, and its new values."""

    entity: E
    level: int
    variables: Mapping[str, Any]
    key: str  #: the ID of the job that sends it
    world_time: str | None = None  #: when in the world it happens; None: the campaign runs on wall-clock time

    def variables_for(self, branch_id: str) -> dict[str, Any]:
        """The variables of the mutation."""
        sent = {"variables": self.variables, "branchId": branch_id, "expectedVersion": self.entity.version}
        level = {} if self.level == self.entity.level else {"level": self.level}
        dated = {"worldTime": self.world_time} if self.world_time else {}
        return {"id": self.entity.id, "input": {**sent, **level, **dated}}

    def as_written(self) -> E:
        """The entity as it is after the update."""
        changes = {"level": self.level, "variables": dict(self.variables), "version": self.entity.version + 1}
        return msgspec.structs.replace(self.entity, **changes)


def sort_by_state(batch: Sequence[Update[E]], found: Mapping[str, E | JobError | None]) -> dict[str, E | JobError]:
    """Tell from the entities, read again, what became of updates. Those that have not run are left out."""
    known: dict[str, E | JobError] = {}
    for update in batch:
        now = found[update.entity.id]
        if now is None:
            known[update.entity.id] = NotFound(f"{update.entity.id} is gone")
        elif isinstance(now, JobError):
            known[update.entity.id] = now
        elif now.version != update.entity.version:
            known[update.entity.id] = update.as_written() if _is_written(update, now) else _conflict_of(update, now)
    return known


def _is_written(update: Update[E], now: E) -> bool:
    """Whether `now` is what the update has made: one version later, with the same values."""
    as_sent = (update.entity.version + 1, update.level, update.variables)
    return (now.version, now.level, now.variables) == as_sent


def _conflict_of(update: Update[E], now: E) -> VersionConflict:
    return VersionConflict(f"{update.entity.id} is at version {now.version}, not {update.entity.version}")
