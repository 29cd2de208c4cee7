"""A pool that replaces all its idle connections once one of them turns out to be broken.

After a restart or failover of PostgreSQL all of them are. psycopg's pool tries one after another, with pauses of 0, 1,
2 and 4 s: with five it gives up after ten seconds, although the server is up.
"""

from typing import Any

from django.db.backends.postgresql import base
from psycopg import Error
from psycopg_pool import ConnectionPool


class DatabaseWrapper(base.DatabaseWrapper):
    @property
    def pool(self) -> Any:
        """Django's pool, with a check of our own."""
        pool: Any = super().pool
        if pool:
            pool._check = _check  # noqa: SLF001 - Django gives it psycopg's check, and has no setting for another
        return pool


def _check(connection: Any) -> None:
    """Raise an error if the connection is broken, and have its pool replace the idle ones, too."""
    try:
        ConnectionPool.check_connection(connection)
    except Error:  # raised again: the pool then tries the next connection, or opens one
        connection._pool.drain()  # noqa: SLF001 - psycopg has no public way from a connection to its pool; Django uses this one
        raise
