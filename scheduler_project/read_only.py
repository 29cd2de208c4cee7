"""A PostgreSQL that takes no writes is an outage, as for every other store, and not a bug in the statement.

Django reports it as InternalError, which looks like a bug: processes then wait up to a minute before they look again,
and pages answer 500. After a failover behind one address, kept connections would also stay with the old server, which
is a standby by then. So the whole pool is dropped, and the next connection reaches whoever is the master.
"""

from types import TracebackType
from typing import Any, Final

from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.utils import DatabaseErrorWrapper

READ_ONLY: Final = "25006"  #: PostgreSQL's code; to import psycopg loads libpq, which SQLite does without


def install() -> None:
    """Watch every connection of this process."""
    connection_created.connect(_watch, dispatch_uid="read_only")


def _watch(connection: BaseDatabaseWrapper, **_: Any) -> None:
    if connection.vendor == "postgresql":
        connection.wrap_database_errors = _Errors(connection)  # the ledger's statements pass through it, too


class _Errors(DatabaseErrorWrapper):
    """Django's translation of psycopg's errors, with OperationalError where the server takes no writes."""

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self._connection = connection

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if getattr(exc_value, "sqlstate", None) == READ_ONLY:
            self._connection.errors_occurred = True
            self._connection.connection.close()  # the pool discards it
            if pool := self._connection.pool:
                pool.drain()
            raise OperationalError(f"PostgreSQL takes no writes: {exc_value}") from exc_value
        super().__exit__(exc_type, exc_value, traceback)
