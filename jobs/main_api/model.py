"""The main API's response types; unknown fields are ignored."""

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

import msgspec

from jobs.main_api.patches import fields_of
from jobs.world.clock import is_time, iso_text


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
    parent_id: str | None = None


class Kingdom(_Answer, frozen=True, kw_only=True):
    id: str
    campaign_id: str


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


class Written(_Answer, frozen=True, kw_only=True):
    """A settlement or structure after an update: mutations ask for no more, as what they name might not be readable."""

    id: str
    version: int


class AdvancedClock(_Answer, frozen=True, kw_only=True):
    """A campaign's clock after it was advanced."""

    campaign_id: str
    current_world_time: str
    previous_world_time: str | None = None


class Expired(_Answer, frozen=True, kw_only=True):
    """An event that is completed."""

    id: str
    is_completed: Literal[True]


#: The fields that are ISO 8601 in the contract, and milliseconds since 1970 where the main API has them so.
TIMES: Final[Mapping[type, tuple[str, ...]]] = {
    Campaign: ("currentWorldTime",),
    AdvancedClock: ("currentWorldTime", "previousWorldTime"),
    Settlement: ("archivedAt",),
    Structure: ("archivedAt",),
    Event: ("scheduledAt", "occurredAt"),
}


NAMED: Final = frozenset({Campaign, Settlement, Structure, Event, Effect})


def as_contract(value: object, kind: type) -> object:
    """Return an object of a response with its times in ISO 8601, and its ID in place of a name that is missing."""
    if not isinstance(value, dict):
        return value
    times = [name for name in TIMES.get(kind, ()) if value.get(name) is not None and is_time(value[name])]
    unnamed = kind in NAMED and "name" not in value
    if not times and not unnamed:
        return value
    return {
        **value,
        **{name: iso_text(value[name]) for name in times},
        **({"name": value.get("id")} if unnamed else {}),
    }


class EffectExecution(NamedTuple):
    """The result of an executed effect."""

    execution_id: str | None = None
    affected_fields: list[str] | None = None

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> "EffectExecution":
        """Read the result leniently: the effect was executed, however malformed the rest is."""
        execution_id, fields = answer.get("executionId"), answer.get("affectedFields")
        named = [field for field in fields if isinstance(field, str)] if isinstance(fields, list) else None
        named = named or fields_of(answer.get("patchApplied")) or named
        return cls(execution_id if isinstance(execution_id, str) else None, named)
