"""What a move leaves behind: its audit entry, and the signal that is sent after the commit."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property, partial
from typing import Any, NamedTuple

import msgspec
import structlog
from django.db import connection, transaction

from jobs import counters
from jobs.ledger import (
    AttemptKey,
    Claimant,
    Claimed,
    Cycled,
    Ending,
    Enqueued,
    Entry,
    entries_of_end,
    entry_of_claim,
    statements,
)
from jobs.ledger.base import as_json
from jobs.ledger.changes import Change
from jobs.models import Job, JobAction
from jobs.signals import job_moved
from jobs.states import State
from scheduler_project import request_origin
from scheduler_project.text import LONGEST_REASON, line

log = structlog.get_logger(__name__)


class Moved(msgspec.Struct, frozen=True):
    """A committed move, as `job_moved` sends it."""

    job_id: str
    job_type: str
    campaign_id: str
    was: str
    now: str
    attempt: int
    actor: str
    reason: str
    duration_ms: float | None
    error: str
    attempts: int  #: those of the claims so far that were neither waits nor handed back
    request_id: str  #: of the request or message that created the job; empty if unknown


class Recorded(NamedTuple):
    """What the audit entry of a job that has moved says about the move."""

    job: Job
    was: str
    reason: str
    duration_ms: float | None
    changes: Mapping[str, Change] | None


class Later:
    """What is left to do about moves that are committed, in their order, once there is time for it."""

    def __init__(self) -> None:
        self._left: deque[Callable[[], object]] = deque()

    def __bool__(self) -> bool:
        return bool(self._left)

    def add(self, act: Callable[[], object]) -> None:
        self._left.append(act)

    def run(self) -> None:
        """Do all of it; an error must not stop the cycle in which it is done."""
        while self._left:
            act = self._left.popleft()
            try:
                act()
            except Exception:
                log.exception("ledger.moves_unannounced", next="logs and metrics may lack some moves; the jobs go on")


def record(entries: Sequence[Recorded], actor: str, action: JobAction | None = None) -> None:
    """Write the audit entries of a batch and send `job_moved` after the commit."""
    if not entries:
        return
    written = entries_of(entries, actor, action)
    with connection.wrap_database_errors:
        statements().audit(written)
    announce([(job, entry) for (job, *_), entry in zip(entries, written, strict=True)])


def entries_of(moved: Sequence[Recorded], actor: str, action: JobAction | None = None) -> list[Entry]:
    """The audit entries of jobs that have moved, in their order."""
    origin = request_origin.as_details()
    lines = {reason: line(reason, LONGEST_REASON) for reason in {one.reason for one in moved}}
    return [
        Entry(
            str(job.id),
            job.moved_at,
            was,
            job.state,
            job.attempt,
            actor,
            lines[reason],
            duration_ms,
            job.error if was == State.RUNNING else "",
            _as_details(origin, job, changes),
            action.pk if action else None,
        )
        for job, was, reason, duration_ms, changes in moved
    ]


def _as_details(origin: Mapping[str, Any], job: Job, changes: Mapping[str, Change] | None) -> str | None:
    """JSON; a job that was given up says whether its work may have been done."""
    if not (origin or changes or job.may_have_been_applied):
        return None
    unknown = {"mayHaveBeenApplied": True} if job.may_have_been_applied and job.state == State.CANCELLED else {}
    details = {**origin, **({"changes": changes} if changes else {}), **unknown}
    return as_json(details) if details else None


def announce(moved: Sequence[tuple[Job | Claimed | Enqueued, Entry]]) -> None:
    """Send `job_moved` after the commit."""
    if moved:
        after_commit(partial(_send, _moves_of(moved)))


class CommittedCycle:
    """What one transaction has recorded and claimed. Nothing of it is announced before `announce` is called."""

    def __init__(self, ends: Mapping[AttemptKey, Ending], by: Claimant, answer: Cycled, *, can_wait: bool) -> None:
        self.can_wait = can_wait  #: all was done as wanted, and `announce` can be left to the next cycle
        self._ends = ends
        self._by = by
        self._answer = answer

    @cached_property
    def moved(self) -> tuple[list[Ending], list[Claimed]]:
        """The endings of attempts that were still current (a stale worker's are not), and the claimed jobs in order.

        Reading the database's answer may take as long as a round trip; it needs no connection.
        """
        ended, claimed = self._answer.read()
        return [e for attempt, e in self._ends.items() if attempt in ended], claimed

    def announce(self) -> None:
        """Send `job_moved`, count, and update the jobs that have ended."""
        endings, claimed = self.moved
        ends = [(e.job, entry) for e in endings for entry in entries_of_end(e, self._by)]
        announce([*ends, *((c, entry) for c in claimed if (entry := entry_of_claim(c, self._by)))])
        _count_waits(endings, self._by.now)
        for e in endings:
            _note_end(e, self._by.now)


def _count_waits(endings: Sequence[Ending], now: datetime) -> None:
    """Observe how long jobs were due before they started; call it before `_note_end` sets when they are due next."""
    waited: dict[str, list[float]] = {}
    for ending in endings:
        if ending.outcome.is_run:
            waited.setdefault(ending.job.type, []).append(ending.waited_ms(now) / 1000)
    for job_type, seconds in waited.items():
        counters.observe_many("job_wait_seconds", seconds, job_type)


def _note_end(ending: Ending, now: datetime) -> None:
    """Update the job of an attempt that has ended."""
    job = ending.job
    job.state, job.failures = ending.to.value, ending.failures
    job.waits, job.waits_since = ending.waits, ending.waits_since(now)
    job.due_at = ending.outcome.due_at or job.due_at


def announce_committed(moved: Sequence[tuple[Job, Entry]]) -> None:
    """Send `job_moved` at once. Call it outside a transaction."""
    _send(_moves_of(moved))


def _send(moves: list[Moved]) -> None:
    job_moved.send_robust(sender=Job, moves=moves)


def _moves_of(moved: Sequence[tuple[Job | Claimed | Enqueued, Entry]]) -> list[Moved]:
    return [
        Moved(
            job_id=e.job_id,
            job_type=job.type,
            campaign_id=job.campaign_id,
            was=e.was,
            now=e.now,
            attempt=e.attempt,
            actor=e.actor,
            reason=e.reason,
            duration_ms=e.duration_ms,
            error=e.error,
            attempts=e.attempt - (0 if isinstance(job, Enqueued) else job.waits),
            request_id="" if isinstance(job, Enqueued) else job.request_id,
        )
        for job, e in moved
    ]


def after_commit(act: Callable[[], object]) -> None:
    """As transaction.on_commit; outside transactions at once, and without a connection, which on_commit would open.

    A thread whose job another one has stored needs none.
    """
    if connection.in_atomic_block:
        transaction.on_commit(act)
    else:
        act()
