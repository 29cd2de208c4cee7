"""The input and output of the ledger's statements; job ids are text with dashes, as in Redis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec

from jobs import histogram
from jobs.fingerprint import Failure
from jobs.models import Job
from jobs.outcome import Outcome
from jobs.sending import Sending
from jobs.states import ENDED, MOVES, State

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
    payload_version: int
    started_at: datetime
    state: str = State.RUNNING.value
    sending: Sending | None = None  #: for work that must not be sent twice


class Enqueued(msgspec.Struct):
    """The columns of a job that enqueueing needs."""

    id: str
    type: str
    campaign_id: str
    priority: int
    attempt: int
    subject: str
    payload_version: int
    state: str = State.QUEUED.value
    due_at: datetime | None = None  #: of a waiting job


class Attempt(NamedTuple):
    """A job's attempt, by number."""

    job_id: str
    number: int


class Ending(msgspec.Struct, frozen=True):
    """How an attempt ended: what becomes of its job, and what is recorded about it."""

    job: Claimed | Job
    outcome: Outcome
    result: str | None = None  #: JSON
    error: str = ""
    traceback: str = ""
    duration_ms: float = 0.0
    details: str | None = None  #: JSON, for the audit entry
    failure: Failure | None = None  #: the kind of failure of a dead letter

    @property
    def to(self) -> State:
        return self.outcome.to

    @property
    def attempt(self) -> Attempt:
        return Attempt(str(self.job.id), self.job.attempt)

    @property
    def failures(self) -> int:
        """The job's failures, this attempt included."""
        return self.job.failures + self.outcome.counts

    @property
    def failure_key(self) -> str:
        return self.failure.key if self.failure else ""

    def finished_at(self, now: datetime) -> datetime | None:
        """None if the job goes on."""
        return now if self.to in ENDED else None

    def waited_ms(self, now: datetime) -> float:
        """How long the job was due before it started."""
        return max(0.0, ((self.job.started_at or now) - self.job.due_at).total_seconds() * 1000)

    def bare(self) -> "Ending":
        """The same end without texts and results from outside, which a database may refuse."""
        reason = f"{self.to.lower()}; its details could not be recorded"
        return Ending(
            self.job,
            msgspec.structs.replace(self.outcome, reason=reason),
            error=self.error and reason,
            duration_ms=self.duration_ms,
        )


@dataclass(frozen=True, slots=True)
class Move:
    """A requested move; `job` is as the caller read it."""

    job: Job
    to: State
    reason: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    duration_ms: float | None = None
    goes_back: bool = False
    """It takes back an earlier move: it may go along a move of MOVES in either direction."""

    @property
    def is_allowed(self) -> bool:
        """Whether MOVES allows it; no attempt's start or end can be taken back."""
        was = State(self.job.state)
        is_back = self.goes_back and State.RUNNING not in (was, self.to) and was in MOVES[self.to]
        return is_back or self.to in MOVES[was]


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
    action_id: int | None = None  #: the JobAction that it belongs to


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
    """The worker that records ends and claims jobs, and when it does."""

    actor: str
    worker: str
    now: datetime
    lease_until: datetime  #: of what it claims
    shard: int  #: of jobs.models.OutcomeMinute, to which its ends are added
    reads: Mapping[str, int] | None = None  #: the newest payload version that it reads, by type; None: any

    @property
    def minute(self) -> datetime:
        """The minute of OutcomeMinute where its ends are counted."""
        return self.now.replace(second=0, microsecond=0)

    def can_read(self, job_type: str, payload_version: int) -> bool:
        """Whether its release knows the type, and this version of the type's payloads."""
        return self.reads is None or payload_version <= self.reads.get(job_type, 0)


class DeadLetterCount(NamedTuple):
    """Dead jobs of one kind of failure: a row to add to FailureGroup and FailureHour."""

    failure: Failure
    at: datetime
    jobs: int


def entry_of_end(ending: Ending, by: Claimant) -> Entry:
    """The audit entry of the end of an attempt."""
    return Entry(
        job_id=str(ending.job.id),
        at=by.now,
        was=_RUNNING,
        now=ending.to.value,
        attempt=ending.job.attempt,
        actor=by.actor,
        reason=ending.outcome.reason,
        duration_ms=round(ending.duration_ms, 3),
        error=ending.error,
        details=ending.details,
    )


def entry_of_claim(claimed: Claimed, by: Claimant) -> Entry:
    """The audit entry of a claim."""
    return Entry(claimed.id, by.now, _QUEUED, _RUNNING, claimed.attempt, by.actor, CLAIMED, None, "")


def entry_of_queued(job: Enqueued, was: str, *, actor: str, reason: str, now: datetime) -> Entry:
    """The audit entry of a job that is due."""
    return Entry(job.id, now, was, _QUEUED, job.attempt, actor, reason, None, "")


def outcomes_of(endings: Sequence[Ending], by: Claimant) -> list[Outcomes]:
    """Ends summed up by type and outcome."""
    groups: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for ending in endings:
        times = (round(ending.duration_ms, 3), ending.waited_ms(by.now))
        groups.setdefault((ending.job.type, ending.to.value), []).append(times)
    return [_sum_up(kind, outcome, times, by) for (kind, outcome), times in groups.items()]


def _sum_up(kind: str, outcome: str, times: Sequence[tuple[float, float]], by: Claimant) -> Outcomes:
    run, wait = [ms for ms, _ in times], [ms for _, ms in times]
    return Outcomes(
        minute=by.minute,
        type=kind,
        outcome=outcome,
        shard=by.shard,
        jobs=len(times),
        run_ms=sum(run),
        run_ms_max=max(run),
        wait_ms=sum(wait),
        wait_ms_max=max(wait),
        waited=histogram.count_waits(wait),
    )
