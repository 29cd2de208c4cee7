"""Which errors mean that our own database or Redis is away, as opposed to a bug or bad data."""

import sqlite3
from typing import Final

from django.db import InterfaceError, InternalError, OperationalError
from redis import exceptions as redis

_REDIS: Final = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.ReadOnlyError,
    redis.OutOfMemoryError,
    redis.ClusterDownError,
)
_REDIS_CODES: Final = ("BUSY ", "MISCONF ", "NOREPLICAS ")  #: outages for which redis-py has no class
_POSTGRESQL_READ_ONLY: Final = "25006"  #: read_only_sql_transaction: a standby, or a database set read-only


def is_outage(error: BaseException) -> bool:
    """Whether the same work may succeed once our database or Redis is well again.

    >>> is_outage(OperationalError("the connection is lost")), is_outage(ValueError("a bug"))
    (True, False)
    """
    match error:
        case redis.ResponseError() if str(error).startswith(_REDIS_CODES):
            return True
        case redis.RedisError():
            return isinstance(error, _REDIS)
        case OperationalError():
            # SQLite reports wrong statements so, too: no such table, too many parameters.
            code = getattr(error.__cause__, "sqlite_errorcode", None)
            return code is None or code & 0xFF != sqlite3.SQLITE_ERROR
        case InterfaceError():
            return True
        case InternalError():
            return getattr(error.__cause__, "sqlstate", None) == _POSTGRESQL_READ_ONLY
    return False
