"""Makes a million jobs that wait beyond the horizon, in seconds: one statement lets the database generate the rows."""

from django.db import connection, transaction

from jobs.states import State

SOURCE = "benchmark-waiting"

_COLUMNS = """
  id, type, campaign_id, subject, payload, unique_key, priority, state, attempt, failures, due_at, created_at,
  moved_at, worker, error, traceback, source, request_id, clock_due, clock, occurrences
"""
#: Shared by both dialects; the IDs are UUIDs of version 7 with the number in their last digits.
_VALUES = f"'BENCHMARK_NOOP', 'campaign-' || (n %% 100), n, '{{}}', 'waiting-' || n, 5, '{State.SCHEDULED}', 0, 0"
_EMPTY = "'', '', '', 'benchmark-waiting', '', '', '', 1"
#: Due between an hour and 30 days from now.
_SQLITE = f"""
WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < %s)
INSERT INTO jobs_job ({_COLUMNS})
SELECT printf('01900000000070008000%%012x', n), {_VALUES},
  strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', '+' || (3600 + n * 2592000 / %s) || ' seconds'),
  strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now'), strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now'), {_EMPTY}
FROM numbers
"""  # noqa: S608 - constants of this file
_POSTGRESQL = f"""
INSERT INTO jobs_job ({_COLUMNS})
SELECT ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, {_VALUES},
  now() + (3600 + n::bigint * 2592000 / %s) * interval '1 second', now(), now(), {_EMPTY}
FROM generate_series(0, %s - 1) AS n
"""  # noqa: S608 - constants of this file


def fill(count: int) -> None:
    """Make exactly `count` rows wait. Redis does not get them: they are beyond the stager's horizon."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM jobs_job WHERE source = %s", [SOURCE])
        if count:
            cursor.execute(_SQLITE if connection.vendor == "sqlite" else _POSTGRESQL, [count, count])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
