"""The stager: puts jobs that are due soon into Redis, and all due jobs after Redis has lost its data.

Redis stays small however many jobs wait, and each round costs the same.
"""

import time
from datetime import datetime
from typing import Any, Final

import structlog
from django.conf import settings
from django.utils import timezone
from redis import Redis

from jobs.broker import keys
from jobs.engine.scheduler.sweep import Scan
from jobs.models import Job
from jobs.states import WAITING, State

log = structlog.get_logger(__name__)
ROUND_SECONDS: Final = 0.5  #: per round for each kind of staging, as the scheduler has other work to do
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.get_default_timezone())


class Stager:
    """Stages jobs over as many rounds as it takes."""

    def __init__(self, connection: Redis) -> None:
        self.staging: tuple[list[Scan], datetime] | None = None  #: the current scans and their horizon
        self._connection = connection
        self._restore: Scan | None = None  # of QUEUED rows, after Redis has lost its data

    def poll(self, now: datetime) -> bool:
        """Run one round. Returns whether there is more to stage now. Raises redis.RedisError and database errors."""
        self.stage(now)
        if self._restore:
            self._restore.enqueue(time.monotonic() + ROUND_SECONDS)
            self._restore = None if self._restore.done else self._restore
        return bool(self.staging or self._restore)

    def stage(self, now: datetime) -> None:
        """Stage rows that entered the horizon since the last round, or all of them if Redis has lost its data."""
        if self.staging is None:
            stored: Any = self._connection.get(keys.STAGED_UNTIL)
            since = keys.moment(stored) or _EPOCH
            if since <= _EPOCH:
                # An empty Redis below a database without jobs is a first start.
                write = log.warning if Job.objects.exists() else log.info
                write("stager.redis_reset_detected", next="everything due is enqueued again")
                queued = Job.objects.in_state(State.QUEUED)
                # The bound makes PostgreSQL use the index on moved_at instead of sorting, even without statistics.
                self._restore = Scan(queued.filter(moved_at__gt=_EPOCH), "moved_at")
                self._connection.set(keys.STAGED_UNTIL, 0)  # so that a second loss of data is noticed too
            horizon = now + settings.FEED_HORIZON
            scans = [
                Scan(Job.objects.in_state(state).filter(due_at__gt=since, due_at__lte=horizon), "due_at")
                for state in WAITING
            ]
            self.staging = (scans, horizon)
        scans, horizon = self.staging
        until = time.monotonic() + ROUND_SECONDS
        for scan in scans:
            scan.enqueue(until)
        if all(scan.done for scan in scans):
            self._connection.set(keys.STAGED_UNTIL, horizon.timestamp(), xx=True)
            self.staging = None
