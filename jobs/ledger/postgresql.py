"""The ledger's statements in PostgreSQL's dialect."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from functools import partial
from itertools import pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction

from jobs import actor as actors
from jobs.histogram import BOUNDS_MS
from jobs.ledger.base import (
    ADDED,
    ADDED_COLUMNS,
    AUDIT_COLUMNS,
    CLAIMED_COLUMNS,
    DATED_COLUMNS,
    GROUP,
    HOUR,
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
from jobs.ledger.entries import entry_of_queued
from jobs.ledger.postgresql_cursor import execute, open_cursor, read_answer
from jobs.ledger.postgresql_ends import ENDS, ends_as_json
from jobs.ledger.postgresql_insert import insertion_of
from jobs.ledger.postgresql_types import TYPES
from jobs.ledger.rows import (
    CLAIMED,
    Claimant,
    Cycled,
    DeadLetterCount,
    EndedAt,
    Ending,
    Enqueued,
    Entry,
    Outcomes,
    Purged,
)
from jobs.models import Job, ScheduleRow
from jobs.sending import NOT_SENT
from jobs.states import State

if TYPE_CHECKING:
    import psycopg

#: The columns of a claim in the row of an end: the attempt, and typed NULLs.
_NONE: Final = {
    "attempt": "attempt",
    "payload": "NULL::jsonb",
    "due_at": "NULL::timestamptz",
    "waits_since": "NULL::timestamptz",
    '"interval"': "NULL::interval",
}

_ADDED_AS: Final = ", ".join(f'"{name}" {TYPES.get(name, "text")}' for name in ADDED_COLUMNS)
_PLACED_AS: Final = ", ".join(f"{name} {TYPES.get(name, 'text')}" for name in PLACED_COLUMNS)
_DATED_AS: Final = ", ".join(f"{name} {TYPES.get(name, 'text')}" for name in DATED_COLUMNS)
_PLACED_AT_ONCE: Final = 1000  # rows a statement

_ENTRY: Final = AUDIT_COLUMNS.replace("details", "details::jsonb") + ", action_id"
_ENTRY_AS: Final = (
    "job_id uuid, at timestamptz, was text, now text, attempt int, actor text, reason text, duration_ms float8, "
    "error text, details text, action_id bigint"
)

#: jobs.ledger.rows.outcomes_of in SQL.
_COUNTED: Final = (
    "SELECT $7::timestamptz, v.type, v.counted_as, $8::int, count(*), coalesce(sum(v.run_ms), 0), "
    "coalesce(max(v.run_ms), 0), coalesce(sum(v.wait_ms), 0), coalesce(max(v.wait_ms), 0), "
    + ", ".join(
        f"count(*) FILTER (WHERE v.wait_ms > {above} AND v.wait_ms <= {bound})"
        for above, bound in pairwise((-1, *BOUNDS_MS))
    )
    + " FROM ended JOIN v USING (id, attempt) GROUP BY v.type, v.counted_as ORDER BY v.type, v.counted_as"
)


def _parameters(count: int) -> str:
    """The first `count` parameters."""
    return ", ".join(f"${n}" for n in range(1, count + 1))


class PostgreSQL(Statements):
    """One statement per batch: a round trip costs more than many rows.

    Rows are sent as one JSON text, at a tenth of the cost of one array per column. Parameters have PostgreSQL's own
    numbers, because psycopg would parse every statement again to find its placeholders.
    """

    #: `state || ''` stops the planner from scanning an index on state, and the ids of the ends (besides `v`) stop it
    #: from scanning the table: either is the whole backlog.
    CYCLE: Final = (
        f"WITH {ENDS}, "
        "at AS (SELECT $2::timestamptz AS now, $3::timestamptz AS lease_until, $4::text AS actor, $5::text AS worker, "
        "$6::uuid[] AS ids), "
        "ended AS (UPDATE jobs_job SET state = v.state, moved_at = at.now, "
        "finished_at = CASE WHEN v.finished THEN at.now END, due_at = coalesce(v.due_at, jobs_job.due_at), "
        "failures = v.failures, waits = v.waits, waits_since = v.waits_since, result = v.result, "
        "error = v.error, traceback = v.traceback, failure_key = v.failure_key, lease_until = NULL, "
        "sending_attempt = NULL, may_have_been_applied = may_have_been_applied OR v.unknown FROM v, at "
        f"WHERE jobs_job.id = ANY($9::uuid[]) AND jobs_job.id = v.id AND jobs_job.state || '' = '{State.RUNNING}' "
        "AND jobs_job.attempt = v.attempt "
        "RETURNING jobs_job.id, jobs_job.attempt), "
        f"wanted AS (SELECT id FROM jobs_job WHERE id = ANY($6::uuid[]) AND state || '' = '{State.QUEUED}' "
        "AND ($10::jsonb IS NULL OR payload_version <= ($10::jsonb ->> type)::int) "
        "ORDER BY id FOR UPDATE SKIP LOCKED), "
        f"claimed AS (UPDATE jobs_job SET state = '{State.RUNNING}', attempt = attempt + 1, worker = at.worker, "
        "started_at = at.now, moved_at = at.now, lease_until = at.lease_until, error = '', traceback = '', "
        f"sending_attempt = {NOT_SENT} "
        f"FROM at WHERE id IN (SELECT id FROM wanted) RETURNING {CLAIMED_COLUMNS}), "
        f"noted AS (INSERT INTO jobs_auditentry ({AUDIT_COLUMNS}) "
        f"SELECT id, v.began, '{State.RETRYING}', '{State.QUEUED}', attempt - 1, '{actors.SCHEDULER}', v.waited, "
        "NULL::float8, '', NULL::jsonb FROM ended JOIN v USING (id, attempt) WHERE v.waited IS NOT NULL UNION ALL "
        f"SELECT id, v.began, '{State.QUEUED}', '{State.RUNNING}', attempt, v.claimed_by, '{CLAIMED}', "
        "NULL, '', NULL FROM ended JOIN v USING (id, attempt) WHERE v.waited IS NOT NULL UNION ALL "
        f"SELECT id, at.now, '{State.RUNNING}', v.state, attempt, at.actor, v.reason, v.duration_ms, v.error, "
        "v.details FROM ended JOIN v USING (id, attempt), at WHERE v.noted UNION ALL "
        f"(SELECT id, at.now, '{State.QUEUED}', '{State.RUNNING}', attempt, at.actor, '{CLAIMED}', NULL, '', "
        "NULL::jsonb FROM claimed, at WHERE waits_since IS NULL ORDER BY array_position(at.ids, id))), "
        f"counted AS ({UPSERT.format(rows=_COUNTED, greatest='greatest')}) "
        f"SELECT {CLAIMED_COLUMNS.replace('id', 'id::text', 1)} FROM claimed UNION ALL "
        f"SELECT id::text, {', '.join(_NONE.get(c, 'NULL') for c in CLAIMED_COLUMNS.split(', ')[1:])} FROM ended"
    )
    QUEUE: Final = (
        "WITH wanted AS (SELECT id, state, waits_since IS NULL AS noted FROM jobs_job WHERE id = ANY($2::uuid[]) "
        f"AND state || '' IN ({WAITS}) AND due_at + '0'::interval <= $1 ORDER BY id FOR UPDATE SKIP LOCKED), "
        f"queued AS (UPDATE jobs_job SET state = '{State.QUEUED}', moved_at = $1 WHERE id IN (SELECT id FROM wanted) "
        f"RETURNING {QUEUED}), "
        f"noted AS (INSERT INTO jobs_auditentry ({AUDIT_COLUMNS}) SELECT id, $1, wanted.state, '{State.QUEUED}', "
        "attempt, $3::text, $4::text, NULL, '', NULL::jsonb FROM queued JOIN wanted USING (id) "
        "WHERE wanted.noted ORDER BY array_position($2::uuid[], id)) "
        f"SELECT {QUEUED.replace('id', 'id::text', 1)}, wanted.state, wanted.noted FROM queued "
        "JOIN wanted USING (id)"
    )
    ADD: Final = (
        f"INSERT INTO jobs_schedulerow ({ADDED}) SELECT {ADDED} FROM json_to_recordset($1::json) AS v({_ADDED_AS}) "
        'ORDER BY entity_id COLLATE "C", event_type COLLATE "C" '  # as `add` has them
        "ON CONFLICT DO NOTHING"
    )
    PLACE: Final = (
        f"UPDATE jobs_schedulerow AS r SET {', '.join(f'{c} = v.{c}' for c in PLACED_COLUMNS)} "
        "FROM json_to_recordset($1::json) "
        f"AS v(id bigint, {_PLACED_AS}) WHERE r.id = v.id"
    )
    REDATE: Final = (
        f"UPDATE jobs_schedulerow AS r SET {', '.join(f'{c} = v.{c}' for c in DATED_COLUMNS)} "
        "FROM json_to_recordset($1::json) "
        f"AS v(id bigint, {_DATED_AS}) WHERE r.id = v.id"
    )
    ENDED: Final = (
        "SELECT finished_at, id::text FROM jobs_job WHERE finished_at < $1 AND (finished_at, id) > ($2, $3::uuid) "
        f"ORDER BY finished_at, jobs_job.id LIMIT {PURGED_AT_ONCE}"
    )
    #: The end is compared again under the lock: the job may have been retried and have ended since. An array, because
    #: a join with `old`, of which the planner expects one row, would compare each entry with each job.
    PURGE: Final = (
        f"WITH old AS (SELECT id FROM jobs_job WHERE id = ANY($1::uuid[]) AND state || '' IN ({PURGED}) "
        "AND coalesce(finished_at, 'infinity') < $2 ORDER BY id FOR UPDATE SKIP LOCKED), "
        "trail AS (DELETE FROM jobs_auditentry WHERE job_id = ANY(ARRAY(SELECT id FROM old))), "
        "gone AS (DELETE FROM jobs_job WHERE id = ANY(ARRAY(SELECT id FROM old)) RETURNING 1) "
        "SELECT count(*) FROM gone"
    )
    AUDIT: Final = (
        f"INSERT INTO jobs_auditentry ({AUDIT_COLUMNS}, action_id) SELECT {_ENTRY} "
        f"FROM json_to_recordset($1::json) AS e({_ENTRY_AS})"
    )
    COUNT: Final = UPSERT.format(rows=f"VALUES ({_parameters(len(OUTCOME_COLUMNS))})", greatest="greatest")
    GROUP: Final = GROUP.format(values=_parameters(6))
    HOUR: Final = HOUR.format(values=_parameters(3))

    def __init__(self, raw: "psycopg.Connection[Any]", *, overlaps: bool) -> None:
        self._raw = raw
        self._cursor = open_cursor(raw)
        self.overlaps = overlaps

    def insert(self, jobs: Mapping[str, Job], entries: Sequence[Entry]) -> set[str]:
        """See Statements; one round trip."""
        self._cursor.execute(*insertion_of(jobs.values(), entries))
        return {row[0] for row in self._cursor.fetchall()}

    def insert_each(
        self, batches: Sequence[Callable[[], tuple[Mapping[str, Job], Sequence[Entry]]]]
    ) -> Iterator[tuple[Mapping[str, Job], Sequence[Entry], set[str]]]:
        """See Statements."""
        if not self.overlaps:
            yield from super().insert_each(batches)
            return
        left = deque(batches)
        ready: deque[tuple[Mapping[str, Job], Sequence[Entry], tuple[str, Sequence[Any]]]] = deque()

        def make() -> None:
            jobs, entries = left.popleft()()
            ready.append((jobs, entries, insertion_of(jobs.values(), entries)))

        if left:
            make()
        while ready:
            jobs, entries, insertion = ready.popleft()
            cursor = execute(self._raw, *insertion, meanwhile=make if left else None)
            yield jobs, entries, {row[0] for row in cursor.fetchall()}

    def block(self, *, more: bool) -> AbstractContextManager[object]:
        """See Statements; a statement alone is a transaction by itself."""
        return transaction.atomic() if more else nullcontext()

    def cycle(
        self,
        endings: Sequence[Ending],
        ids: Sequence[str],
        by: Claimant,
        meanwhile: Callable[[], None] | None = None,
    ) -> Cycled:
        """See Statements; one round trip."""
        ended = ends_as_json(endings, by)
        attempts, wanted = _array([str(e.job.id) for e in endings]), _array(ids)
        reads = None if by.reads is None else as_json(by.reads)
        parameters = (ended, by.now, by.lease_until, by.actor, by.worker, wanted, by.minute, by.shard, attempts, reads)
        cursor = execute(self._raw, self.CYCLE, parameters, meanwhile=meanwhile if self.overlaps else None)
        return Cycled(cursor.rowcount, partial(read_answer, cursor, ids, by.now))

    def queue(
        self, ids: Sequence[str], *, actor: str, reason: str, now: datetime
    ) -> list[tuple[Enqueued, Entry | None]]:
        """See Statements; one round trip."""
        self._cursor.execute(self.QUEUE, (now, _array(ids), actor, reason))
        found = {row[0]: (Enqueued(*row[:-2]), *row[-2:]) for row in self._cursor.fetchall()}
        moved = [found[i] for i in dict.fromkeys(ids) if i in found]
        return [
            (job, entry_of_queued(job, was, actor=actor, reason=reason, now=now) if noted else None)
            for job, was, noted in moved
        ]

    def add(self, rows: Sequence[ScheduleRow]) -> None:
        """See Statements. In one order, or two recalculations of a campaign could lock each other."""
        ordered = sorted(rows, key=attrgetter("entity_id", "event_type"))
        self._send(self.ADD, ordered, ADDED_COLUMNS)

    def place(self, rows: Sequence[ScheduleRow]) -> None:
        self._send(self.PLACE, rows, ("id", *PLACED_COLUMNS))

    def redate(self, rows: Sequence[ScheduleRow]) -> None:
        self._send(self.REDATE, rows, ("id", *DATED_COLUMNS))

    def _send(self, statement: str, rows: Sequence[ScheduleRow], names: Sequence[str]) -> None:
        for start in range(0, len(rows), _PLACED_AT_ONCE):
            batch = [{name: getattr(row, name) for name in names} for row in rows[start : start + _PLACED_AT_ONCE]]
            self._cursor.execute(statement, (as_json(batch),))

    def purge(self, before: datetime, after: EndedAt) -> Purged:
        """See Statements; two round trips: the plan of one would depend on how many rows it expects."""
        self._cursor.execute(self.ENDED, (before, *after))
        found = self._cursor.fetchall()
        if not found:
            return Purged(0, None)
        self._cursor.execute(self.PURGE, (_array([row[1] for row in found]), before))
        (jobs,) = self._cursor.fetchone() or (0,)
        return Purged(jobs, EndedAt(*found[-1]) if len(found) == PURGED_AT_ONCE else None)

    def audit(self, entries: Iterable[Entry]) -> None:
        self._cursor.execute(self.AUDIT, (as_json([entry._asdict() for entry in entries]),))

    def count(self, rows: Iterable[Outcomes]) -> None:
        for row in sorted(rows):
            self._cursor.execute(self.COUNT, (*row[:-1], *row.waited))

    def count_dead(self, rows: Iterable[DeadLetterCount]) -> None:
        for failure, at, jobs in sorted(rows):
            self._cursor.execute(self.GROUP, (*failure, at, at))
            self._cursor.execute(self.HOUR, (failure.key, hour_of(at), jobs))


def _array(ids: Sequence[str]) -> str:
    """A PostgreSQL array literal; psycopg inspects every item of a list."""
    return "{" + ",".join(ids) + "}"
