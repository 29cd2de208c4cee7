"""Many rows at once are written as one by one."""

import sqlite3
from typing import Any

import pytest

from jobs.ledger.sqlite_batches import ROWS, for_rows, write

INSERT = "INSERT INTO t (id, a, b) VALUES (?, ?, ?)"
UPDATE = "UPDATE t SET a = coalesce(?, a), b = b OR ? WHERE id = ?"


def table() -> sqlite3.Connection:
    raw = sqlite3.connect(":memory:")
    raw.execute("CREATE TABLE t (id TEXT PRIMARY KEY, a TEXT, b BOOL)")
    return raw


def content(raw: sqlite3.Connection) -> list[tuple[Any, ...]]:
    return raw.execute("SELECT id, a, b FROM t ORDER BY rowid").fetchall()


@pytest.mark.parametrize("number", [0, 1, ROWS - 1, ROWS, 2 * ROWS + 1])
def test_rows_are_written_as_by_executemany(number: int) -> None:
    one_by_one, together = table(), table()
    new = [(f"{n:03}", f"a{n}", 0) for n in range(number)]
    changed = [(None if n % 3 else f"changed {n}", n % 2, f"{n:03}") for n in reversed(range(number))]

    for statement, rows in ((INSERT, new), (UPDATE, changed)):
        one_by_one.executemany(statement, rows)
        write(together, statement, rows)

    assert content(together) == content(one_by_one)
    assert len(content(together)) == number


def test_an_update_of_many_rows_finds_each_by_its_key() -> None:
    plan = table().execute(f"EXPLAIN QUERY PLAN {for_rows(UPDATE)}", [None] * 3 * ROWS).fetchall()

    assert any("SEARCH t USING" in step[3] for step in plan)
    assert not any("SCAN t" in step[3] for step in plan)
