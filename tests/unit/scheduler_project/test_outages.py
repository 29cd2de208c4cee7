"""Outages are told from bugs, whichever library reports them."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from django.db import DataError, IntegrityError, InterfaceError, InternalError, OperationalError, ProgrammingError
from redis import exceptions as redis

from scheduler_project.outages import is_outage


def of_django(kind: type[Exception], cause: Exception) -> Exception:
    """The error as Django's database wrapper raises it."""
    error = kind(str(cause))
    error.__cause__ = cause
    return error


def of_sqlite(statement: str, *, locked: bool = False) -> Callable[[Path], Exception]:
    """The error of a real SQLite database."""

    def meet(folder: Path) -> Exception:
        first = sqlite3.connect(folder / "db", isolation_level=None)
        second = sqlite3.connect(folder / "db", isolation_level=None, timeout=0)
        if locked:
            first.execute("BEGIN EXCLUSIVE")
        try:
            second.execute(statement)
        except sqlite3.OperationalError as error:
            return of_django(OperationalError, error)
        finally:
            first.close()
            second.close()
        raise AssertionError(statement)

    return meet


def of_postgresql(kind: type[Exception], name: str) -> Callable[[Path], Exception]:
    """The error of that name in PostgreSQL's table of error codes."""
    return lambda _: of_django(kind, psycopg.errors.lookup(name)("no"))


@pytest.mark.parametrize(
    "meet",
    [
        lambda _: redis.ConnectionError("refused"),
        lambda _: redis.TimeoutError("no answer"),
        lambda _: redis.BusyLoadingError("loading"),
        lambda _: redis.ReadOnlyError("a replica"),
        lambda _: redis.OutOfMemoryError("full"),
        lambda _: redis.ResponseError("MISCONF no disk"),
        lambda _: redis.ResponseError("BUSY a script runs"),
        lambda _: OperationalError("the pool has no connection left"),
        lambda _: InterfaceError("the connection is closed"),
        of_sqlite("CREATE TABLE t (x)", locked=True),
        *(
            of_postgresql(OperationalError, name)
            for name in ("ADMIN_SHUTDOWN", "LOCK_NOT_AVAILABLE", "QUERY_CANCELED", "DISK_FULL", "TOO_MANY_CONNECTIONS")
        ),
        of_postgresql(InternalError, "READ_ONLY_SQL_TRANSACTION"),
    ],
)
def test_outages_are_recognised(meet: Callable[[Path], Exception], tmp_path: Path) -> None:
    """Of the database and of Redis."""
    assert is_outage(meet(tmp_path))


@pytest.mark.parametrize(
    "meet",
    [
        lambda _: ValueError("a bug"),
        lambda _: ConnectionError("somebody else's server"),
        lambda _: TimeoutError("somebody else's server"),
        lambda _: redis.DataError("no bytes"),
        lambda _: redis.ResponseError("WRONGTYPE a list"),
        lambda _: redis.NoScriptError("no script"),
        lambda _: redis.LockError("not ours"),
        of_sqlite("SELECT * FROM nothing"),
        of_sqlite("SELEC 1"),
        of_postgresql(InternalError, "IN_FAILED_SQL_TRANSACTION"),
        of_postgresql(ProgrammingError, "UNDEFINED_TABLE"),
        of_postgresql(IntegrityError, "UNIQUE_VIOLATION"),
        of_postgresql(DataError, "NUMERIC_VALUE_OUT_OF_RANGE"),
    ],
)
def test_bugs_are_not_outages(meet: Callable[[Path], Exception], tmp_path: Path) -> None:
    """Whichever library raises them."""
    assert not is_outage(meet(tmp_path))
