"""The scheduler: due jobs go into their queues on time, never early; cron tasks and schedule rows fire."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from django.db import transaction
from django.utils import timezone
from redis import Redis, RedisError
from redis.client import PubSub
from rq.exceptions import NoSuchJobError

from jobs import actor as actors
from jobs import service
from jobs.broker import enqueue, keys
from jobs.broker.aside import move_aside
from jobs.cron import firing
from jobs.engine.scheduler.reconciler import Reconciler
from jobs.engine.scheduler.rq_scheduler import RQScheduler
from jobs.errors import Refused
from jobs.ledger import moves
from jobs.models import Job
from jobs.processes.heartbeat import Heartbeat
from jobs.processes.lease import DURATION, Lease
from jobs.run import Followup
from jobs.schedules import store
from jobs.states import WAITING, State

log = structlog.get_logger(__name__)
BATCH = 500
EXACT_SECONDS = 0.001  # a wait for a socket ends in whole milliseconds: the last one is slept
SLICE_SECONDS = 0.5  # of a round for what is due
LONGEST_SLEEP = 1.0  # so that a change made straight in the database, or a step of the clock, is seen within a second


class Alarm:
    """Wakes the scheduler when something earlier comes.

    Not BLPOP: Redis ends a blocked client's wait when its own timer looks, in idle times every 100 ms.
    """

    def __init__(self, connection: Redis) -> None:
        self._connection = connection
        self._pubsub: PubSub | None = None

    def set(self) -> None:
        """Begin to hear; before the due times are read, so that nothing falls between."""
        if self._pubsub is None:
            self._pubsub = self._connection.pubsub(ignore_subscribe_messages=True)
            self._pubsub.subscribe(keys.WAKE)
            self._pubsub.get_message(timeout=keys.TIMEOUT_SECONDS)  # Redis has done so

    def wait(self, seconds: float) -> None:
        """Until it rings, or so long. Raises redis.RedisError."""
        self.set()
        if self._pubsub and self._pubsub.get_message(timeout=seconds):
            while self._pubsub.get_message(timeout=0):  # all that rang is one alarm
                continue

    def close(self) -> None:
        """Hear no more."""
        if self._pubsub:
            self._pubsub.close()


class Scheduler(RQScheduler):
    """rq-scheduler's sorted set and API, worked in batches by one active instance among many."""

    def __init__(self, queue_name: str = "normal", *, connection: Redis, **kwargs: Any) -> None:
        super().__init__(queue_name, connection=connection, **kwargs)
        self._lease = Lease("scheduler", connection)
        self._reconciler = Reconciler(connection)
        self._alarm = Alarm(connection)
        self._heartbeat = Heartbeat("scheduler", self.name, connection)
        self._reconcile_at = 0.0
        self._renewed_at = 0.0
        self._active = False
        self._fire_at = datetime.min.replace(tzinfo=UTC)
        self._fired_at = 0.0

    def poll(self) -> float:
        """Do what is due, then sleep until the next due time or until something earlier comes; always returns 0.

        Raises StopAsked, redis.RedisError and database errors; the next poll takes up where this one stopped.
        """
        if not self._lead():
            return DURATION.total_seconds() / 4
        now = timezone.now()
        self._queue_due(now)
        self._fire(now)
        if time.monotonic() >= self._reconcile_at:
            self._reconcile_at = time.monotonic() + self._reconciler.poll()
        self._sleep()
        return 0.0

    def close(self) -> None:
        """Give the lease back, so that another instance takes over at once."""
        self._alarm.close()
        self._lease.release()
        self._heartbeat.leave()

    def _lead(self) -> bool:
        if self._active and time.monotonic() - self._renewed_at < DURATION.total_seconds() / 4:
            return True
        held = self._lease.hold()
        self._renewed_at = time.monotonic()
        self._heartbeat.beat_or_stop("active" if held else "standby")
        if held and not self._active:
            log.info("scheduler.active", scheduler=self.name)
            firing.seed()
            self._reconciler = Reconciler(self.connection)  # what it knew before another one was active is over
        elif self._active and not held:
            log.warning("scheduler.standby", scheduler=self.name)
        self._active = held
        return held

    def _queue_due(self, now: datetime) -> None:
        """The database first, then Redis: what falls between is found by the rescuer.

        For SLICE_SECONDS: when many come due at once the lease, cron tasks and the reconciler run meanwhile.
        """
        until = time.monotonic() + SLICE_SECONDS
        while True:
            found: Any = self.connection.zrangebyscore(keys.SCHEDULED, "-inf", now.timestamp(), start=0, num=BATCH)
            if not found:
                return
            if odd := keys.odd(found):
                self.connection.zrem(keys.SCHEDULED, *odd)
                move_aside(odd, "its id is no text", self.connection)
            ids = keys.texts(found)
            known = [i for i in ids if keys.uuid_of(i)]
            queued = moves.queue_due(known, actor=actors.SCHEDULER, reason="due", now=now)
            enqueue.enqueue(queued)
            left = set(known) - {job.id for job in queued}
            ours = list(Job.objects.filter(id__in=left)) if left else []
            gone = [*(job.id for job in queued), *(str(job.id) for job in ours)]
            if gone:
                self.connection.zrem(keys.SCHEDULED, *gone)
            # Rescheduled meanwhile; or queued by one who died, or lost Redis, before it was carried.
            enqueue.enqueue([job for job in ours if job.state in (*WAITING, State.QUEUED)])
            enqueue.dequeue([job for job in ours if job.state == State.CANCELLED])  # while Redis was away
            known_ids = set(gone)
            for foreign in (i for i in ids if i not in known_ids):
                self._enqueue_stranger(foreign)
            if len(found) < BATCH or time.monotonic() >= until:
                return

    def _enqueue_stranger(self, rq_id: str) -> None:
        """One that cannot be read leaves the timetable: it would come first again and again, before all of ours."""
        try:
            self.enqueue_job(self.job_class.fetch(rq_id, connection=self.connection))
            return
        except RedisError:
            raise
        except NoSuchJobError:
            log.info("scheduler.stranger_gone", rq_job=rq_id)
        except Exception:  # the edge to others' jobs: whatever RQ and rq-scheduler make of what stands there
            log.exception("scheduler.stranger_refused", rq_job=rq_id, next="it leaves the timetable")
        self.connection.zrem(keys.SCHEDULED, rq_id)

    def _fire(self, now: datetime) -> None:
        """Cron tasks and rows on the wall clock, looked at when the next of them is due, and once in LONGEST_SLEEP."""
        if now < self._fire_at and time.monotonic() - self._fired_at < LONGEST_SLEEP:
            return
        self._fired_at = time.monotonic()
        fired = firing.fire_due(now)
        due = _fire_wall_rows(now)
        moments = [m for m in (firing.next_firing(), store.next_wall_firing()) if m]
        self._fire_at = min(moments, default=now + timedelta(days=1))
        if not fired and not due:  # a task that is refused stays due, and must not keep the scheduler from sleeping
            self._fire_at = max(self._fire_at, now + timedelta(seconds=LONGEST_SLEEP))

    def _sleep(self) -> None:
        self._alarm.set()
        first = self.connection.zrange(keys.SCHEDULED, 0, 0, withscores=True)
        seconds = min(max(first[0][1], 0), keys.LAST_SECOND - 1) if first else None
        moments = [datetime.fromtimestamp(seconds, tz=UTC)] if seconds is not None else []
        wait = min(LONGEST_SLEEP, (min([*moments, self._fire_at]) - timezone.now()).total_seconds())
        if wait > 2 * EXACT_SECONDS:
            self._alarm.wait(wait - EXACT_SECONDS)
        elif wait > 0:
            time.sleep(wait)


@transaction.atomic
def _fire_wall_rows(now: datetime) -> list[Followup]:
    """A row moves on and its job is made, or neither: a row that moved on alone would be missed for an interval."""
    due = store.fire_wall_rows(now)
    try:
        _submit(due)
    except Refused:
        for one in due:
            try:
                _submit([one])
            except Refused as refused:
                log.error("scheduler.row_refused", job_type=one.type, campaign_id=one.campaign_id, error=str(refused))
    return due


def _submit(due: list[Followup]) -> None:
    service.submit_followups(due, actor=actors.SCHEDULER, reason="due on the wall clock")
