"""The main API's response types; unknown fields are ignored."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import msgspec


class _Answer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of all responses: camelCase on the wire."""


class Campaign(_Answer, frozen=True, kw_only=True):
    """A campaign; if `current_world_time` is None, it runs on wall-clock time."""

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
    id: str
    campaign_id: str
    name: str


class Settlement(_Answer, frozen=True, kw_only=True):
    """A settlement; `variables` is unchecked (see jobs/world/variables.py)."""

    id: str
    kingdom_id: str
    name: str
    level: int
    variables: Any
    version: int
    archived_at: str | None = None


class Structure(_Answer, frozen=True, kw_only=True):
    """A structure; `variables` is unchecked (see jobs/world/variables.py)."""

    id: str
    settlement_id: str
    name: str
    type: str
    level: int
    variables: Any
    version: int
    archived_at: str | None = None


class Effect(_Answer, frozen=True, kw_only=True):
    """An effect of the event or encounter `entity_id`."""

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
    id: str
    campaign_id: str
    name: str
    event_type: str
    is_completed: bool
    scheduled_at: str | None = None
    occurred_at: str | None = None


class Expired(_Answer, frozen=True, kw_only=True):
    """An event that is completed."""

    id: str
    is_completed: Literal[True]


class EffectExecution(NamedTuple):
    """The result of an executed effect."""

    execution_id: str | None = None
    affected_fields: list[str] | None = None

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> "EffectExecution":
        """Read the result leniently: the effect was executed, however malformed the rest is."""
        execution_id, fields = answer.get("executionId"), answer.get("affectedFields")
        named = [field for field in fields if isinstance(field, str)] if isinstance(fields, list) else None
        return cls(execution_id if isinstance(execution_id, str) else None, named)
