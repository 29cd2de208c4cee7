"""Writes many rows to SQLite with few statements.

While a statement runs, the interpreter's lock is free. Where other threads take it at each row, a transaction of
hundreds of rows holds up every writer for as long as they run Python in between.
"""

import re
import sqlite3
from collections.abc import Sequence
from functools import cache
from itertools import chain, count
from typing import Any, Final

ROWS: Final = 50  #: per statement


def write(raw: sqlite3.Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> int:
    """The same as `executemany` for an INSERT … VALUES (?, …), or an UPDATE … WHERE id = ? of each row once.

    Returns how many rows it has written.
    """
    whole = len(rows) - len(rows) % ROWS
    written = 0
    for start in range(0, whole, ROWS):
        written += raw.execute(for_rows(statement), list(chain.from_iterable(rows[start : start + ROWS]))).rowcount
    if whole < len(rows):
        written += raw.executemany(statement, rows[whole:]).rowcount
    return written


@cache
def for_rows(statement: str) -> str:
    """The statement for ROWS rows at once.

    >>> for_rows("UPDATE t SET a = ? WHERE id = ?").partition(", (")[0]
    'UPDATE t SET a = v.column1 FROM (VALUES (?, ?)'
    """
    columns = statement.count("?")
    row = f"({', '.join('?' * columns)})"
    values = f"VALUES {', '.join([row] * ROWS)}"
    if statement.startswith("INSERT"):
        return statement.replace(f"VALUES {row}", values)
    changes, _, key = statement.rpartition(" WHERE ")
    table = changes.split()[1]
    numbers = count(1)
    named = re.sub(r"\?", lambda _: f"v.column{next(numbers)}", changes)
    return f"{named} FROM ({values}) AS v WHERE {table}.{key.replace('?', f'v.column{columns}')}"
