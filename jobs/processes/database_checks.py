"""Checks at the start of a process whether the database allows what this process may ask of it."""

from typing import NamedTuple

import structlog
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from scheduler_project.database import READ_AS, is_pooled

log = structlog.get_logger(__name__)
_LIMITS = """
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
    - coalesce(current_setting('reserved_connections', true), '0')::int,
  (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user),
  (SELECT datconnlimit FROM pg_database WHERE datname = current_database())
"""
_SETTINGS = "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)"
_SET_BY_SESSION = ("TimeZone",)  # by Django; PgBouncer gives it back to the session of each client


class Problem(NamedTuple):
    """What does not fit."""

    text: str
    never: bool  #: this process can never run well so


def check_database(*, processes: int = 1) -> None:
    """Exit if the database's limits can never fit this process, and warn if they may not for `processes` like it.

    Does nothing while the database is away: the process waits for it.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    try:
        faults = find_faults(connection, processes=processes)
    except (OperationalError, InterfaceError) as error:
        log.warning("database.unchecked", error=str(error), next="its limits are not compared")
        return
    finally:
        connection.close()
        if connection.vendor == "postgresql":
            connection.close_pool()  # type: ignore[attr-defined] # a parent of workers needs no connection afterwards
    for fault in faults:
        if not fault.never:
            log.warning("database.limits_short", cause=fault.text)
    if never := [fault.text for fault in faults if fault.never]:
        raise SystemExit("\n".join(f"database: {text}" for text in never))


def find_faults(connection: BaseDatabaseWrapper, *, processes: int) -> list[Problem]:
    """What does not fit. Raises django.db's errors."""
    if connection.vendor != "postgresql":
        return []
    return _settings_of_pooled(connection) if is_pooled(connection) else _connections(connection, processes)


def _connections(connection: BaseDatabaseWrapper, processes: int) -> list[Problem]:
    """Compare the pools with what the server, the role and the database allow; a pooler shares its own connections."""
    with connection.cursor() as cursor:
        cursor.execute(_LIMITS)
        server, role, database = cursor.fetchone()
    limits = {
        "max_connections, less those reserved": server,
        "CONNECTION LIMIT of the role": role,
        "CONNECTION LIMIT of the database": database,
    }
    what, limit = min(((name, n) for name, n in limits.items() if n >= 0), key=lambda found: found[1])
    pool: int = settings.DATABASE_POOL_SIZE
    if pool > limit:
        text = f"DATABASE_POOL_SIZE={pool}: the server allows {limit} connections ({what}); lower it, or raise that"
        return [Problem(text, never=True)]
    if processes * pool > limit:
        text = (
            f"DATABASE_POOL_SIZE={pool}: {processes} such processes may open {processes * pool} connections; the "
            f"server allows {limit} ({what})"
        )
        return [Problem(text, never=False)]
    return []


def _settings_of_pooled(connection: BaseDatabaseWrapper) -> list[Problem]:
    """Name what the role must set, for a pooler's sessions are not ours to set."""
    wanted = {name: value for name, value in READ_AS.items() if name not in _SET_BY_SESSION}
    timeouts = settings.DATABASE_TIMEOUTS.parameters()
    with connection.cursor() as cursor:
        cursor.execute(_SETTINGS, [[*wanted, *timeouts]])
        found = dict(cursor.fetchall())
        cursor.execute("SELECT quote_ident(current_user)")
        (role,) = cursor.fetchone()
    faults = [
        Problem(f"ALTER ROLE {role} SET {name} = '{value}'; it is '{found[name]}', which we cannot read", never=True)
        for name, value in wanted.items()
        if _plain(found[name]) != _plain(value)
    ]
    return faults + [
        Problem(f"ALTER ROLE {role} SET {name} = {value}; there is no time limit", never=False)
        for name, value in timeouts.items()
        if found[name] == "0" and value != "0"
    ]


def _plain(value: str) -> str:
    """PostgreSQL shows DateStyle with a space, and takes any case."""
    return value.replace(" ", "").lower()
