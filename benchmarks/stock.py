"""Fills a database as after months of use, in seconds: a million jobs in all states, rollups, failures, campaigns.

A few statements let the database itself generate the rows; they are the same on SQLite and PostgreSQL.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from django.db import connection, transaction
from django.utils import timezone

from jobs.histogram import COLUMNS
from jobs.models import (
    AuditEntry,
    CampaignClock,
    CronFiring,
    CronTask,
    FailureGroup,
    FailureHour,
    Job,
    OutcomeMinute,
    ScheduleRow,
)
from jobs.registry import all_types
from jobs.states import ENDED, State
from jobs.world.clock import WorldTime, sortable
from scheduler_project.database import lift_timeouts, restore_timeouts

SOURCE: Final = "benchmark-stock"
CAMPAIGNS: Final = 100
FAILURES: Final = 40
ROWS: Final = 60  #: schedules per campaign
#: Jobs in a state per thousand; the rest SUCCEEDED.
SHARES: Final = (
    (State.SKIPPED, 30),
    (State.DEAD, 20),
    (State.CANCELLED, 10),
    (State.SCHEDULED, 20),
    (State.QUEUED, 10),
    (State.RETRYING, 8),
    (State.RUNNING, 2),
)
_COLUMNS: Final = """
  id, type, campaign_id, subject, payload, unique_key, priority, state, attempt, failures, due_at, created_at,
  moved_at, started_at, finished_at, lease_until, worker, error, traceback, failure_key, source, request_id, clock_due,
  clock, occurrences
"""


def fill(jobs: int) -> None:
    """Replace everything with exactly `jobs` jobs and the rows that belong to them."""
    lift_timeouts(connection)  # a million rows in one statement
    with transaction.atomic(), connection.cursor() as cursor:
        for table in (CronFiring, FailureHour, FailureGroup, OutcomeMinute, ScheduleRow, CampaignClock):
            table.objects.all().delete()
        cursor.execute("DELETE FROM jobs_auditentry")
        cursor.execute("DELETE FROM jobs_job")
        cursor.execute(_jobs(), [jobs])
        cursor.execute(_moves())
        _rollups()
        _failures()
        _campaigns()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE" if connection.vendor == "sqlite" else "VACUUM ANALYZE")  # as autovacuum would, later
    restore_timeouts(connection)


def _jobs() -> str:
    sqlite = connection.vendor == "sqlite"
    numbers = (
        "WITH RECURSIVE numbers(n, total) AS (SELECT 0, %s UNION ALL SELECT n + 1, total FROM numbers "
        "WHERE n + 1 < total)"
        if sqlite
        else "WITH numbers AS (SELECT n, t.total FROM (SELECT %s::bigint AS total) t, "
        "generate_series(0, t.total - 1) n)"
    )
    job_id = (
        "printf('01900000000070008000%%012x', n)"
        if sqlite
        else "('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid"
    )
    key = "printf('%%016x', n %% 40)" if sqlite else "lpad(to_hex(n %% 40), 16, '0')"
    types = sorted(all_types())
    kind = "CASE n %% {} {} END".format(len(types), " ".join(f"WHEN {i} THEN '{t}'" for i, t in enumerate(types)))
    past, ahead = _moment("(n - total) * 604800.0 / total"), _moment("3600 + n * 2592000.0 / total")
    ended, pending = _names(ENDED), _names((State.SCHEDULED, State.RETRYING))
    json = "'{}'" if sqlite else "'{}'::jsonb"
    return f"""
{numbers}
INSERT INTO jobs_job ({_COLUMNS})
SELECT {job_id}, {kind}, 'campaign-' || (n %% {CAMPAIGNS}), 'entity-' || (n %% 5000) || ':EVENT', {json},
  'stock-' || n, 5, state, 1, 0, CASE WHEN state IN {pending} THEN {ahead} ELSE {past} END,
  {past}, {past}, {past},
  CASE WHEN state IN {ended} THEN {past} END, CASE WHEN state = '{State.RUNNING}' THEN {_moment("60")} END, 'worker-1',
  CASE WHEN state = '{State.DEAD}' THEN 'NotFound: entity-' || n || ' is gone' ELSE '' END, '',
  CASE WHEN state = '{State.DEAD}' THEN {key} ELSE '' END, '{SOURCE}', '', '', '', 1
