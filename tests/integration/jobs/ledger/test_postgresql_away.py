"""Reconnecting to PostgreSQL, where its server is installed."""

import time
from typing import Any

import pytest
from django.db import OperationalError
from django.db.utils import ConnectionHandler

from sandbox.ports import free_port
from sandbox.postgresql import binaries, running_postgresql
from scheduler_project.database import Timeouts, database_settings
from tests.support.servers import wait_until

ALIAS = "away"  #: Django's pools are kept by it: with `default`, this would be the pool of the other tests


def answers(connection: Any) -> bool:
    """Whether the database does, as Django sees it."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return bool(cursor.fetchone())
    except OperationalError:
        return False
    finally:
        connection.close()


@pytest.mark.django_db
@pytest.mark.skipif(binaries() is None, reason="no PostgreSQL server is installed")
def test_a_process_reconnects_soon_after_the_database_is_back() -> None:
    """psycopg's pool alone would wait up to five minutes."""
    port = free_port()
    with running_postgresql(port) as url:
        own = database_settings(url, 2, Timeouts(30_000, 10_000))
        connection: Any = ConnectionHandler({"default": {}, ALIAS: own})[ALIAS]
        assert answers(connection)
    gone = time.monotonic()
    while time.monotonic() < gone + 16:  # psycopg would have tried after 1, 3, 7 and 15 seconds, and next after 31
        assert not answers(connection)

    try:
        with running_postgresql(port):
            wait_until(lambda: answers(connection), within_s=12, what="it is there again")
    finally:
        connection.close_pool()
