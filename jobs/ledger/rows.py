"""The input and output of the ledger's statements; job ids are text with dashes, as in Redis."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec

from jobs import histogram
from jobs.fingerprint import Failure
from jobs.sending import Sending
from jobs.states import State

_QUEUED: Final = State.QUEUED.value
_RUNNING: Final = State.RUNNING.value
CLAIMED: Final = "claimed"  #: the reason in the audit entry of a claim


class Claimed(msgspec.Struct):
    """A job that a worker has claimed: the columns that its handler and its end need."""

    id: str
    type: str
    campaign_id: str
    subject: str
    payload: Any
    priority: int
    attempt: int
    failures: int
    due_at: datetime
    clock: str
    clock_due: str
    occurrences: int
    interval: timedelta | None
    request_id: str
    started_at: datetime
    state: str = State.RUNNING.value
    sending: Sending | None = None  #: for work that must not be sent twice


class Carried(msgspec.Struct):
    """A job to put into Redis: the columns that this needs."""

    id: str
    type: str
    campaign_id: str
    priority: int
    attempt: int
    subject: str
    state: str = State.QUEUED.value
    due_at: datetime | None = None  #: of a waiting job


class End(NamedTuple):
    """The columns that change when an attempt ends."""

    id: str
    attempt: int
    state: str
    finished_at: datetime | None
    due_at: datetime | None  #: None: unchanged
    failures: int
    result: str | None  #: JSON
    error: str
    traceback: str
    failure_key: str  #: of a dead letter
    type: str
    wait_ms: float  #: from due to started
    unknown: bool = False  #: the work may have been done, and must not be done twice


class Entry(NamedTuple):
    """One audit entry."""

    job_id: str
    at: datetime
    was: str
    now: str
    attempt: int
    actor: str
    reason: str
    duration_ms: float | None
    error: str
    details: str | None = None  #: JSON


class Outcomes(NamedTuple):
    """A row to add to OutcomeMinute."""

    minute: datetime
    type: str
    outcome: str
    shard: int
    jobs: int
    run_ms: float
    run_ms_max: float
    wait_ms: float
    wait_ms_max: float
    waited: tuple[int, ...]  #: the counts of jobs.histogram's buckets


class Claimant(NamedTuple):
    """The worker that ends and claims, and the moment at which it does."""

    actor: str
    worker: str
    now: datetime
    lease_until: datetime  #: of what it claims
    shard: int  #: of jobs.models.OutcomeMinute, to which its ends are added

    @property
    def minute(self) -> datetime:
        """The minute of OutcomeMinute where its ends are counted."""
        return self.now.replace(second=0, microsecond=0)


class Died(NamedTuple):
    """Dead jobs of one kind of failure: a row to add to FailureGroup and FailureHour."""

    failure: Failure
    at: datetime
    jobs: int


class Attempt(NamedTuple):
    """A job's attempt, by number."""

    job_id: str
    number: int


def entry_of_claim(claimed: Claimed, by: Claimant) -> Entry:
    """The audit entry of a claim."""
    return Entry(claimed.id, by.now, _QUEUED, _RUNNING, claimed.attempt, by.actor, CLAIMED, None, "")


def entry_of_queued(job: Carried, was: str, *, actor: str, reason: str, now: datetime) -> Entry:
    """The audit entry of a job that is due."""
    return Entry(job.id, now, was, _QUEUED, job.attempt, actor, reason, None, "")


def outcomes_of(ends: Sequence[tuple[End, Entry]], by: Claimant) -> list[Outcomes]:
    """Ends summed up by type and outcome."""
    groups: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for end, entry in ends:
        groups.setdefault((end.type, end.state), []).append((entry.duration_ms or 0.0, end.wait_ms))
    return [
        Outcomes(by.minute, kind, outcome, by.shard, len(times), sum(r for r, _ in times),
                 max(r for r, _ in times), sum(w for _, w in times), max(w for _, w in times),
                 histogram.count_waits([w for _, w in times]))
        for (kind, outcome), times in groups.items()
    ]  # fmt: skip
