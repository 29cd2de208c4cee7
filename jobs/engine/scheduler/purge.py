"""The purge: deletes what RETENTION_DAYS no longer keeps, in short transactions and in a thread of its own.

Due jobs do not wait for it, and it keeps up with 1,000 jobs a second.
"""

import threading
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError, connection, connections, models
from django.db.models import Exists, OuterRef
from django.utils import timezone

from jobs.engine.scheduler.sweep import BATCH
from jobs.ledger import Ended, statements
from jobs.models import AdvancePrediction, EventQuestion, Job, TriggerStep, WorldAdvance

log = structlog.get_logger(__name__)
PAUSE_S: Final = 0.02  #: after each transaction, which takes half of that: others write meanwhile
LONGEST_STOP_S: Final = 5.0
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.get_default_timezone())
_FIRST: Final = Ended(_EPOCH, str(UUID(int=0)))
#: What old jobs have left in other tables, by the column that says its age.
_OF_JOBS: Final[tuple[tuple[models.Manager[Any], str], ...]] = (
    (WorldAdvance.objects, "created_at"),
    (AdvancePrediction.objects, "created_at"),
    (TriggerStep.objects, "moved_at"),
    (EventQuestion.objects, "asked_at"),
)


class Purge:
    """The thread, while there is something to delete."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, before: datetime) -> None:
        """Begin to delete what is older, unless it is at it or there is nothing. Raises database errors."""
        if (self._thread and self._thread.is_alive()) or not _is_due(before):
            return
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, args=(before,), name="purge", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it after the transaction in hand."""
        self._stop.set()
        if self._thread:
            self._thread.join(LONGEST_STOP_S)

    def _run(self, before: datetime) -> None:
        try:
            purge(before, self._stop, pause_s=PAUSE_S)
        except (OperationalError, InterfaceError) as error:
            log.warning("retention.purge_interrupted", error=str(error), next="it goes on at the next clean-up")
        except Exception:  # top of the thread
            log.exception("retention.purge_failed", next="it is tried again at the next clean-up")
        finally:
            connections.close_all()


def purge(before: datetime, stop: threading.Event, *, pause_s: float = 0.0) -> int:
    """Delete jobs that ended earlier, but no dead letters, with all that belongs to them; return how many.

    It pauses after each transaction, and ends early once `stop` is set.
    """
    deleted = 0
    try:
        for jobs in _paced(_purge_jobs(before), stop, pause_s):
            deleted += jobs
    finally:
        if deleted:
            log.info("retention.jobs_deleted", jobs=deleted)
    for table, age in _OF_JOBS:
        for _ in _paced(_purge_rows(table, age, before), stop, pause_s):
            continue
    return deleted


def _is_due(before: datetime) -> bool:
    if Job.objects.filter(finished_at__lt=before).exists():
        return True
    return any(table.filter(**{f"{age}__lt": before}).exists() for table, age in _OF_JOBS)


def _paced(steps: Iterator[int], stop: threading.Event, pause_s: float) -> Iterator[int]:
    for step in steps:
        yield step
        if stop.wait(pause_s):
            return


def _purge_jobs(before: datetime) -> Iterator[int]:
    """Delete a batch of jobs per step."""
    after: Ended | None = _FIRST
    while after is not None:
        with connection.wrap_database_errors:
            jobs, after = statements().purge(before, after)
        yield jobs


def _purge_rows(table: models.Manager[Any], age: str, before: datetime) -> Iterator[int]:
    """Delete a batch of rows per step, except of jobs that are still there: a retry must find what it has done."""
    jobs = Job.objects.filter(pk=OuterRef("job_id"))
    last: tuple[datetime, Any] = (_EPOCH, None)
    while True:
        at, key = last
        rows = table.filter(**{f"{age}__gte": at, f"{age}__lt": before}).order_by(age, "pk")
        if key is not None:
            rows = rows.exclude(**{age: at, "pk__lte": key})
        found = list(rows.values_list(age, "pk")[:BATCH])
        old = table.filter(~Exists(jobs), pk__in=[pk for _, pk in found], **{f"{age}__lt": before})
        yield old.delete()[0]
        if len(found) < BATCH:
            return
        last = found[-1]
