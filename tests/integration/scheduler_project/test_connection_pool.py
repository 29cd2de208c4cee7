"""The pool of PostgreSQL's connections after a restart or failover of the server."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection, connections

from monitoring.models import MonitorState
from tests.support.processes import database_url

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no server that closes connections"),
]


@pytest.fixture(autouse=True)
def empty_pool() -> None:
    postgresql: Any = connection
    postgresql.close()
    postgresql.close_pool()


def use_at_once(threads: int, statement: str = "SELECT 1") -> float:
    """Each thread takes a connection while all the others hold theirs. Returns how long that took, in seconds."""
    all_hold_one = threading.Barrier(threads, timeout=30)

    def use(_: int) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
            all_hold_one.wait()
        finally:
            connections.close_all()

    began = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(use, range(threads)))
    return time.monotonic() - began


@pytest.mark.parametrize(("idle", "threads"), [(1, 1), (5, 1), (19, 1), (19, 19)])
def test_broken_connections_delay_nobody(idle: int, threads: int) -> None:
    """However many are broken: with five, a request failed after ten seconds although the server was up."""
    use_at_once(idle)
    with psycopg.connect(database_url(), autocommit=True) as server:
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    assert use_at_once(threads) < 5


def test_no_second_write_reaches_a_server_that_takes_none() -> None:
    """After a failover behind one address, all connections that are idle stay with a standby."""
    use_at_once(5, "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")

    with pytest.raises(OperationalError, match="takes no writes"):
        MonitorState.objects.create()
    connection.close_if_unusable_or_obsolete()

    assert MonitorState.objects.create()
