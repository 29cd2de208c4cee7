"""The result of a rule."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Change:
    """The level and variables after a rule, a summary, and warnings about the variables before."""

    level: int
    variables: dict[str, Any]
    summary: str
    warnings: list[str] = field(default_factory=list)
