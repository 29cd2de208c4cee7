"""A database that another connection has locked."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.db import connection

from tests.support.processes import database_url


@contextmanager
def locked(*tables: str) -> Iterator[None]:
    """Nobody else reads or writes `tables` until the end of the block; on SQLite, nobody writes anything."""
    if connection.vendor == "sqlite":
        other = sqlite3.connect(str(connection.settings_dict["NAME"]), isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            yield
        finally:
            other.close()
        return
    with psycopg.connect(database_url()) as server:
        server.execute(f"LOCK TABLE {', '.join(tables)}".encode())
        yield
        server.rollback()


@contextmanager
def impatient() -> Iterator[None]:
    """This process's connections hardly wait for locks."""
    if connection.vendor == "sqlite":
        usual = int(connection.settings_dict["OPTIONS"]["timeout"] * 1000)
        wait, back = "PRAGMA busy_timeout = 50", f"PRAGMA busy_timeout = {usual}"
    else:
        wait, back = "SET lock_timeout = 50", "RESET lock_timeout"
    with connection.cursor() as cursor:
        cursor.execute(wait)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(back)
