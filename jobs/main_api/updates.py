"""Updates of settlements and structures: the entity as read and its new values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from jobs.main_api.model import Settlement, Structure

E = TypeVar("E", Settlement, Structure)


@dataclass(frozen=True, slots=True)
class Update(Generic[E]):
    """One entity as read, and its new values."""

    entity: E
    level: int
    variables: Mapping[str, Any]
    key: str  #: the ID of the job that sends it

    def variables_for(self, branch_id: str) -> dict[str, Any]:
        """The variables of the mutation."""
        sent = {"variables": self.variables, "branchId": branch_id, "expectedVersion": self.entity.version}
        level = {} if self.level == self.entity.level else {"level": self.level}
        return {"id": self.entity.id, "input": {**sent, **level}}

    def as_written(self) -> E:
        """The entity as it is after the update."""
        changes = {"level": self.level, "variables": dict(self.variables), "version": self.entity.version + 1}
        return msgspec.structs.replace(self.entity, **changes)