FROM (SELECT n, total, {_state()} AS state FROM numbers) AS stated
"""


def _state() -> str:
    cases, below = [], 0
    for state, share in SHARES:
        below += share
        cases.append(f"WHEN n %% 1000 < {below} THEN '{state}'")
    return f"CASE {' '.join(cases)} ELSE '{State.SUCCEEDED}' END"


def _names(states: Iterable[State]) -> str:
    """
    >>> _names((State.SCHEDULED, State.RETRYING))
    "('SCHEDULED', 'RETRYING')"
    """
    return "({})".format(", ".join(f"'{state}'" for state in states))


def _moment(seconds: str) -> str:
    """Return the SQL for `seconds` from now."""
    if connection.vendor == "sqlite":
        return f"strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', ({seconds}) || ' seconds')"
    return f"(now() + ({seconds}) * interval '1 second')"


def _moves() -> str:
    """Return the SQL for one move per job: by a worker, and by a user for one in ten thousand."""
    return f"""
INSERT INTO jobs_auditentry (job_id, at, was, now, attempt, actor, reason, error)
SELECT id, moved_at, '{State.RUNNING}', state, 1,
  CASE WHEN unique_key LIKE 'stock-%0000' THEN 'user:ann' ELSE 'worker:worker-1' END, 'done', '' FROM jobs_job
WHERE source = '{SOURCE}' ORDER BY moved_at
"""


def _rollups() -> None:
    """Make a week of minutes, quarters and hours for every type, three outcomes and two workers."""
    now = timezone.now().replace(second=0, microsecond=0)
    hour = now.replace(minute=0)
    moments = [now - timedelta(minutes=m) for m in range(7 * 60)]
    moments += [hour - timedelta(minutes=15 * q) for q in range(4 * 8, 4 * 26)]
    moments += [hour - timedelta(hours=h) for h in range(27, 168)]
    rows = [
        OutcomeMinute(
            minute=at,
            type=kind,
            outcome=outcome,
            shard=shard,
            jobs=12,
            run_ms=500,
            run_ms_max=90,
            wait_ms=240,
            wait_ms_max=80,
            **dict.fromkeys(COLUMNS[:4], 3),
        )
        for at in moments
        for kind in all_types()
        for outcome in (State.SUCCEEDED, State.SKIPPED, State.DEAD)
        for shard in (0, 1)
    ]
    OutcomeMinute.objects.bulk_create(rows, batch_size=500)


def _failures() -> None:
    """Make failures, last seen a minute apart, with their hours."""
    now = timezone.now().replace(second=0, microsecond=0)
    hour = now.replace(minute=0)
    groups = [
        FailureGroup(
            key=f"{n:016x}",
            error="NotFound",
            message=f"# is gone, case {chr(65 + n)}",
            first_seen=hour - timedelta(7),
            last_seen=now - timedelta(minutes=n),
            note="",
            acknowledged_by="",
        )
        for n in range(FAILURES)
    ]
    FailureGroup.objects.bulk_create(groups)
    FailureHour.objects.bulk_create(
        [FailureHour(group=g, hour=hour - timedelta(hours=h), jobs=h % 7 + 1) for g in groups for h in range(168)]
    )


def _campaigns() -> None:
    """Make campaigns on world time with their schedules, and a history of the cron tasks."""
    reading = WorldTime.parse("1492-03-05T06:00:00.000Z")
    text = reading.isoformat()
    CampaignClock.objects.bulk_create(
        CampaignClock(campaign_id=f"campaign-{n}", name=f"Campaign {n}", world_time=text, processed_world_time=text)
        for n in range(CAMPAIGNS)
    )
    rows = []
    for n in range(CAMPAIGNS):
        for r in range(ROWS):
            due = sortable(WorldTime(reading.at + timedelta(minutes=7 * r)))
            rows.append(
                ScheduleRow(
                    campaign_id=f"campaign-{n}",
                    entity_type="Settlement",
                    entity_id=f"s-{n}-{r}",
                    entity_name=f"Town {r}",
                    event_type="POPULATION_GROWTH",
                    clock="world",
                    anchor=text,
                    interval=timedelta(hours=1),
                    next_due=due,
                    fire_at=due,
                    job_type="SETTLEMENT_GROWTH",
                    payload={"settlementId": f"s-{n}-{r}", "growthType": "POPULATION_GROWTH"},
                )
            )
    ScheduleRow.objects.bulk_create(rows, batch_size=500)
    newest = list(Job.objects.order_by("-id").values_list("id", flat=True)[:500])
    CronFiring.objects.bulk_create(
        CronFiring(task=task, due_at=timezone.now(), outcome="on_time", job_id=job_id, actor="scheduler")
        for task in CronTask.objects.all()
        for job_id in newest
    )


def count() -> dict[str, int]:
    """Count the rows of the tables that pages read."""
    return {table.__name__: table.objects.count() for table in (Job, AuditEntry, OutcomeMinute, ScheduleRow)}
