"""jobs/management/commands/migrate.py beside a transaction that holds a lock."""

import threading
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections

from jobs.management.commands import migrate
from jobs.models import Job
from tests.support.servers import wait_until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no locks of tables"),
]


def run(*words: str, said: StringIO) -> None:
    """Migrate jobs in this thread."""
    try:
        call_command("migrate", "jobs", *words, verbosity=0, stdout=StringIO(), stderr=said)
    finally:
        connection.close()


def test_a_migration_that_waits_lets_others_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ALTER TABLE gives way after a moment, says so, and tries again until the table is free."""
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT", "100ms")
    monkeypatch.setattr(migrate, "PAUSE_SECONDS", 0.2)
    said = StringIO()
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT count(*) FROM jobs_job")
            thread = threading.Thread(target=run, args=["0013"], kwargs={"said": said})
            thread.start()
            wait_until(lambda: "Attempt 2" in said.getvalue(), what="it has tried twice")
            assert thread.is_alive()
            assert Job.objects.defer("payload_version").count() == 0  # nobody waits behind it
            cursor.execute("COMMIT")
        thread.join(60)
    finally:
        other.close()
        run(said=said)

    assert "holds a lock on the table" in said.getvalue()
    assert Job.objects.filter(payload_version=1).count() == 0


def test_a_blocked_migration_gives_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one sentence, and its lock timeout is reset."""
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT", "50ms")
    monkeypatch.setattr(migrate, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(migrate, "TRIES", 2)
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT count(*) FROM jobs_job")
            with pytest.raises(CommandError, match="in 2 attempts: end the transaction"):
                call_command("migrate", "jobs", "0013", verbosity=0, stderr=StringIO())
            cursor.execute("COMMIT")
    finally:
        other.close()
        run(said=StringIO())  # what was unapplied before the lock was met
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("10s",)
