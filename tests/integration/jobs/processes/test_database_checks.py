"""Startup checks of what PostgreSQL allows."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db.utils import ConnectionHandler
from pytest_django import Settings

from jobs.processes.database_checks import find_faults
from sandbox.ports import free_port
from sandbox.postgresql import binaries, running_postgresql
from scheduler_project.database import Timeouts, database_settings
from tests.support.servers import manage

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(binaries() is None, reason="no PostgreSQL server is installed"),
]
LIMIT = 10  #: connections, 3 of which are reserved


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server with few connections."""
    with running_postgresql(free_port(), f"max_connections={LIMIT}", "max_wal_senders=0") as url:
        yield url


@contextmanager
def alter(url: str, change: str, back: str) -> Iterator[None]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(change.encode())
        try:
            yield
        finally:
            connection.execute(back.encode())


def faults(url: str, *, processes: int = 1) -> list[tuple[str, bool]]:
    connection: Any = ConnectionHandler({"default": database_settings(url, 1, Timeouts(30_000, 10_000))})["default"]
    try:
        return [(fault.text, fault.never) for fault in find_faults(connection, processes=processes)]
    finally:
        connection.close()
        connection.close_pool()


@pytest.mark.parametrize(
    ("pool", "processes", "never"), [(LIMIT - 3, 1, None), (LIMIT - 2, 1, True), (4, 2, False), (3, 2, None)]
)
def test_connections_are_compared(
    server: str, settings: Settings, pool: int, processes: int, never: bool | None
) -> None:
    """A pool that can never be filled is an error, several that may not a warning; both give the numbers."""
    settings.DATABASE_POOL_SIZE = pool
    found = faults(server, processes=processes)

    assert [fault[1] for fault in found] == ([] if never is None else [never])
    assert all(f"DATABASE_POOL_SIZE={pool}" in text and f"allows {LIMIT - 3}" in text for text, _ in found)


def test_the_role_s_own_limit_counts(server: str, settings: Settings) -> None:
    """A role's connection limit below the server's."""
    settings.DATABASE_POOL_SIZE = 5
    with alter(server, "ALTER ROLE tests CONNECTION LIMIT 4", "ALTER ROLE tests CONNECTION LIMIT -1"):
        ((text, never),) = faults(server)

    assert never
    assert "allows 4 connections (CONNECTION LIMIT of the role)" in text


def test_a_pool_that_can_never_fit_stops_the_start(server: str) -> None:
    """With a sentence, not a traceback."""
    process = manage("rqscheduler", DATABASE_URL=server, DATABASE_POOL_SIZE="20")

    assert process.process.wait(timeout=60) == 1
    said = process.log.read_text()
    assert "database: DATABASE_POOL_SIZE=20: the server allows 7 connections" in said
    assert "Traceback" not in said


def test_behind_a_pooler_the_role_has_to_set_what_we_read(server: str) -> None:
    """Unreadable parameters are an error, missing time limits a warning; each names its statement."""
    pooled = f"{server}?pool_mode=transaction"
    with alter(server, "ALTER ROLE tests SET IntervalStyle = iso_8601", "ALTER ROLE tests RESET ALL"):
        found = faults(pooled)
        with psycopg.connect(server, autocommit=True) as connection:
            for text, _ in found:
                connection.execute(text.partition(";")[0].encode())
        after = faults(pooled)

    assert [text.partition(" = ")[0] for text, never in found if never] == ["ALTER ROLE tests SET IntervalStyle"]
    assert {text.split()[4] for text, never in found if not never} == set(Timeouts(0, 0).parameters())
    assert after == []
