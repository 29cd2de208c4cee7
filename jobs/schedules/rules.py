"""What a job type brings to apply due jobs: how to read, advance and write its entities."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from jobs.errors import JobError
from jobs.main_api.model import Settlement, Structure
from jobs.main_api.updates import Update
from jobs.run import Run
from jobs.schedules.households import DueEntity
from jobs.world.change import Change
from jobs.world.clock import Moment
from jobs.world.entity import Advanced

E_ = TypeVar("E_", Settlement, Structure)


class EntityAdvance(msgspec.Struct, frozen=True):
    """What has become of an entity, and the error of each event that could not be applied."""

    after: Advanced[Any]
    errors: Mapping[str, JobError] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityRules(Generic[E_]):
    """What differs between settlements and structures."""

    job_type: str
    events: Sequence[str]
    entity_of: Callable[[Any], str]
    """Returns the entity ID in a payload."""
    event_of: Callable[[Any], str]
    """Returns the event type in a payload."""
    payload_of: Callable[[str, str], dict[str, Any]]
    """Returns the payload of a job for an entity and event."""
    read: Callable[[Run, Sequence[str]], Mapping[str, E_ | JobError | None]]
    """Reads current entities."""
    barriers: Callable[[Run, Mapping[str, Moment]], Mapping[str, Moment]]
    """Returns by entity what it must not pass, of those that are to be advanced up to these moments."""
    advance: Callable[[Run, Sequence[DueEntity[E_]]], Mapping[str, EntityAdvance | JobError]]
    """Reads whatever else the rules need, and advances the entities."""
    by_hand: Callable[[Run, E_, int, dict[str, Any], str, int], Change]
    """Applies occurrences of an event to an entity's level and variables now, whatever is due."""
    write: Callable[[Run, Sequence[Update[E_]]], Mapping[str, E_ | JobError]]
    """Updates entities and returns each one's new state or error."""
