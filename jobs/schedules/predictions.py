"""What a what-if said of an advance, kept with the job that was submitted from it, to compare it with what came out."""

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
import structlog

from jobs.models import AdvancePrediction
from jobs.schedules.what_if import EntityChange, WhatIf
from jobs.world.clock import WorldTime
from scheduler_project import text

log = structlog.get_logger(__name__)
LARGEST: Final = 256 * 1024 * 1024  #: bytes of a prediction that is read


class Expected(msgspec.Struct, frozen=True, array_like=True):
    """What becomes of a settlement or structure; values are as in a job's result."""

    kind: str
    id: str
    name: str
    town: str
    """The ID of its settlement."""
    version: int
    """That was read."""
    occurrences: Mapping[str, int]
    before: Mapping[str, Any]
    after: Mapping[str, Any]


class Prediction(NamedTuple):
    """What was said before the advance."""

    made_at: datetime
    was: WorldTime
    to: WorldTime
    entities: Sequence[Expected]
    """Those with something due."""
    expired: Mapping[str, str]
    """The events that expire: their names by ID."""
    unreadable: Sequence[str]
    """What could not be read, so that nothing is said of it."""
    knows_events: bool
    """False: of events only those that were overdue are known."""


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    entities: list[Expected]
    expired: dict[str, str]
    unreadable: list[str]
    knows_events: bool
    jobs: list[str]  #: the IDs of those that run on the way; what they change is not known before


def digest_of(found: WhatIf) -> str:
    """Equal for what-ifs that predict the same from the same state."""
    said = f"{found.world.campaign.id} {found.world.now.isoformat()} {found.until.isoformat()} "
    return hashlib.sha256(said.encode() + _encode(found)).hexdigest()[:32]


def keep(job_id: UUID, found: WhatIf) -> None:
    """Store what a what-if says of the advance that the job makes. Call it in the transaction that submits the job."""
    AdvancePrediction.objects.create(
        job_id=job_id,
        campaign_id=found.world.campaign.id,
        from_time=found.world.now.isoformat(),
        to_time=found.until.isoformat(),
        changes=zlib.compress(_encode(found)),
    )


def find(job_id: UUID) -> Prediction | None:
    """What was said of the advance that the job makes; None if nothing was."""
    row = AdvancePrediction.objects.filter(pk=job_id).first()
    if row is None:
        return None
    try:
        plain = zlib.decompressobj().decompress(row.changes, LARGEST)
        stored = msgspec.convert(json.loads(plain), _Stored)
    except (ValueError, zlib.error) as error:  # of another release, or longer than LARGEST
        log.warning("prediction.unreadable", job_id=str(job_id), error=str(error)[:300], next="nothing is compared")
        return None
    was, to = WorldTime.parse(row.from_time), WorldTime.parse(row.to_time)
    return Prediction(
        made_at=row.created_at,
        was=was,
        to=to,
        entities=stored.entities,
        expired=stored.expired,
        unreadable=stored.unreadable,
        knows_events=stored.knows_events,
    )


def _encode(found: WhatIf) -> bytes:
    """As a job's result is encoded, so that the two compare."""
    world = found.world
    knows_events = world.knows_events and "events" not in world.failed
    expired = {event.id: event.name for event in found.expired}
    jobs = [str(due.job.pk) for due in found.jobs]
    stored = _Stored(list(_expect_each(found)), expired, list(world.failed), knows_events, jobs)
    return text.as_json(stored).encode()


def _expect_each(found: WhatIf) -> Iterator[Expected]:
    return (_expect(change, one.town.settlement.id) for one in found.towns for change in one.changes)


def _expect(change: EntityChange, town: str) -> Expected:
    return Expected(
        change.entity_type,
        change.entity_id,
        change.entity_name,
        town,
        change.version,
        dict(change.occurrences),
        dict(change.before),
        dict(change.after),
    )
