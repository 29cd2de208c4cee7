"""The input and output of the ledger's statements; job ids are text with dashes, as in Redis."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec

from jobs.fingerprint import Fingerprint
from jobs.models import Job
from jobs.outcome import Outcome
from jobs.sending import Sending
from jobs.states import ENDED, MOVES, State

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
    waits: int = 0
    waits_since: datetime | None = None


class EndedAt(NamedTuple):
    """A job's place in the order of ends."""

    at: datetime
    id: str


class Purged(NamedTuple):
    """What one look at old jobs has deleted, and where the next one begins; None if it saw the last."""

    jobs: int
    last: EndedAt | None


class Enqueued(msgspec.Struct):
    """The columns of a job that enqueueing needs."""

    id: str
    type: str
    campaign_id: str
    priority: int
    attempt: int
    subject: str
    payload_version: int
    failures: int
    state: str = State.QUEUED.value
    due_at: datetime | None = None  #: of a waiting job


class AttemptKey(NamedTuple):
    """A job's attempt, by number."""

    job_id: str
    number: int


class Cycled(NamedTuple):
    """The answer to a cycle's statement."""

    rows: int  #: how many attempts have ended and jobs were claimed
    read: Callable[[], tuple[set[AttemptKey], list[Claimed]]]
    """Returns which, at any time and once: the attempts that were still RUNNING, and the claimed jobs in order."""


class Ending(msgspec.Struct, frozen=True):
    """How an attempt ended: what becomes of its job, and what is recorded about it."""

    job: Claimed | Job
    outcome: Outcome
    result: str | None = None  #: JSON
    error: str = ""
    traceback: str = ""
    duration_ms: float = 0.0
    details: str | None = None  #: JSON, for the audit entry
    failure: Fingerprint | None = None  #: the kind of failure of a dead letter
    bounced: bool = False  #: nothing was sent, because the job must wait

    @property
    def to(self) -> State:
        return self.outcome.to

    @property
    def attempt(self) -> AttemptKey:
        return AttemptKey(str(self.job.id), self.job.attempt)

    @property
    def failures(self) -> int:
        """The job's failures, this attempt included."""
        return self.job.failures + self.outcome.counts

    @property
    def failure_key(self) -> str:
        return self.failure.key if self.failure else ""

    @property
    def waits(self) -> int:
        """How many of the job's claims were no attempts, this one included."""
        return self.job.waits + (self.bounced or not self.outcome.begun)

    def waits_since(self, now: datetime) -> datetime | None:
        """Since when the job has had to wait; None if it was not found so."""
        return (self.job.waits_since or now) if self.bounced else None

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
            bounced=self.bounced,
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

    failure: Fingerprint
    at: datetime
    jobs: int
