"""Defaults of the server, the database or the role do not change what we read."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management.sql import emit_post_migrate_signal, emit_pre_migrate_signal
from django.db import connection, connections
from django.test import Client
from django.utils import timezone
from redis import Redis

from jobs.models import Job, ScheduleRow
from scheduler_project.database import READ_AS, Timeouts
from tests.support.servers import SandboxApi
from tests.support.working import submit, work

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL's parameters"),
]
ODD = {
    "IntervalStyle": "sql_standard",
    "DateStyle": "German, DMY",
    "TimeZone": "Asia/Kathmandu",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "backslash_quote": "off",
    "client_encoding": "LATIN1",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "plan_cache_mode": "force_custom_plan",
    "statement_timeout": "1",
    "lock_timeout": "1",
    "idle_in_transaction_session_timeout": "1",
    "transform_null_equals": "on",
    "array_nulls": "off",
    "quote_all_identifiers": "on",
    "default_statistics_target": "1",
    "synchronous_commit": "off",
    "work_mem": "64",
    "lc_messages": "C",
    "lc_numeric": "C",
    "xmloption": "document",
}


@pytest.fixture(params=["DATABASE", "ROLE"])
def odd_defaults(request: pytest.FixtureRequest) -> Iterator[None]:
    """Connections that are opened from now on begin with odd parameters, if they do not set their own."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(current_user), quote_ident(current_database())")
        role, database = cursor.fetchone()
        target = f"DATABASE {database}" if request.param == "DATABASE" else f"ROLE {role} IN DATABASE {database}"
        for name, value in ODD.items():
            cursor.execute(f"ALTER {target} SET {name} = '{value}'")
    try:
        _reconnect()
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER {target} RESET ALL")
        _reconnect()


def _reconnect() -> None:
    connections.close_all()
    connection.close_pool()  # type: ignore[attr-defined]


def test_odd_server_defaults_change_nothing(
    sandbox: SandboxApi, redis: Redis, client: Client, odd_defaults: None
) -> None:
    """Intervals, times and fractions are read as on any server."""
    year = timezone.now().year + 1
    later = {"type": "EVENT_EXPIRATION", "campaignId": "campaign-1", "dueAt": f"{year}-02-03T04:05:06.789Z"}
    api: dict[str, Any] = {"HTTP_AUTHORIZATION": "Bearer secret-of-tests"}
    waits = client.post("/api/jobs", json.dumps(later), content_type="application/json", **api).json()
    (names,) = submit(1, type="RECALCULATE_SETTLEMENT_SCHEDULES", campaign_id="campaign-1")
    work(redis)
    client.force_login(User.objects.create_superuser("ann", "", "x"))

    assert Job.objects.get(pk=names.pk).state == "SUCCEEDED", Job.objects.get(pk=names.pk).error
    assert Job.objects.get(pk=waits["id"]).due_at.isoformat() == f"{year}-02-03T04:05:06.789000+00:00"
    assert {row.interval for row in ScheduleRow.objects.all()} <= {timedelta(minutes=n) for n in range(1, 100_000)}
    entry = names.audit_trail.get(now="SUCCEEDED")
    assert entry.duration_ms is not None
    assert entry.duration_ms == round(entry.duration_ms, 3)
    for page in ("", "jobs/job/", f"jobs/job/{names.pk}/change/", "jobs/schedulerow/", "jobs/auditentry/", "queues/"):
        assert client.get(f"/admin/{page}").status_code == 200
    assert client.get(f"/api/jobs/{waits['id']}", **api).json()["dueAt"].startswith(f"{year}-02-03T04:05:06.789")


def test_every_parameter_that_we_rely_on_is_set(odd_defaults: None) -> None:
    """Whatever the server's defaults are."""
    expected = {**READ_AS, **Timeouts(30_000, 10_000).parameters()}
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [list(expected)])
        found = dict(cursor.fetchall())

    assert {name: value.replace("ISO, MDY", "ISO,MDY") for name, value in found.items()} == expected
    assert set(expected) <= set(ODD)


def test_migrations_have_no_time_limit(redis: Redis) -> None:
    """They may build an index for hours; afterwards the connection has its limits again."""

    def limits() -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('statement_timeout'), current_setting('lock_timeout')")
            return list(cursor.fetchone())

    emit_pre_migrate_signal(verbosity=0, interactive=False, db="default")
    meanwhile = limits()
    emit_post_migrate_signal(verbosity=0, interactive=False, db="default")

    assert meanwhile == ["0", "10s"]
    assert limits() == ["30s", "10s"]
