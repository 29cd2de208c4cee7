"""The purge: deletes what RETENTION_DAYS no longer keeps, in short transactions and in a thread of its own.

Due jobs do not wait for it, and it keeps up with several thousand jobs a second.
"""

import threading
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError, connection, connections, models
from django.db.models import Exists, OuterRef
from django.utils import timezone

from jobs.engine.scheduler.sweep import BATCH
from jobs.ledger import EndedAt, statements
from jobs.models import AdvancePrediction, EventQuestion, Job, TriggerStep, WorldAdvance

log = structlog.get_logger(__name__)
PAUSE_S: Final = 0.02  #: after each transaction, which takes half of that: others write meanwhile
LONGEST_STOP_S: Final = 1.0  #: less than the watchdog's margin
WHOLE_EVERY_S: Final = 24 * 3600.0  #: for what was kept and need not be any more, such as a dead letter
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.get_default_timezone())
_FIRST_ID: Final = str(UUID(int=0))
#: What old jobs have left in other tables, by the column that says its age.
_OF_JOBS: Final[tuple[tuple[models.Manager[Any], str], ...]] = (
    (WorldAdvance.objects, "created_at"),
    (AdvancePrediction.objects, "created_at"),
    (TriggerStep.objects, "moved_at"),
    (EventQuestion.objects, "asked_at"),
)


class Purge:
    """The thread, while there is something to delete; one in a process.

    It skips what it has kept, but for one run in WHOLE_EVERY_S: years of dead letters cost nothing.
    """

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._since = _EPOCH
        self._whole_at = 0.0

    def start(self, before: datetime) -> None:
        """Start the thread, unless it runs or nothing is old. Raises database errors."""
        if self._thread and self._thread.is_alive():
            return
        if time.monotonic() >= self._whole_at:
            self._since = _EPOCH
        if not _has_old_rows(self._since, before):
            return
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, args=(before,), name="purge", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Have it end after the transaction in hand."""
        self._stop.set()

    def join(self) -> None:
        """Wait until it has ended, for LONGEST_STOP_S at most."""
        if self._thread:
            self._thread.join(LONGEST_STOP_S)

    def _run(self, before: datetime) -> None:
        try:
            purge(before, self._stop, since=self._since, pause_s=PAUSE_S)
            if not self._stop.is_set():
                if self._since == _EPOCH:
                    self._whole_at = time.monotonic() + WHOLE_EVERY_S
                self._since = before
        except (OperationalError, InterfaceError) as error:
            log.warning("retention.purge_interrupted", error=str(error), next="it goes on at the next clean-up")
        except Exception:  # top of the thread
            log.exception("retention.purge_failed", next="it is tried again at the next clean-up")
        finally:
            connections.close_all()


def purge(before: datetime, stop: threading.Event, *, since: datetime = _EPOCH, pause_s: float = 0.0) -> int:
    """Delete jobs that ended in between, but no dead letters, with all that belongs to them; return how many.

    It pauses after each transaction, and ends after the one in hand once `stop` is set.
    """
    deleted = 0
    try:
        for jobs in _pace(_purge_jobs(since, before), stop, pause_s):
            deleted += jobs
    finally:
        if deleted:
            log.info("retention.jobs_deleted", jobs=deleted)
    for table, age in _OF_JOBS:
        if stop.is_set():
            break
        for _ in _pace(_purge_rows(table, age, since, before), stop, pause_s):
            continue
    return deleted


def _has_old_rows(since: datetime, before: datetime) -> bool:
    tables = ((Job.objects, "finished_at"), *_OF_JOBS)
    return any(table.filter(**{f"{age}__gte": since, f"{age}__lt": before}).exists() for table, age in tables)


def _pace(steps: Iterator[int], stop: threading.Event, pause_s: float) -> Iterator[int]:
    for step in steps:
        yield step
        if stop.wait(pause_s):
            return


def _purge_jobs(since: datetime, before: datetime) -> Iterator[int]:
    """Delete a batch of jobs per step."""
    after: EndedAt | None = EndedAt(since, _FIRST_ID)
    while after is not None:
        with connection.wrap_database_errors:
            jobs, after = statements().purge(before, after)
        yield jobs


def _purge_rows(table: models.Manager[Any], age: str, since: datetime, before: datetime) -> Iterator[int]:
    """Delete a batch of rows per step, except of jobs that are still there: a retry must find what it has done."""
    jobs = Job.objects.filter(pk=OuterRef("job_id"))
    last: tuple[datetime, Any] = (since, None)
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
