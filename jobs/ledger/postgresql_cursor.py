"""Statements that PostgreSQL executes beside other work, and what CYCLE answers."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from jobs.ledger.rows import AttemptKey, Claimed

if TYPE_CHECKING:
    import psycopg


def open_cursor(raw: "psycopg.Connection[Any]") -> "psycopg.RawCursor[tuple[Any, ...]]":
    """Open a cursor that binds on the server: on the client's side, as Django's own do, nothing can be prepared."""
    from psycopg import RawCursor, rows  # only here: they load libpq, which SQLite does without
    from psycopg.types.datetime import TimestamptzLoader

    cursor = RawCursor(raw, row_factory=rows.tuple_row)
    cursor.adapters.register_loader("timestamptz", TimestamptzLoader)  # Django's calls Python for each value
    return cursor


def execute(
    raw: "psycopg.Connection[Any]",
    statement: str,
    parameters: Sequence[Any],
    *,
    meanwhile: Callable[[], None] | None,
) -> "psycopg.RawCursor[tuple[Any, ...]]":
    """Execute a statement, with `meanwhile` called while the database works.

    Its answer can be read after later statements, and without the connection.
    """
    cursor = open_cursor(raw)
    if meanwhile is None:
        return cursor.execute(statement, parameters)
    with raw.pipeline() as pipeline:  # its end waits for the answer
        cursor.execute(statement, parameters)
        # The Sync, which commits outside of a transaction, goes out at once: if this process stopped in `meanwhile`, it
        # would keep the rows locked. pipeline.sync() would wait for the answer.
        pipeline.pgconn.pipeline_sync()
        pipeline.result_queue.append(None)
        meanwhile()
    return cursor


def read_answer(
    cursor: "psycopg.RawCursor[tuple[Any, ...]]", ids: Sequence[str], now: datetime
) -> tuple[set[AttemptKey], list[Claimed]]:
    """The answer to CYCLE."""
    found, current = dict[str, Claimed](), set[AttemptKey]()
    for row in cursor.fetchall():
        if row[1] is None:
            current.add(AttemptKey(row[0], row[6]))
        else:
            found[row[0]] = _make_claimed(row, now)
    return current, [found[i] for i in dict.fromkeys(ids) if i in found]


def _make_claimed(row: Sequence[Any], now: datetime) -> Claimed:
    values = list(row)
    if isinstance(values[4], str):  # Django reads jsonb as text on its connections
        values[4] = msgspec.json.decode(values[4])
    waits_since, waits = values.pop(), values.pop()
    values.append(now)
    claimed = Claimed(*values)
    claimed.waits, claimed.waits_since = waits, waits_since
    return claimed
