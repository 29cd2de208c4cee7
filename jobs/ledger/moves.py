"""The one writer of a job's state.

A move is a compare-and-set on (state, attempt) together with its audit entry, in one transaction; a batch of moves is
one statement each, a single move is a batch of one. `job_moved` is sent after the commit.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from operator import attrgetter
from typing import Any, Final, NoReturn
from zlib import crc32

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max

from jobs import actor as actors
from jobs.errors import OutcomeUnknown, StateConflict
from jobs.ledger import (
    AttemptKey,
    Claimant,
    Claimed,
    Cycled,
    DeadLetterCount,
    Ending,
    Enqueued,
    Entry,
    Move,
    statements,
)
from jobs.ledger.changes import Change, changes_of
from jobs.ledger.compare_and_set import columns_after, compare_and_set
from jobs.ledger.entries import entry_of_queued, explain_wait
from jobs.ledger.recording import CommittedCycle, Later, Recorded, announce, entries_of, record
from jobs.models import AuditEntry, Job, JobAction
from jobs.sending import NOT_SENT
from jobs.states import FINAL, MOVES, NEW, RETRYABLE, WAITING, State

SHARDS: Final = 32  # rows per minute, so that workers do not wait for each other
MANY: Final = 64  #: moves; of fewer nothing waits, which takes less than the pipeline's one more round trip
_NOTHING: Final = Cycled(0, lambda: (set(), []))
BATCH: Final = 400  # rows a statement: 400 * 16 values stay below SQLite's 32,766 parameters


def create_many(
    jobs: Sequence[Job],
    *,
    actor: str,
    reason: str,
    action: JobAction | None = None,
    changes: Mapping[str, Change] | None = None,
) -> tuple[dict[str, Job], list[tuple[Job, Entry]]]:
    """Insert `jobs`; return the stored job by unique key, which may be an earlier one, and the new ones' entries.

    `changes` are recorded with each new job: how a copy differs from its original. `job_moved` is left to the caller:
    see `announce_committed`. Raises StateConflict unless each is SCHEDULED or QUEUED.
    """
    for job in jobs:
        _check_new(job)
    stored: dict[str, Job] = {}
    noted: list[tuple[Job, Entry]] = []

    def with_entries(batch: Sequence[Job]) -> tuple[dict[str, Job], list[Entry]]:
        wanted: dict[str, Job] = {}
        for job in batch:
            wanted.setdefault(job.unique_key, job)
        return wanted, entries_of([Recorded(job, "", reason, None, changes) for job in wanted.values()], actor, action)

    batches = [partial(with_entries, batch) for batch in _batches(jobs)]
    with connection.wrap_database_errors, statements().block(more=len(batches) > 1):
        for wanted, entries, new in statements().insert_each(batches):  # the block may have connected anew
            noted += [
                (job, entry) for job, entry in zip(wanted.values(), entries, strict=True) if job.unique_key in new
            ]
            stored |= {key: job for key, job in wanted.items() if key in new}
            known = wanted.keys() - new
            if known:
                # The caller's own stays, if an earlier batch has stored it.
                stored = {job.unique_key: job for job in Job.objects.filter(unique_key__in=known)} | stored
    return stored, noted


def entry_of_new(job: Job, *, actor: str, reason: str, action: JobAction | None) -> Entry:
    """The audit entry of a job that begins, with the address of the request being served.

    Raises StateConflict unless it is SCHEDULED or QUEUED.
    """
    _check_new(job)
    (entry,) = entries_of([Recorded(job, "", reason, None, None)], actor, action)
    return entry


def create_noted(jobs: Mapping[str, Job], entries: Sequence[Entry]) -> set[str]:
    """Insert jobs by unique key, at most BATCH, each with its entry; return the keys that are new.

    Call it outside a transaction. `job_moved` is left to the caller: see `announce_committed`. After an error, such
    as that of a write of several threads' jobs, a connection that broke is replaced.
    """
    of_thread = transaction.get_connection()  # `connection` looks it up for each attribute
    if of_thread.errors_occurred:
        of_thread.close_if_unusable_or_obsolete()
    sql = statements(of_thread)
    with of_thread.wrap_database_errors, sql.block(more=False):
        return sql.insert(jobs, entries)


def _check_new(job: Job) -> None:
    if job.state not in NEW:
        raise StateConflict(f"{job}: cannot begin as {job.state}")


def move(wanted: Move, *, actor: str) -> Job:
    """Move one job.

    Raises StateConflict if MOVES forbids it or the job has changed since it was read.
    """
    was = State(wanted.job.state)
    if not wanted.is_allowed:
        _refuse(wanted.job, was, wanted.to)
    moved = move_many([wanted], actor=actor)
    if not moved:
        raise StateConflict(f"{wanted.job}: no longer {was} at attempt {wanted.job.attempt}")
    return moved[0]


def move_many(wanted: Iterable[Move], *, actor: str, action: JobAction | None = None) -> list[Job]:
    """Make the moves that MOVES allows and whose job is unchanged since it was read; return the moved jobs.

    Their audit entries belong to `action`, if they are part of one.
    """
    # By ID, or two operators who have listed the same jobs in different orders could lock each other.
    allowed = sorted((w for w in wanted if w.is_allowed), key=attrgetter("job.id"))
    moved: list[Job] = []
    with transaction.atomic():
        for batch in _batches(allowed):
            after = [columns_after(w) for w in batch]
            done = compare_and_set(batch, after)
            entries, caught_up = [], []
            for w, columns in zip(batch, after, strict=True):
                if w.job.id not in done:
                    continue
                if w.job.state == State.QUEUED and w.job.waits_since:
                    caught_up.append(_entry_of_wait(w.job))
                recorded = Recorded(w.job, w.job.state, w.reason, w.duration_ms, changes_of(w))
                for name, value in columns.items():
                    setattr(w.job, name, value)
                entries.append(recorded)
                moved.append(w.job)
            if caught_up:
                with connection.wrap_database_errors:
                    statements().audit(caught_up)
            record(entries, actor, action)
    return moved


def cycle(
    endings: Sequence[Ending],
    ids: Sequence[str],
    *,
    actor: str,
    worker: str,
    now: datetime,
    reads: Mapping[str, int] | None = None,
) -> tuple[list[Ending], list[Claimed]]:
    """Commit a cycle and announce it. Returns what has moved, the jobs of the endings updated."""
    committed = commit_cycle(endings, ids, actor=actor, worker=worker, now=now, reads=reads)
    committed.announce()
    return committed.moved


def commit_cycle(
    endings: Sequence[Ending],
    ids: Sequence[str],
    *,
    actor: str,
    worker: str,
    now: datetime,
    reads: Mapping[str, int] | None = None,
    later: Later | None = None,
) -> CommittedCycle:
    """Record how attempts ended and claim QUEUED jobs for `worker`, all in one transaction.

    `reads` has the newest payload version that this release reads, by type: jobs of other types, and newer payloads,
    stay QUEUED. What earlier cycles have left to `later` is done while the database works, if it is another process.

    Raises StateConflict for an end that MOVES forbids, and django.db's errors; nothing is recorded then, as far as
    this process knows.
    """
    if ids:
        _check("a claim", State.QUEUED, State.RUNNING)
    by_attempt = _by_attempt(endings)
    by = Claimant(actor, worker, now, now + settings.LEASE, crc32(worker.encode()) % SHARDS, reads)
    if not endings and not ids:
        if later:
            later.run()
        return CommittedCycle({}, by, _NOTHING, can_wait=False)
    sql = statements()
    more = any(e.failure for e in endings)
    if later and more:  # in a transaction of several statements it would keep rows locked, and wait for the commit
        later.run()
    with connection.wrap_database_errors, sql.block(more=more):
        answer = sql.cycle(list(by_attempt.values()), ids, by, later.run if later else None)
        did_all = answer.rows == len(by_attempt) + len(ids)
        can_wait = sql.overlaps and did_all and answer.rows >= MANY and all(e.to in FINAL for e in endings)
        committed = CommittedCycle(by_attempt, by, answer, can_wait=can_wait)
        if more:
            sql.count_dead(_count_dead_letters(committed.moved[0], now))
    return committed


def _by_attempt(endings: Sequence[Ending]) -> dict[AttemptKey, Ending]:
    """The first end of each attempt. Raises StateConflict for one that MOVES forbids."""
    found: dict[AttemptKey, Ending] = {}
    for ending in endings:
        _check(ending.job.id, State.RUNNING, ending.to)
        found.setdefault(ending.attempt, ending)
    return found


def queue_due(ids: Sequence[str], *, actor: str, reason: str, now: datetime) -> list[Enqueued]:
    """Queue the waiting jobs among `ids` that are due; return them."""
    if not ids:
        return []
    for was in WAITING:
        _check("a due job", was, State.QUEUED)
    sql = statements()
    with connection.wrap_database_errors, sql.block(more=False):
        queued = sql.queue(ids, actor=actor, reason=reason, now=now)
    announce([(job, entry) for job, entry in queued if entry])
    return [job for job, _ in queued]


def begin_sending(job_id: str, attempt: int, *, may_resend: bool) -> bool:
    """Record that this attempt begins to send what must not be sent twice. Returns whether it is still current.

    Call it outside a transaction: it must be committed when this returns. Not a move, so nothing is audited.
    Without `may_resend` it raises OutcomeUnknown, and records nothing, if an earlier attempt ended so and no operator
    has decided to retry since: the job was retried while EFFECT_UNKNOWN_OUTCOME was `retry`.
    """
    running = Job.objects.filter(id=job_id, state=State.RUNNING, attempt=attempt)
    if may_resend:
        return bool(running.update(sending_attempt=attempt))
    if running.filter(may_have_been_applied=False).update(sending_attempt=attempt):
        return True
    trail = AuditEntry.objects.filter(job_id=job_id)
    decided = trail.filter(was__in=RETRYABLE, now=State.QUEUED).aggregate(last=Max("id", default=0))["last"]
    unknown = trail.filter(id__gt=decided, was=State.RUNNING, error__startswith=OutcomeUnknown.__name__)
    if unknown.exists():
        raise OutcomeUnknown("an earlier attempt may have applied it", may_resend=False)
    return bool(running.update(sending_attempt=attempt))


def end_sending(job_id: str, attempt: int) -> None:
    """Record that all which this attempt has sent has a clear outcome, which is recorded elsewhere.

    So a worker that is lost before the next request has nothing open. Not a move, so nothing is audited.
    """
    Job.objects.filter(id=job_id, state=State.RUNNING, attempt=attempt).update(sending_attempt=NOT_SENT)


def renew_leases(ids: Sequence[str], *, worker: str, until: datetime) -> None:
    """Extend the leases of the jobs that `worker` still runs to `until`. Not a move, so nothing is audited."""
    for batch in _batches(ids):
        Job.objects.filter(id__in=batch, state=State.RUNNING, worker=worker).update(lease_until=until)


def shorten_leases(job_type: str, *, beyond: datetime, until: datetime) -> int:
    """Let leases of a type that end later than `beyond` end at `until`. Returns how many. Nothing is audited."""
    return Job.objects.filter(state=State.RUNNING, type=job_type, lease_until__gt=beyond).update(lease_until=until)


def _check(job: object, was: State, to: State) -> None:
    """The gate that every move passes before anything is written."""
    if to not in MOVES[was]:
        _refuse(job, was, to)


def _refuse(job: object, was: State, to: State) -> NoReturn:
    raise StateConflict(f"{job}: cannot go from {was} to {to}")


def _count_dead_letters(endings: Sequence[Ending], now: datetime) -> list[DeadLetterCount]:
    return [DeadLetterCount(kind, now, jobs) for kind, jobs in Counter(e.failure for e in endings if e.failure).items()]


def _batches(items: Sequence[Any]) -> list[Sequence[Any]]:
    return [items[start : start + BATCH] for start in range(0, len(items), BATCH)]


def _entry_of_wait(job: Job) -> Entry:
    """The audit entry that was left out when the job, which had to wait, was queued."""
    reason = explain_wait(job, job.moved_at)
    return entry_of_queued(job, State.RETRYING.value, actor=actors.SCHEDULER, reason=reason, now=job.moved_at)
