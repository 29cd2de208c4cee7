"""A database that another connection has locked."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection

from tests.support.processes import database_url


@contextmanager
def lock(*tables: str) -> Iterator[None]:
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
        _lock(server, tables)
        yield
        server.rollback()


def _lock(server: psycopg.Connection, tables: Sequence[str]) -> None:
    """Again, if a transaction that uses two of the tables in another order was met: PostgreSQL ends one of the two."""
    statement = f"LOCK TABLE {', '.join(tables)}".encode()
    for _ in range(20):
        try:
            server.execute(statement)
            return
        except psycopg.errors.DeadlockDetected:
            server.rollback()
    server.execute(statement)


def is_waiting() -> bool:
    """Whether somebody waits for a lock of PostgreSQL."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return int(cursor.fetchone()[0]) > 0


@contextmanager
def impatient() -> Iterator[None]:
    """This process's connections hardly wait for locks."""
    if connection.vendor == "sqlite":
        usual = int(connection.settings_dict["OPTIONS"]["timeout"] * 1000)
        with _set_up("PRAGMA busy_timeout = 50", back=f"PRAGMA busy_timeout = {usual}"):
            yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = 50")
    try:
        yield
    finally:  # whoever closes a connection gives its session back to the pool as it is: RESET might reach another one
        connection.close()
        postgresql: Any = connection
        postgresql.close_pool()


@contextmanager
def _set_up(statement: str, *, back: str) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(back)
