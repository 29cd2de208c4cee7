"""Slices of large work: a job does what it can in a few seconds and submits one follow-up job for the rest.

The follow-up's payload says where to continue. Its key consists of the root job and its number, so that a retried
attempt that had already submitted it finds it instead of creating a second one.
"""

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
from django.utils import timezone
from msgspec import Meta

from jobs.errors import JobError, MustWait, NotAuthorized, PermanentError, TransientError
from jobs.policies import time_limit_of
from jobs.registry import Payload
from jobs.run import Followup, Run
from scheduler_project.text import LONGEST_ID, job_id

LONGEST_AGO: Final = timedelta(days=365)  #: the limit for a due time in the past
MOST_SLICES: Final = 1_000_000_000  #: a limit for numbers that a submitter made up
MOST_NAMED: Final = 5  #: errors quoted in a message


class Slice(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """Where to continue."""

    root: Annotated[str, Meta(min_length=1, max_length=64)]
    """The ID of the first job."""
    number: Annotated[int, Meta(ge=0, le=MOST_SLICES)]
    """0 for the first slice, then 1, 2, …"""
    due_at: Annotated[datetime, Meta(tz=True)]
    """The due time; part of the job's key, so it depends only on the root and the number."""
    at: Annotated[datetime, Meta(tz=True)] | None = None
    """When the root finished its slice."""
    after: tuple[Annotated[str, Meta(max_length=LONGEST_ID)], ...] = ()
    """The IDs of the last item done; empty: none."""
    failed: Annotated[int, Meta(ge=0, le=MOST_SLICES)] = 0
    """How many events at the head of the list could not be expired."""
    whole: bool = True
    """Whether all slices so far were read without errors."""


class SlicedPayload(Payload, frozen=True, kw_only=True):
    """The payload of types that work in slices; submitters leave it empty."""

    slice: Slice | None = None

    def due_at(self) -> datetime | None:
        return self.slice.due_at if self.slice else None


class SliceBudget:
    """The limit of one slice: a number of items, and a third of the job's time limit."""

    def __init__(self, job_type: str, most: int) -> None:
        limit = time_limit_of(job_type)
        self._until = time.monotonic() + limit.total_seconds() / 3
        self._left = most

    def spend(self, count: int) -> None:
        self._left -= count

    @property
    def spent(self) -> bool:
        return self._left <= 0 or time.monotonic() >= self._until

    def allows(self, count: int) -> int:
        """How many of `count` items are left in the budget."""
        return max(0, min(count, self._left))


def current_slice(run: Run, known: Slice | None) -> Slice:
    """The slice of this job: `known`, or the first one if this job is the root."""
    return known or Slice(root=run.job_id, number=0, due_at=_submitted_at(run.job_id))


def rest_of(job_type: str, campaign_id: str, of: Slice, **changes: Any) -> Followup:
    """The follow-up job that continues after the slice `of`."""
    following = msgspec.structs.replace(of, number=of.number + 1, **changes)
    return followup_for(job_type, campaign_id, following)


def followup_for(job_type: str, campaign_id: str, following: Slice) -> Followup:
    """A job for one slice."""
    return Followup(
        type=job_type,
        campaign_id=campaign_id,
        payload={"slice": msgspec.to_builtins(following)},
        subject=f"slice:{following.root}:{following.number}",
    )


def stop_at(failed: Iterable[object]) -> None:
    """Raise an error after which no other request would work either, if there is one."""
    for error in failed:
        if isinstance(error, MustWait | NotAuthorized):
            raise error


def sum_of(failed: Mapping[str, JobError], *, done: str) -> JobError:
    """Combine errors into one: permanent only if all of them are."""
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
