"""What the main API answers, as types; fields we do not ask for are ignored."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import msgspec


class _Answer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of all answers."""


class Campaign(_Answer, frozen=True, kw_only=True):
    """A campaign; `current_world_time` None: it runs on wall-clock time."""

    id: str
    name: str
    is_active: bool
    current_world_time: str | None = None


class Branch(_Answer, frozen=True, kw_only=True):
    """A branch of a campaign; the main one has no parent."""

    id: str
    campaign_id: str
    name: str
    parent_id: str | None = None


class Kingdom(_Answer, frozen=True, kw_only=True):
    """A kingdom."""

    id: str
    campaign_id: str
    name: str


class Settlement(_Answer, frozen=True, kw_only=True):
    """A settlement; `variables` as it came (see jobs/world/variables.py)."""

    id: str
    kingdom_id: str
    name: str
    level: int
    variables: Any
    version: int
    archived_at: str | None = None


class Structure(_Answer, frozen=True, kw_only=True):
    """A structure; `variables` as it came."""

    id: str
    settlement_id: str
    name: str
    type: str
    level: int
    variables: Any
    version: int
    archived_at: str | None = None


class Effect(_Answer, frozen=True, kw_only=True):
    """An effect, hanging on the event or encounter `entity_id`."""

    id: str
    name: str
    effect_type: str
    entity_type: str
    entity_id: str
    timing: str
    priority: int
    is_active: bool
    version: int


class Event(_Answer, frozen=True, kw_only=True):
    """An event."""

    id: str
    campaign_id: str
    name: str
    event_type: str
    is_completed: bool
    scheduled_at: str | None = None
    occurred_at: str | None = None


class Expired(_Answer, frozen=True, kw_only=True):
    """An event that is completed by now."""

    id: str
    is_completed: Literal[True]


class EffectExecution(NamedTuple):
    """An effect that was executed."""

    execution_id: str | None = None
    affected_fields: list[str] | None = None

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> "EffectExecution":
        """What the answer says of it; it was executed, however that is told."""
        execution_id, fields = answer.get("executionId"), answer.get("affectedFields")
        named = [field for field in fields if isinstance(field, str)] if isinstance(fields, list) else None
        return cls(execution_id if isinstance(execution_id, str) else None, named)
