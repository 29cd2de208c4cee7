"""Queued rows that Redis does not carry: found within seconds where they are new, in turn where Redis has lost them."""

import time
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from django.db.models import QuerySet
from redis import Redis

from jobs.broker import enqueue, keys
from jobs.broker.scripts import script
from jobs.ledger import Carried
from jobs.models import Job
from jobs.states import State

log = structlog.get_logger(__name__)
BATCH: Final = 500
SETTLED: Final = timedelta(seconds=5)  # a queued row that is younger may still be on its way into Redis
_CARRIED: Final = ("id", "type", "campaign_id", "priority", "attempt", "subject", "state", "due_at")  # Carried's order


class Scan:
    """Goes once through rows in the order of (`field`, id), a batch at a time, over as many rounds as it takes."""

    def __init__(self, rows: QuerySet[Job], field: str) -> None:
        self._rows = rows.order_by(field, "id")
        self._field = field
        self._last: tuple[datetime, UUID] | None = None
        self.done = False

    def batch(self) -> list[Carried]:
        """The next BATCH rows."""
        rows = self._rows
        if self._last:
            at, job_id = self._last
            rows = rows.filter(**{f"{self._field}__gte": at}).exclude(**{self._field: at, "id__lte": job_id})
        found = list(rows.values_list(self._field, *_CARRIED)[:BATCH])
        self.done = len(found) < BATCH
        if found:
            self._last = (found[-1][0], found[-1][1])
        return [Carried(str(row[1]), *row[2:]) for row in found]

    def enqueue(self, until: float) -> None:
        """Put rows into Redis until all are there or the monotonic clock shows `until`."""
        while not self.done and time.monotonic() < until:
            enqueue.enqueue(self.batch())


class Sweep:
    """Looks at every queued row once when it is SETTLED old, and at all of them again in turn, a batch at a time.

    The first finds what was committed by who died before Redis had heard of it, whatever else waits; the second what
    Redis has lost, or what a transaction of more than SETTLED has committed so.
    """

    def __init__(self, connection: Redis) -> None:
        self._connection = connection
        self._new: tuple[Scan, datetime] | None = None
        self._all: Scan | None = None

    def poll(self, now: datetime, *, for_s: float = 0.0) -> bool:
        """One batch of all, and of what is new one or as many as `for_s` allows; whether that was all that is new.

        Raises redis.RedisError and database errors.
        """
        if self._all is None or self._all.done:
            self._all = Scan(Job.objects.in_state(State.QUEUED).filter(moved_at__lt=now - SETTLED), "moved_at")
        self._put_back(self._all.batch())
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

    def _since_last_time(self, until: datetime) -> Scan:
        """Those that have become old enough since then, whichever scheduler that was."""
        stored: Any = self._connection.get(keys.SWEPT_UNTIL)
        since = min(until, keys.moment(stored) or until)
        return Scan(Job.objects.in_state(State.QUEUED).filter(moved_at__gt=since, moved_at__lte=until), "moved_at")

    def _put_back(self, batch: list[Carried]) -> None:
        """Put those back that Redis does not carry."""
        if not batch:
            return
        rows = [(job.id, enqueue.queue_of(job)) for job in batch]
        missing = [batch[position - 1] for position in script("missing").run(self._connection, jobs=rows)]
        if missing:
            log.info("sweep.jobs_requeued", jobs=len(missing))
            enqueue.enqueue(missing)
