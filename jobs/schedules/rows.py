"""Rows of schedules: reading, locking and saving many of them.

What each batch of a world-time advance reads is plain SQL: the ORM takes three times as long for the same rows.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final, TypeVar

import msgspec
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from jobs.ledger import statements
from jobs.models import ScheduleRow
from jobs.models.making import make_from

T = TypeVar("T")
BATCH: Final = 500  #: rows or IDs per statement
_COLUMNS: Final = tuple(
    field.attname for field in ScheduleRow._meta.concrete_fields if field.attname not in ("updated_at", "payload")
)
_SELECTED: Final = ", ".join(f'"{column}"' for column in (*_COLUMNS, "payload"))
_INTERVAL: Final = _COLUMNS.index("interval")


def all_rows() -> QuerySet[ScheduleRow]:
    """All rows without `updated_at`, which is overwritten anyway and takes a tenth of the time to read."""
    return ScheduleRow.objects.defer("updated_at")


def rows_of(entity_ids: Collection[str], *, lock: bool = False) -> list[ScheduleRow]:
    """The rows of these entities without `updated_at`, in the order in which all transactions lock them."""
    rows = []
    for values in _select(_SELECTED, entity_ids, order=" ORDER BY id", lock=lock):
        *columns, payload = values
        columns[_INTERVAL] = _as_interval(columns[_INTERVAL])
        row = make_from(ScheduleRow, connection.alias, _COLUMNS, columns)
        row.payload = msgspec.json.decode(payload)
        rows.append(row)
    return rows


def anchors_of(entity_ids: Collection[str]) -> Sequence[tuple[str, str, str, str]]:
    """Entity ID, event type, clock and anchor of the rows of these entities."""
    return _select("entity_id, event_type, clock, anchor", entity_ids)


def lock(entity_ids: Collection[str]) -> dict[tuple[str, str], ScheduleRow]:
    """Lock the rows of these entities, in one order for all transactions."""
    return {(row.entity_id, row.event_type): row for row in rows_of(entity_ids, lock=True)}


def _select(columns: str, entity_ids: Collection[str], *, order: str = "", lock: bool = False) -> list[Any]:
    ids: Any = list(entity_ids)
    if connection.vendor == "sqlite":
        named, ids, lock = "IN (SELECT value FROM json_each(%s))", msgspec.json.encode(ids).decode(), False
    else:
        named = "= ANY(%s)"
    statement = f"SELECT {columns} FROM jobs_schedulerow WHERE entity_id {named}{order}{' FOR UPDATE' * lock}"  # noqa: S608 - our own
    with connection.cursor() as cursor:
        cursor.execute(statement, [ids])
        return list(cursor.fetchall())


@lru_cache(maxsize=1024)
def _as_interval(stored: int | timedelta) -> timedelta:
    """SQLite has microseconds."""
    return stored if isinstance(stored, timedelta) else timedelta(microseconds=stored)


def add(rows: Sequence[ScheduleRow]) -> None:
    """Insert rows, except where there is one by now."""
    _save(rows, statements().add)


def save(rows: Sequence[ScheduleRow]) -> None:
    """Write all that changes of rows."""
    _save(rows, statements().place)


def save_dates(rows: Sequence[ScheduleRow]) -> None:
    """Write the due times of rows of which nothing else has changed."""
    _save(rows, statements().redate)


def _save(rows: Sequence[ScheduleRow], write: Callable[[Sequence[ScheduleRow]], None]) -> None:
    now = timezone.now()
    for row in rows:
        row.updated_at = now
    if rows:
        with connection.wrap_database_errors:
            write(rows)


def batches(found: Sequence[T]) -> Iterator[Sequence[T]]:
    """Split into parts of one statement's size."""
    return (found[start : start + BATCH] for start in range(0, len(found), BATCH))
