"""The attempts of one job, read from its audit trail: who ran it, how it ended, what it called on the main API."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobs.errors import AwaitsAnswer
from jobs.models import AuditEntry
from jobs.states import State


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


def read_attempts(trail: Sequence[AuditEntry]) -> list[Attempt]:
    """The attempts in `trail`, which is oldest first; the result is latest first."""
    ends = {entry.attempt: entry for entry in trail if entry.was == State.RUNNING}
    return [_attempt(entry, ends.get(entry.attempt)) for entry in trail if entry.now == State.RUNNING][::-1]


def error_of(entry: AuditEntry) -> str:
    """The error with which an attempt ended; empty if it only waits for an operator's answer, as its reason says."""
    return "" if awaits_answer(entry.error) else entry.error


def awaits_answer(error: str) -> bool:
    """Whether an attempt with this error found that an operator is asked first."""
    return error.startswith(f"{AwaitsAnswer.__name__}:")


def _attempt(claim: AuditEntry, end: AuditEntry | None) -> Attempt:
    details: Mapping[str, Any] = (end.details if end else None) or {}
    calls: Mapping[str, Any] = details.get("calls") or {}
    made = tuple(Call(*row) for row in calls.get("made", ()))
    return Attempt(
        number=claim.attempt,
        worker=claim.actor.removeprefix("worker:"),
        began=claim.at,
        ended=end.at if end else None,
        state=end.now if end else State.RUNNING.value,
        reason=end.reason if end else "",
        error=error_of(end) if end else "",
        traceback="" if end and awaits_answer(end.error) else details.get("traceback", ""),
        duration_ms=end.duration_ms if end else None,
        calls=made,
        calls_left_out=calls.get("count", len(made)) - len(made),
        request_id=calls.get("request", ""),
    )
