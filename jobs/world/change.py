"""What a rule makes of an entity."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Change:
    """The level and variables after a rule; what happened in words; what was wrong in the variables before."""

    level: int
    variables: dict[str, Any]
    summary: str
    warnings: list[str] = field(default_factory=list)
