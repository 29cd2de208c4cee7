"""The sweep: finds QUEUED rows that are missing from Redis; new ones within seconds, all others in turn."""

import time
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from django.db.models import QuerySet
from redis import Redis

from jobs.broker import enqueue, keys
from jobs.broker.scripts import script
from jobs.engine.scheduler.lower_bound import LowerBound
from jobs.ledger import Enqueued
from jobs.models import Job
from jobs.states import State

log = structlog.get_logger(__name__)
BATCH: Final = 500
SETTLED: Final = timedelta(seconds=5)  # a younger QUEUED row may still be on its way to Redis
_ENQUEUED: Final = (  # Enqueued's order
    "id",
    "type",
    "campaign_id",
    "priority",
    "attempt",
    "subject",
    "payload_version",
    "failures",
    "state",
    "due_at",
)


class Scan:
    """Scans rows once in the order of (`field`, id), a batch at a time, over as many rounds as it takes."""

    def __init__(self, rows: QuerySet[Job], field: str) -> None:
        self._rows = rows.order_by(field, "id")
        self._field = field
        self._last: tuple[datetime, UUID] | None = None
        self.first: datetime | None = None  #: `field` of the first row
        self.done = False

    def batch(self) -> list[Enqueued]:
        """Return the next BATCH rows."""
        rows = self._rows
        if self._last:
            at, job_id = self._last
            rows = rows.filter(**{f"{self._field}__gte": at}).exclude(**{self._field: at, "id__lte": job_id})
        found = list(rows.values_list(self._field, *_ENQUEUED)[:BATCH])
        self.done = len(found) < BATCH
        if found:
            self.first = self.first or found[0][0]
            self._last = (found[-1][0], found[-1][1])
        return [Enqueued(str(row[1]), *row[2:]) for row in found]

    def enqueue(self, until: float) -> None:
        """Enqueue rows until all are in Redis or the monotonic clock reaches `until`."""
        while not self.done and time.monotonic() < until:
            enqueue.enqueue(self.batch())


class Sweep:
    """Checks each QUEUED row once when it is SETTLED old, and all of them again in turn, a batch at a time.

    The first check finds rows whose process died between the commit and Redis, however long the backlog is. The second
    finds rows that Redis has lost, and rows committed by transactions that took longer than SETTLED.
    """

    def __init__(self, connection: Redis) -> None:
        self._connection = connection
        self._new: tuple[Scan, datetime] | None = None
        self._all: Scan | None = None
        self._oldest = LowerBound("moved_at")

    def poll(self, now: datetime, *, for_s: float = 0.0) -> bool:
        """Check one batch of all rows, and new rows for `for_s` but at least one batch.

        Returns whether all new rows were checked. Raises redis.RedisError and database errors.
        """
        self._check_next(now - SETTLED)
        if self._new is None:
            self._new = self._since_last_time(now - SETTLED), now - SETTLED
        scan, until = self._new
        deadline = time.monotonic() + for_s
        self._put_back(scan.batch())
        while not scan.done and time.monotonic() < deadline:
            self._put_back(scan.batch())
        if scan.done:
            self._connection.set(keys.SWEPT_UNTIL, until.timestamp())
            self._new = None
        return scan.done

    def _check_next(self, until: datetime) -> None:
        """Check the next batch of all rows, or the first one again."""
        if self._all is None or self._all.done:
            rows = Job.objects.in_state(State.QUEUED).filter(moved_at__lt=until)
            self._all = Scan(self._oldest.apply(rows), "moved_at")
            self._put_back(self._all.batch())
            self._oldest.learn(self._all.first, until)
        else:
            self._put_back(self._all.batch())

    def _since_last_time(self, until: datetime) -> Scan:
        """Rows that became SETTLED since the last scan, by whichever scheduler."""
        stored: Any = self._connection.get(keys.SWEPT_UNTIL)
        since = min(until, keys.moment(stored) or until)
        return Scan(Job.objects.in_state(State.QUEUED).filter(moved_at__gt=since, moved_at__lte=until), "moved_at")

    def _put_back(self, batch: list[Enqueued]) -> None:
        if not batch:
            return
        rows = [(job.id, enqueue.queue_of(job)) for job in batch]
        missing = [batch[position - 1] for position in script("missing").run(self._connection, jobs=rows)]
        if missing:
            log.info("sweep.jobs_requeued", jobs=len(missing))
            enqueue.enqueue(missing)
