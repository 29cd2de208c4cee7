"""The ledger's statements in SQLite's dialect.

`+state` stops the planner from scanning the index on state, i.e. the whole backlog.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from jobs.ledger.base import (
    ADDED,
    ADDED_COLUMNS,
    AUDIT_COLUMNS,
    DATED_COLUMNS,
    GROUP,
    HOUR,
    INSERTED,
    INSERTED_COLUMNS,
    OUTCOME_COLUMNS,
    PLACED_COLUMNS,
    PURGED,
    PURGED_AT_ONCE,
    QUEUED,
    UPSERT,
    WAITS,
    Statements,
    as_json,
    hour_of,
)
from jobs.ledger.entries import entries_of_end, entry_of_claim, entry_of_queued, outcomes_of
from jobs.ledger.rows import (
    Claimant,
    Claimed,
    Cycled,
    DeadLetterCount,
    EndedAt,
    Ending,
    Enqueued,
    Entry,
    Outcomes,
    Purged,
)
from jobs.ledger.sqlite_batches import ROWS, write
from jobs.ledger.sqlite_values import AS_TEXT, claimed_from, hex_of, hexes, text_of
from jobs.models import Job, ScheduleRow
from jobs.sending import NOT_SENT
from jobs.states import State
from jobs.world.due import in_ticks
from scheduler_project.sqlite.base import DatabaseWrapper


class SQLite(Statements):
    """Read, then write: the transaction is IMMEDIATE, so nobody writes in between.

    One UPDATE … RETURNING costs twice as much as both.
    """

    INSERT: Final = (
        f"INSERT INTO jobs_job ({INSERTED}) VALUES ({', '.join('?' for _ in INSERTED_COLUMNS)}) "
        "ON CONFLICT (unique_key) DO NOTHING"
    )
    STORED: Final = "SELECT unique_key FROM jobs_job WHERE id IN (SELECT value FROM json_each(?))"
    CLAIMABLE: Final = (
        f"SELECT {AS_TEXT} FROM jobs_job WHERE id IN (SELECT value FROM json_each(?)) AND +state = '{State.QUEUED}'"
    )
    CLAIM: Final = (
        f"UPDATE jobs_job SET state = '{State.RUNNING}', attempt = attempt + 1, worker = ?, started_at = ?, "
        f"moved_at = ?, lease_until = ?, error = '', traceback = '', sending_attempt = {NOT_SENT} "
        "WHERE id IN (SELECT value FROM json_each(?))"
    )
    RUNNING: Final = (
        f"SELECT id, attempt FROM jobs_job WHERE id IN (SELECT value FROM json_each(?)) AND +state = '{State.RUNNING}'"
    )
    END: Final = (
        "UPDATE jobs_job SET state = ?, moved_at = ?, finished_at = ?, due_at = coalesce(?, due_at), failures = ?, "
        "waits = ?, waits_since = ?, result = ?, error = ?, traceback = ?, failure_key = ?, lease_until = NULL, "
        "sending_attempt = NULL, "
        "may_have_been_applied = may_have_been_applied OR ? WHERE id = ?"
    )
    DUE: Final = (
        f"SELECT {QUEUED}, state, waits_since FROM jobs_job WHERE id IN (SELECT value FROM json_each(?)) "
        f"AND +state IN ({WAITS}) AND +due_at <= ?"
    )
    QUEUE: Final = (
        f"UPDATE jobs_job SET state = '{State.QUEUED}', moved_at = ? WHERE id IN (SELECT value FROM json_each(?))"
    )
    ADD: Final = (
        f"INSERT INTO jobs_schedulerow ({ADDED}) VALUES ({', '.join('?' for _ in ADDED_COLUMNS)}) "
        "ON CONFLICT DO NOTHING"
    )
    PLACE: Final = f"UPDATE jobs_schedulerow SET {', '.join(f'{c} = ?' for c in PLACED_COLUMNS)} WHERE id = ?"
    REDATE: Final = f"UPDATE jobs_schedulerow SET {', '.join(f'{c} = ?' for c in DATED_COLUMNS)} WHERE id = ?"
    ENDED: Final = (
        f"SELECT finished_at, id, state IN ({PURGED}) FROM jobs_job "
        f"WHERE finished_at < ? AND (finished_at, id) > (?, ?) ORDER BY finished_at, id LIMIT {PURGED_AT_ONCE}"
    )
    PURGE_TRAIL: Final = "DELETE FROM jobs_auditentry WHERE job_id IN (SELECT value FROM json_each(?))"
    PURGE: Final = "DELETE FROM jobs_job WHERE id IN (SELECT value FROM json_each(?))"
    AUDIT: Final = f"INSERT INTO jobs_auditentry ({AUDIT_COLUMNS}, action_id) VALUES ({', '.join('?' * 11)})"
    AUDIT_ALIKE: Final = (
        f"INSERT INTO jobs_auditentry ({AUDIT_COLUMNS}, action_id) SELECT value, {', '.join('?' * 10)} "
        "FROM json_each(?) ORDER BY key"
    )
    COUNT: Final = UPSERT.format(rows=f"VALUES ({', '.join('?' for _ in OUTCOME_COLUMNS)})", greatest="max")
    GROUP: Final = GROUP.format(values="?, ?, ?, ?, ?, ?")
    HOUR: Final = HOUR.format(values="?, ?, ?")

    def __init__(self, raw: sqlite3.Connection, connection: BaseDatabaseWrapper) -> None:
        self._raw = raw
        self._connection = connection

    def insert(self, jobs: Mapping[str, Job], entries: Sequence[Entry]) -> set[str]:
        count = write(self._raw, self.INSERT, [self._inserted(job) for job in jobs.values()])
        if count == len(jobs):
            if count < ROWS:  # too few to be written as alike
                self._audit_each(entries)
            else:
                self.audit(entries)
            return set(jobs)
        if not count:
            return set()
        new = {row[0] for row in self._raw.execute(self.STORED, (hexes([e.job_id for e in entries]),))}
        self.audit(entry for key, entry in zip(jobs, entries, strict=True) if key in new)
        return new

    def _inserted(self, job: Job) -> tuple[Any, ...]:
        """The columns of a new job."""
        every = None if job.interval is None else in_ticks(job.interval)
        return (
            job.id.hex,
            job.type,
            job.campaign_id,
            job.subject,
            as_json(job.payload),
            job.unique_key,
            job.priority,
            job.state,
            job.attempt,
            job.failures,
            text_of(job.due_at),
            text_of(job.first_due_at),
            text_of(job.created_at),
            text_of(job.moved_at),
            job.worker,
            job.error,
            job.traceback,
            job.source,
            job.request_id,
            job.clock_due,
            job.clock,
            job.occurrences,
            every,
            job.payload_version,
        )

    def block(self, *, more: bool) -> AbstractContextManager[object]:
        connection = self._connection
        if more or connection.in_atomic_block or not isinstance(connection, DatabaseWrapper):
            return transaction.atomic(savepoint=False)
        return connection.raw_transaction()

    def cycle(
        self,
        endings: Sequence[Ending],
        ids: Sequence[str],
        by: Claimant,
        meanwhile: Callable[[], None] | None = None,
    ) -> Cycled:
        ended = self._end(endings, by.now) if endings else []
        self.count(outcomes_of(ended, by))
        claimed = self._claim(ids, by) if ids else []
        ends = [entry for e in ended for entry in entries_of_end(e, by)]
        self.audit([*ends, *(entry for c in claimed if (entry := entry_of_claim(c, by)))])
        return Cycled(len(ended) + len(claimed), lambda: ({e.attempt for e in ended}, claimed))

    def _end(self, endings: Sequence[Ending], now: datetime) -> list[Ending]:
        """Record the ends of attempts that are current; return those."""
        attempts = dict(self._raw.execute(self.RUNNING, (hexes([str(e.job.id) for e in endings]),)))
        current = [e for e in endings if attempts.get(hex_of(str(e.job.id))) == e.job.attempt]
        write(self._raw, self.END, [_end_values(e, now) for e in current])
        return current

    def _claim(self, ids: Sequence[str], by: Claimant) -> list[Claimed]:
        at, until = text_of(by.now), text_of(by.lease_until)
        found = self._raw.execute(self.CLAIMABLE, (hexes(ids),))
        rows = {row[0]: row for row in found if by.can_read(row[1], row[-3])}
        self._raw.execute(self.CLAIM, (by.worker, at, at, until, as_json(list(rows))))
        return [claimed_from(i, row, by.now) for i in dict.fromkeys(ids) if (row := rows.get(hex_of(i)))]

    def queue(
        self, ids: Sequence[str], *, actor: str, reason: str, now: datetime
    ) -> list[tuple[Enqueued, Entry | None]]:
        at = text_of(now)
        rows = {row[0]: row for row in self._raw.execute(self.DUE, (hexes(ids), at))}
        self._raw.execute(self.QUEUE, (at, as_json(list(rows))))
        found = [(Enqueued(i, *row[1:-2]), *row[-2:]) for i in dict.fromkeys(ids) if (row := rows.get(hex_of(i)))]
        queued = [
            (job, None if since else entry_of_queued(job, was, actor=actor, reason=reason, now=now))
            for job, was, since in found
        ]
        self.audit(entry for _, entry in queued if entry)
        return queued

    def add(self, rows: Sequence[ScheduleRow]) -> None:
        values = [(r.campaign_id, r.entity_type, r.entity_id, r.event_type, *_placed_values(r)) for r in rows]
        write(self._raw, self.ADD, values)

    def place(self, rows: Sequence[ScheduleRow]) -> None:
        write(self._raw, self.PLACE, [(*_placed_values(r), r.pk) for r in rows])

    def redate(self, rows: Sequence[ScheduleRow]) -> None:
        values = [(r.anchor, in_ticks(r.interval), r.next_due, r.fire_at, text_of(r.updated_at), r.pk) for r in rows]
        write(self._raw, self.REDATE, values)

    def purge(self, before: datetime, after: EndedAt) -> Purged:
        with transaction.atomic(savepoint=False):
            found = self._raw.execute(self.ENDED, (text_of(before), text_of(after.at), hex_of(after.id))).fetchall()
            old = as_json([job_id for _, job_id, is_old in found if is_old])
            self._raw.execute(self.PURGE_TRAIL, (old,))
            jobs = self._raw.execute(self.PURGE, (old,)).rowcount
        if len(found) < PURGED_AT_ONCE:
            return Purged(jobs, None)
        at, job_id, _ = found[-1]
        return Purged(jobs, EndedAt(at.replace(tzinfo=UTC), job_id))

    def audit(self, entries: Iterable[Entry]) -> None:
        single: list[Entry] = []
        for same, run in groupby(entries, key=itemgetter(slice(1, None))):
            alike = list(run)
            if len(alike) < ROWS:
                single += alike
            else:
                self._audit_each(single)
                single = []
                at, *rest = same
                self._raw.execute(self.AUDIT_ALIKE, (text_of(at), *rest, hexes([e.job_id for e in alike])))
        self._audit_each(single)

    def _audit_each(self, entries: Sequence[Entry]) -> None:
        write(self._raw, self.AUDIT, [_audit_values(entry) for entry in entries])

    def count(self, rows: Iterable[Outcomes]) -> None:
        self._raw.executemany(self.COUNT, [(text_of(r.minute), *r[1:-1], *r.waited) for r in rows])

    def count_dead(self, rows: Iterable[DeadLetterCount]) -> None:
        for failure, at, jobs in rows:
            seen = text_of(at)
            self._raw.execute(self.GROUP, (*failure, seen, seen))
            self._raw.execute(self.HOUR, (failure.key, text_of(hour_of(at)), jobs))


def _audit_values(e: Entry) -> tuple[Any, ...]:
    """The parameters of AUDIT."""
    return (hex_of(e.job_id), text_of(e.at), *e[2:])


def _placed_values(r: ScheduleRow) -> tuple[Any, ...]:
    """The values of PLACED_COLUMNS."""
    return (
        r.household,
        r.entity_name,
        r.clock,
        r.anchor,
        in_ticks(r.interval),
        r.next_due,
        r.fire_at,
        r.world_anchor,
        r.job_type,
        as_json(r.payload),
        text_of(r.updated_at),
    )


def _end_values(e: Ending, now: datetime) -> tuple[Any, ...]:
    """The parameters of END."""
    return (
        e.to.value,
        text_of(now),
        text_of(e.finished_at(now)),
        text_of(e.outcome.due_at),
        e.failures,
        e.waits,
        text_of(e.waits_since(now)),
        e.result,
        e.error,
        e.traceback,
        e.failure_key,
        e.outcome.unknown,
        hex_of(str(e.job.id)),
    )
