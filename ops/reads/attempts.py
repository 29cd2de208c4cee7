"""The attempts of one job, read from its audit trail: who ran it, how it ended, what it called on the main API."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobs import claims
from jobs.models import AuditEntry, Job
from jobs.states import State
from jobs.waits import wait_in


@dataclass(frozen=True, slots=True)
class Call:
    operation: str
    after_ms: float
    """Since the attempt started."""
    ms: float
    result: str

    @property
    def succeeded(self) -> bool:
        return self.result == "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One claim of a job and its result."""

    number: int
    """Among the attempts: a claim that only found that the job must wait, or was handed back, is none."""
    worker: str
    began: datetime
    ended: datetime | None
    """None while it runs or its end is not recorded yet."""
    state: str
    """The state it led to; RUNNING while it runs."""
    reason: str
    error: str
    traceback: str
    duration_ms: float | None
    calls: tuple[Call, ...]
    calls_left_out: int
    """The number of calls that were not recorded one by one."""
    request_id: str
    """The X-Request-Id of its calls."""


def read_trail(job: Job) -> list[AuditEntry]:
    """The job's first 500 moves, oldest first, and those under way that are only recorded if they end its wait."""
    trail = list(job.audit_trail.select_related("action").order_by("id")[:500])
    if job.waits_since is None or job.state not in (State.QUEUED, State.RUNNING):
        return trail
    at = job.moved_at if job.state == State.QUEUED else job.started_at or job.moved_at
    queued = AuditEntry(job=job, at=at, was=State.RETRYING.value, now=State.QUEUED.value, attempt=job.attempt)
    claimed = AuditEntry(job=job, at=at, was=State.QUEUED.value, now=State.RUNNING.value, attempt=job.attempt)
    queued.reason, claimed.actor = "due", f"worker:{job.worker}"
    return [*trail, queued] if job.state == State.QUEUED else [*trail, queued, claimed]


def read_attempts(trail: Sequence[AuditEntry]) -> list[Attempt]:
    """The attempts in `trail`, which is oldest first; the result is latest first."""
    ends = _find_ends(trail)
    numbers = number_claims(trail)
    made = [entry for entry in trail if entry.now == State.RUNNING and entry.attempt in numbers]
    return [_attempt(claim, ends.get(claim.attempt), numbers[claim.attempt]) for claim in reversed(made)]


def error_of(entry: AuditEntry) -> str:
    """The error with which an attempt ended; empty if the job only had to wait, as its reason says."""
    return "" if wait_in(entry.error) else entry.error


def _find_ends(trail: Sequence[AuditEntry]) -> dict[int, AuditEntry]:
    return {entry.attempt: entry for entry in trail if entry.was == State.RUNNING}


def number_claims(trail: Sequence[AuditEntry]) -> dict[int, int]:
    """The numbers of attempts by those of their claims."""
    ends = _find_ends(trail)
    claimed = [entry.attempt for entry in trail if entry.now == State.RUNNING]
    return {claim: number for number, claim in enumerate((c for c in claimed if _is_attempt(ends.get(c))), start=1)}


def count_handed_back(trail: Sequence[AuditEntry]) -> int:
    """How often the job was handed back before it began."""
    return sum(end.was == State.RUNNING and claims.is_handed_back(end.now, end.error) for end in trail)


def _is_attempt(end: AuditEntry | None) -> bool:
    called = end is not None and bool((end.details or {}).get("calls"))
    return end is None or claims.is_attempt(end.now, end.error, called=called)


def _attempt(claim: AuditEntry, end: AuditEntry | None, number: int) -> Attempt:
    details: Mapping[str, Any] = (end.details if end else None) or {}
    calls: Mapping[str, Any] = details.get("calls") or {}
    made = tuple(Call(*row) for row in calls.get("made", ()))
    return Attempt(
        number=number,
        worker=claim.actor.removeprefix("worker:"),
        began=claim.at,
        ended=end.at if end else None,
        state=end.now if end else State.RUNNING.value,
        reason=end.reason if end else "",
        error=error_of(end) if end else "",
        traceback=details.get("traceback", ""),
        duration_ms=end.duration_ms if end else None,
        calls=made,
        calls_left_out=calls.get("count", len(made)) - len(made),
        request_id=calls.get("request", ""),
    )
