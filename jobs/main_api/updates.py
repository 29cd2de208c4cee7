"""Updates of settlements and structures: what was read, and what it is to become."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from jobs.main_api.model import Settlement, Structure

E = TypeVar("E", Settlement, Structure)


@dataclass(frozen=True, slots=True)
class Update(Generic[E]):
    """One entity as it was read, and what it is to become."""

    entity: E
    level: int
    variables: Mapping[str, Any]
    key: str  #: the id of the job on whose behalf it is sent

    def variables_for(self, branch_id: str) -> dict[str, Any]:
        """The variables of its mutation."""
        sent = {"variables": self.variables, "branchId": branch_id, "expectedVersion": self.entity.version}
        level = {} if self.level == self.entity.level else {"level": self.level}
        return {"id": self.entity.id, "input": {**sent, **level}}

    def as_written(self) -> E:
        """The entity once the update has run."""
        changes = {"level": self.level, "variables": dict(self.variables), "version": self.entity.version + 1}
        return msgspec.structs.replace(self.entity, **changes)
