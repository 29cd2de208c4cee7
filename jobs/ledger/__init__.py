"""The ledger's statements for many jobs at once, tuned for each database.

They bypass Django's ORM and cursor wrappers, which cost more than the databases themselves. Each statement has one
text, so that it is prepared once.
"""

import threading
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from jobs.ledger.base import DATED_COLUMNS, PLACED_COLUMNS, PURGED_AT_ONCE, Statements
from jobs.ledger.entries import entries_of_end, entry_of_claim
from jobs.ledger.postgresql import PostgreSQL
from jobs.ledger.rows import (
    AttemptKey,
    Claimant,
    Claimed,
    Cycled,
    DeadLetterCount,
    EndedAt,
    Ending,
    Enqueued,
    Entry,
    Move,
    Outcomes,
    Purged,
)
from jobs.ledger.sqlite import SQLite
from scheduler_project.database import is_pooled

__all__ = [
    "DATED_COLUMNS",
    "PLACED_COLUMNS",
    "PURGED_AT_ONCE",
    "AttemptKey",
    "Claimant",
    "Claimed",
    "Cycled",
    "DeadLetterCount",
    "EndedAt",
    "Ending",
    "Enqueued",
    "Entry",
    "Move",
    "Outcomes",
    "PostgreSQL",
    "Purged",
    "SQLite",
    "Statements",
    "entries_of_end",
    "entry_of_claim",
    "statements",
]


class _OfThread(threading.local):
    """The statements that this thread used last, with the connection that they are on."""

    raw: Any = None
    statements: Statements


_last = _OfThread()


def statements(connection: BaseDatabaseWrapper | None = None) -> Statements:
    """The statements of the default database, on its connection of this thread, which the caller may have at hand."""
    if connection is None:
        connection = connections[DEFAULT_DB_ALIAS]  # django.db.connection looks it up for each attribute
    raw: Any = connection.connection
    if raw is None:
        connection.ensure_connection()
        raw = connection.connection
    if _last.raw is not raw:
        is_sqlite = connection.vendor == "sqlite"
        _last.statements = SQLite(raw, connection) if is_sqlite else PostgreSQL(raw, overlaps=not is_pooled(connection))
        _last.raw = raw
    return _last.statements
