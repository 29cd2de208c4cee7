"""Work that grows is cut into slices: a job does what it can in some seconds and submits one job for the rest.

That follow-up carries where the work goes on. Its key is made from the job that began and its own number, so that a
retry of an attempt that had submitted it already finds it and makes no second one.
"""

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
from django.conf import settings
from django.utils import timezone
from msgspec import Meta

from jobs.errors import CircuitOpen, JobError, NotAuthorized, PermanentError, TransientError
from jobs.registry import Payload, type_named
from jobs.run import Followup, Run
from scheduler_project.text import job_id

LONGEST_AGO: Final = timedelta(days=365)  #: a due time may lie no longer ago than a year
MOST_NAMED: Final = 5  #: errors that a message quotes


class Slice(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """Where the work goes on."""

    root: Annotated[str, Meta(min_length=1, max_length=64)]
    """The id of the job that began."""
    number: Annotated[int, Meta(ge=0)]
    """Counts the follow-ups."""
    due_at: Annotated[datetime, Meta(tz=True)]
    """When it is due: known from the root and the number alone, as the job's key holds it."""
    at: Annotated[datetime, Meta(tz=True)] | None = None
    """When the root had done its slice."""
    after: tuple[str, ...] = ()
    """The ids of what came last; empty: nothing did."""
    failed: Annotated[int, Meta(ge=0)] = 0
    """How many events at the head of the list could not be expired."""
    whole: bool = True
    """Whether all slices so far read everything without an error."""


class SlicedPayload(Payload, frozen=True, kw_only=True):
    """The payload of types that need none from whoever submits them."""

    slice: Slice | None = None

    def due_at(self) -> datetime | None:
        """When the slice is due."""
        return self.slice.due_at if self.slice else None


class Budget:
    """What one slice may do: some number of things, in a third of the time limit of its job."""

    def __init__(self, job_type: str, most: int) -> None:
        limit: timedelta = type_named(job_type).timeout or settings.JOB_TIMEOUT
        self._until = time.monotonic() + limit.total_seconds() / 3
        self._left = most

    def spend(self, count: int) -> None:
        """So many things were done."""
        self._left -= count

    @property
    def spent(self) -> bool:
        """Whether the slice ends here."""
        return self._left <= 0 or time.monotonic() >= self._until

    def allows(self, count: int) -> int:
        """How many of `count` things may be done."""
        return max(0, min(count, self._left))


def current_slice(run: Run, known: Slice | None) -> Slice:
    """The slice that a job does; the first one where it began the work."""
    return known or Slice(root=run.job_id, number=0, due_at=_submitted_at(run.job_id))


def rest_of(job_type: str, campaign_id: str, of: Slice, **changes: Any) -> Followup:
    """The job that goes on after the slice `of`."""
    following = msgspec.structs.replace(of, number=of.number + 1, **changes)
    return followup_for(job_type, campaign_id, following)


def followup_for(job_type: str, campaign_id: str, following: Slice) -> Followup:
    """The job that does a slice."""
    return Followup(
        type=job_type,
        campaign_id=campaign_id,
        payload={"slice": msgspec.to_builtins(following)},
        subject=f"slice:{following.root}:{following.number}",
    )


def stop_at(failed: Iterable[object]) -> None:
    """Raise the error after which no other request works either, if there is one."""
    for error in failed:
        if isinstance(error, CircuitOpen | NotAuthorized):
            raise error


def sum_of(failed: Mapping[str, JobError], *, done: str) -> JobError:
    """One error for many: the one that decides most about what comes next."""
    first = "; ".join(f"{name}: {error}" for name, error in list(failed.items())[:MOST_NAMED])
    text = f"{done}, {len(failed)} failed: {first}"
    if all(isinstance(error, PermanentError) for error in failed.values()):
        return PermanentError(text)
    waits = [error.retry_after for error in failed.values() if isinstance(error, TransientError) and error.retry_after]
    return TransientError(text, retry_after=max(waits, default=None))


def _submitted_at(text: str) -> datetime:
    """When a job was submitted; its id (a UUIDv7) contains that."""
    now, known = timezone.now(), job_id(text)
    if known is None or known.version != 7:
        return now
    return max(datetime.fromtimestamp((known.int >> 80) / 1000, tz=UTC), now - LONGEST_AGO)
