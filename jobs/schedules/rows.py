"""Rows of schedules: reading, locking and saving many of them.

What each batch of a world-time advance reads is plain SQL: the ORM takes three times as long for the same rows.

A transaction locks the rows that it writes first, in one order for all: the campaign's clock, then structures before
settlements, each kind by its number. Two that lock in different orders can wait for each other.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, timedelta
from functools import lru_cache
from typing import Any, Final, TypeVar

import msgspec
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from jobs.ledger import statements
from jobs.models import ScheduleRow
from jobs.models.making import make_from
from jobs.world.clock import Moment, clock_name, sortable

T = TypeVar("T")
BATCH: Final = 500  #: rows or IDs per statement
_COLUMNS: Final = tuple(
    field.attname for field in ScheduleRow._meta.concrete_fields if field.attname not in ("updated_at", "payload")
)
_SELECTED: Final = ", ".join(f'"{column}"' for column in (*_COLUMNS, "payload"))
_DUE: Final = " AND clock = %s AND entity_type = 'Structure' AND next_due > '' AND next_due <= %s"
_INTERVAL: Final = _COLUMNS.index("interval")


def all_rows() -> QuerySet[ScheduleRow]:
    """All rows without `updated_at`, which is overwritten anyway and takes a tenth of the time to read."""
    return ScheduleRow.objects.defer("updated_at")


def rows_of(entity_ids: Collection[str], *, lock: bool = False) -> list[ScheduleRow]:
    """The rows of these entities without `updated_at`, by number; `lock` them if they are of one kind."""
    in_order = " ORDER BY id FOR UPDATE" if lock and connection.vendor != "sqlite" else " ORDER BY id"
    alias = connection.alias
    return [_row(alias, values) for values in _select(_SELECTED, "entity_id", entity_ids, in_order)]


def anchors_of(entity_ids: Collection[str]) -> Sequence[tuple[str, str, str, str]]:
    """Entity ID, event type, clock and anchor of the rows of these entities."""
    return _select("entity_id, event_type, clock, anchor", "entity_id", entity_ids)


def due_structures_of(households: Collection[str], reading: Moment) -> list[ScheduleRow]:
    """The rows of structures of these settlements that are due by `reading`, the first due first."""
    rows = []
    due = [clock_name(reading), sortable(reading)]
    for values in _select(f"{_SELECTED}, updated_at", "household", households, f"{_DUE} ORDER BY next_due, id", due):
        *columns, updated_at = values
        row = _row(connection.alias, columns)
        row.updated_at = updated_at if updated_at.tzinfo else updated_at.replace(tzinfo=UTC)
        rows.append(row)
    return rows


def households_to_fire(households: Collection[str], reading: Moment) -> set[str]:
    """The settlements among these with a structure that is due by `reading` and has not fired."""
    due = [clock_name(reading), sortable(reading), sortable(reading)]
    more = f"{_DUE} AND fire_at > '' AND fire_at <= %s"
    return {household for (household,) in _select("DISTINCT household", "household", households, more, due)}


def lock(entity_ids: Collection[str]) -> dict[tuple[str, str], ScheduleRow]:
    """Lock the rows of these entities of one kind, in the order of all transactions."""
    return {(row.entity_id, row.event_type): row for row in rows_of(entity_ids, lock=True)}


def locked(rows: QuerySet[ScheduleRow]) -> QuerySet[ScheduleRow]:
    """Rows of any kinds that are locked in the order of all transactions when they are read."""
    return rows.select_for_update().order_by("-entity_type", "id")


def lock_all(rows: QuerySet[ScheduleRow]) -> list[int]:
    """Lock the rows; returns their numbers."""
    return list(locked(rows).values_list("id", flat=True))


def _select(columns: str, key: str, ids: Collection[str], more: str = "", values: Sequence[str] = ()) -> list[Any]:
    """The columns of the rows whose `key` is one of these IDs."""
    given: Any = list(ids)
    if connection.vendor == "sqlite":
        named, given = "IN (SELECT value FROM json_each(%s))", msgspec.json.encode(given).decode()
    else:  # where PostgreSQL sees how many there are, it reads the whole table in place of an index
        named = "= ANY(ARRAY(SELECT unnest(%s::text[])))"
    statement = f"SELECT {columns} FROM jobs_schedulerow WHERE {key} {named}{more}"  # noqa: S608 - our own texts
    with connection.cursor() as cursor:
        cursor.execute(statement, [given, *values])
        return list(cursor.fetchall())


def _row(alias: str, values: Sequence[Any]) -> ScheduleRow:
    *columns, payload = values
    columns[_INTERVAL] = _as_interval(columns[_INTERVAL])
    row = make_from(ScheduleRow, alias, _COLUMNS, columns)
    row.payload = msgspec.json.decode(payload)
    return row


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
    """Write the due times of rows that have changed in nothing else."""
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
