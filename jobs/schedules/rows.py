"""Rows of schedules: reading, locking and saving many of them."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final, TypeVar

from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from jobs.ledger import statements
from jobs.models import ScheduleRow

T = TypeVar("T")
BATCH: Final = 500  #: rows or IDs per statement


def all_rows() -> QuerySet[ScheduleRow]:
    """All rows without `updated_at`, which is overwritten anyway and takes a tenth of the time to read."""
    return ScheduleRow.objects.defer("updated_at")


def lock(entity_ids: Collection[str]) -> dict[tuple[str, str], ScheduleRow]:
    """Lock the rows of these entities, in one order for all transactions."""
    rows = all_rows().select_for_update().filter(entity_id__in=entity_ids).order_by("id")
    return {(row.entity_id, row.event_type): row for row in rows}


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
