"""What a recalculation reads of settlements, and how."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from jobs.errors import JobError
from jobs.main_api.model import Settlement, Structure
from jobs.run import Run, WantedSchedule


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadResult:
    """The result of reading some settlements."""

    wanted: Sequence[WantedSchedule]
    read: Sequence[str]
    """The entities that were read, whether or not they want schedules."""
    failed: Mapping[str, JobError] = field(default_factory=dict)
    unreadable: Sequence[str] = ()
    """The IDs of structures that could not be read, or of settlements whose structures could not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalculation:
    """What differs between the two job types."""

    job_type: str
    entity_type: str
    settlements: int
    """Settlements per slice."""
    part: int
    """Settlements per step: their entities are read, and their schedules written in one transaction."""
    look: Callable[[Run, Sequence[Settlement]], Mapping[str, ReadResult]]
    """Reads the entities of settlements. Returns them by settlement."""
    find: Callable[[Run, Sequence[str]], Mapping[str, Settlement | Structure | JobError | None]]
    """Reads individual entities; None if one is gone."""


def merge(each: Iterable[ReadResult]) -> ReadResult:
    """What was found of several settlements."""
    parts = list(each)
    return ReadResult(
        wanted=[want for part in parts for want in part.wanted],
        read=[entity_id for part in parts for entity_id in part.read],
        failed={name: error for part in parts for name, error in part.failed.items()},
        unreadable=[entity_id for part in parts for entity_id in part.unreadable],
    )
