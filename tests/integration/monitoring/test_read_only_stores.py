"""A read-only store is down: health tries a write."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.db import OperationalError, connection, transaction
from django.test import Client
from pytest_django import Settings
from redis import Redis

from monitoring import checks, health
from monitoring.models import MonitorState
from sandbox.ports import free_port
from tests.support.servers import RedisServer
from tests.support.working import submit

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def read_only_database() -> Iterator[None]:
    """As a replica, or a file of somebody else's: reads work, writes do not."""
    on, off = {
        "sqlite": ("PRAGMA query_only = ON", "PRAGMA query_only = OFF"),
        "postgresql": ("SET default_transaction_read_only = on", "SET default_transaction_read_only = off"),
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(on)
    try:
        yield
    finally:
        if connection.vendor == "postgresql":
            connection.close()  # it may have been dropped
        with connection.cursor() as cursor:
            cursor.execute(off)


def test_a_read_only_database_is_down() -> None:
    """A query alone would find it healthy."""
    checks.DatabaseCheck().check_component()

    with read_only_database(), pytest.raises(Exception, match=r"read.?only"):
        checks.DatabaseCheck().check_component()


def test_a_monitor_that_stands_still_within_a_round_takes_no_database_down() -> None:
    """It has locked the row of its state, and may be suspended for a minute."""
    if connection.vendor != "postgresql":
        pytest.skip("on SQLite whoever writes locks the whole file")
    MonitorState.objects.create()
    monitor = connection.copy()
    try:
        monitor.set_autocommit(False)
        with monitor.cursor() as cursor:
            cursor.execute("SELECT name FROM monitoring_monitorstate FOR UPDATE")

        checks.DatabaseCheck().check_component()
    finally:
        monitor.close()

    assert MonitorState.objects.count() == 1


@pytest.mark.parametrize("cause", ["replica", "full"])
def test_a_redis_that_refuses_writes_is_down(settings: Settings, cause: str) -> None:
    """A replica, or one without memory: PING alone would find it healthy."""
    server = RedisServer(free_port(), f"{cause}-{free_port()}")
    settings.REDIS_URL = server.url
    try:
        checks.RedisCheck().check_component()
        client = Redis.from_url(server.url)
        if cause == "replica":
            client.replicaof("127.0.0.1", free_port())
        else:
            client.config_set("maxmemory", 1)

        with pytest.raises(Exception, match=r"replica|maxmemory"):
            checks.RedisCheck().check_component()
    finally:
        server.stop()


def test_a_read_only_store_fails_health_and_readiness(
    client: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 from both: nothing can be accepted."""

    def refuse(_self: checks.DatabaseCheck) -> None:
        raise RuntimeError("cannot execute UPDATE in a read-only transaction")

    monkeypatch.setattr(checks.DatabaseCheck, "check_component", refuse)
    health.HEALTH.forget()
    health.READINESS.forget()

    assert client.get("/health").status_code == 503
    assert client.get("/health/ready").status_code == 503


def test_the_api_answers_503_in_json_without_a_writable_store(client: Client, redis: Redis, settings: Settings) -> None:
    """Clients are told to retry later and never see an HTML page."""
    settings.SCHEDULER_API_TOKENS = {"secret": "tests"}
    body = json.dumps({"type": "EVENT_EXPIRATION", "campaignId": "campaign-1", "payload": {}})
    with read_only_database():
        answer = client.post(
            "/api/jobs", body, content_type="application/json", headers={"authorization": "Bearer secret"}
        )

    assert (answer.status_code, answer["Content-Type"], answer["Retry-After"]) == (503, "application/json", "5")
    assert "database" in answer.json()["error"]


@pytest.mark.parametrize("write", ["the ORM", "the ledger"])
def test_a_read_only_postgresql_is_an_outage_and_its_connection_is_dropped(redis: Redis, write: str) -> None:
    """Not a bug: processes retry within seconds, and after a failover they reach the new server."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite says it so by itself")
    writes: dict[str, Callable[[], object]] = {"the ORM": MonitorState.objects.create, "the ledger": lambda: submit(1)}
    with read_only_database():
        refused = connection.connection
        with pytest.raises(OperationalError, match="takes no writes"), transaction.atomic():
            writes[write]()

    assert refused.closed
    assert writes[write]()
