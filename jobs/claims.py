"""Which claims of a job were attempts: the others found that it must wait, or were handed back before it began."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db.models import BooleanField, ExpressionWrapper, Q

from jobs.models import AuditEntry, Job
from jobs.states import ENDED_BY_ATTEMPT, State
from jobs.waits import wait_in

_BY_ATTEMPT: Final = frozenset({State.RUNNING, *ENDED_BY_ATTEMPT})  #: a running claim counts as an attempt
_CALLED: Final = ExpressionWrapper(Q(details__has_key="calls"), output_field=BooleanField())


def is_attempt(now: str, error: str, *, called: bool) -> bool:
    """Whether a claim that ended in the state `now` was an attempt; `called`: whether it called the main API."""
    is_wait = wait_in(error) is not None and not called
    return not (is_wait or is_handed_back(now, error))


def find_started(jobs: Sequence[Job]) -> dict[UUID, datetime | None]:
    """When the latest attempt of each job began; None if there was none. One query, where the row does not say."""
    unclear = {job.pk for job in jobs if job.started_at and State(job.state) not in _BY_ATTEMPT}
    found = dict(_read_starts(unclear)) if unclear else {}
    return {job.pk: found.get(job.pk) if job.pk in unclear else job.started_at for job in jobs}


def started_of(job: Job) -> datetime | None:
    """As `find_started`, of one job."""
    return find_started([job])[job.pk]


def had_begun(cancelled: AuditEntry) -> bool:
    """Whether an attempt of the job had begun before it was cancelled."""
    return any(_read_starts([cancelled.job_id], before=cancelled.pk))


def _read_starts(job_ids: Collection[UUID], *, before: int | None = None) -> Iterator[tuple[UUID, datetime]]:
    """When attempts began, oldest first, from the audit trails; `before`: only those that ended before that entry."""
    claimed: dict[tuple[UUID, int], datetime] = {}
    moves = AuditEntry.objects.filter(Q(was=State.RUNNING.value) | Q(now=State.RUNNING.value), job__in=job_ids)
    moves = moves if before is None else moves.filter(id__lt=before)
    rows = moves.order_by("id").values_list("job_id", "attempt", "now", "at", "error", _CALLED)
    for job_id, attempt, now, at, error, called in rows:
        if now == State.RUNNING:
            claimed[job_id, attempt] = at
        elif (job_id, attempt) in claimed and is_attempt(now, error, called=called):
            yield job_id, claimed[job_id, attempt]


def is_handed_back(now: str, error: str) -> bool:
    """Whether a claim that ended so was handed back. A lost worker's job may be queued too, but with an error."""
    return now == State.QUEUED and not error
