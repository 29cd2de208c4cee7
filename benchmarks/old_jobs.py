"""Makes jobs that retention deletes, with their audit trail: one statement a table lets the database make the rows."""

from typing import Final

from django.db import connection, transaction

from jobs.states import State

SOURCE: Final = "benchmark-old"
DAYS: Final = 400  #: since they ended, more than any RETENTION_DAYS of a benchmark

_COLUMNS: Final = """
  id, type, campaign_id, subject, payload, unique_key, priority, state, attempt, failures, due_at, created_at,
  moved_at, started_at, finished_at, worker, error, traceback, source, request_id, clock_due, clock, occurrences
"""
#: Shared by both dialects. A job in a hundred is a dead letter, which stays.
_KIND: Final = "'BENCHMARK_NOOP', 'campaign-' || (n %% 100), n, '{\"settlementId\": \"settlement-1-1-1\"}'"
_STATE: Final = f"5, CASE WHEN n %% 100 = 0 THEN '{State.DEAD}' ELSE '{State.SUCCEEDED}' END, 1, 0"
_EMPTY: Final = f"'worker-1', '', '', '{SOURCE}', '', '', '', 1"
_SQLITE: Final = f"""
WITH RECURSIVE numbers(n, above) AS (SELECT %s, %s UNION ALL SELECT n + 1, above FROM numbers WHERE n + 1 < above)
INSERT INTO jobs_job ({_COLUMNS})
SELECT printf('01800000000070008000%%012x', n), {_KIND}, lower(hex(randomblob(32))), {_STATE}, at, at, at, at, at,
  {_EMPTY}
FROM (SELECT n, strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', '-{DAYS} days', '+' || (n / 1000.0) || ' seconds') AS at
  FROM numbers)
"""  # noqa: S608 - constants of this file
_POSTGRESQL: Final = f"""
INSERT INTO jobs_job ({_COLUMNS})
SELECT ('01800000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, {_KIND},
  encode(sha256(n::text::bytea), 'hex'), {_STATE}, at, at, at, at, at, {_EMPTY}
FROM generate_series(%s, %s - 1) AS n, LATERAL (SELECT now() - interval '{DAYS} days' + n * interval '1 ms' AS at) AS a
"""  # noqa: S608 - constants of this file
_TRAIL: Final = f"""
INSERT INTO jobs_auditentry (job_id, at, was, now, attempt, actor, reason, error)
SELECT id, finished_at, m.was, coalesce(m.now, state), m.attempt, m.actor, m.reason, ''
FROM jobs_job, (
  SELECT 1 AS n, '' AS was, '{State.QUEUED}' AS now, 0 AS attempt, 'listener' AS actor, 'due' AS reason
  UNION ALL SELECT 2, '{State.QUEUED}', '{State.RUNNING}', 1, 'worker:worker-1', 'claimed'
  UNION ALL SELECT 3, '{State.RUNNING}', NULL, 1, 'worker:worker-1', 'done') AS m
WHERE source = '{SOURCE}' ORDER BY id, m.n
"""  # noqa: S608 - constants of this file


def fill(count: int, *, first: int = 0) -> None:
    """Make `count` jobs that ended long ago, numbered from `first`, in place of those made before."""
    ours = f"SELECT id FROM jobs_job WHERE source = '{SOURCE}'"  # noqa: S608 - a constant of this file
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM jobs_auditentry WHERE job_id IN ({ours})")  # noqa: S608 - as above
        cursor.execute(f"DELETE FROM jobs_job WHERE id IN ({ours})")  # noqa: S608 - as above
        if count:
            cursor.execute(_SQLITE if connection.vendor == "sqlite" else _POSTGRESQL, [first, first + count])
            cursor.execute(_TRAIL)
    settle()


def settle() -> None:
    """Do what PostgreSQL does by itself soon afterwards."""
    with connection.cursor() as cursor:
        for statement in ("VACUUM ANALYZE", "CHECKPOINT") if connection.vendor == "postgresql" else ("ANALYZE",):
            cursor.execute(statement)
