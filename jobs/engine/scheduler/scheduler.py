"""The scheduler: queues due jobs on time, never early, and fires cron tasks, schedules and world clocks."""

import time
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from django.db import transaction
from django.utils import timezone
from redis import Redis, RedisError
from redis.client import PubSub
from rq.exceptions import NoSuchJobError

from jobs import actor as actors
from jobs.broker import enqueue, keys
from jobs.broker.aside import move_aside
from jobs.broker.scripts import script
from jobs.cron import firing
from jobs.engine.scheduler.purge import Purge
from jobs.engine.scheduler.reconciler import Reconciler
from jobs.engine.scheduler.rq_scheduler import RQScheduler
from jobs.engine.scheduler.submitting import submit_due
from jobs.engine.scheduler.world_stops import WorldStops
from jobs.ledger import moves
from jobs.models import Job
from jobs.processes.heartbeat import Heartbeat
from jobs.processes.lease import DURATION, Lease
from jobs.run import Followup
from jobs.schedules import firing as schedules
from jobs.states import WAITING, State
from jobs.world_clocks import ticker

log = structlog.get_logger(__name__)
BATCH = 500
AHEAD = timedelta(milliseconds=1)  # before jobs are due the database queues them, so that Redis gets them on time
EXACT_SECONDS = 0.001  # socket waits end in whole milliseconds, so the last one is slept
SLICE_SECONDS = 0.5  # per round for due jobs
REST = 0.5  # of the time that a round for due jobs took: those due meanwhile share the next one
LONGEST_REST = 0.004  # seconds
LONGEST_SLEEP = 1.0  # so that a direct change in the database, or a clock step, is noticed within a second


class Alarm:
    """Wakes the scheduler when an earlier job arrives.

    Not BLPOP: Redis ends a blocked client's wait only when its own timer fires, every 100 ms when idle.
    """

    def __init__(self, connection: Redis) -> None:
        self._connection = connection
        self._pubsub: PubSub | None = None

    def set(self) -> None:
        """Subscribe. Call it before reading due times, so that no wake-up is missed."""
        if self._pubsub is None:
            self._pubsub = self._connection.pubsub(ignore_subscribe_messages=True)
            self._pubsub.subscribe(keys.WAKE)
            self._pubsub.get_message(timeout=keys.TIMEOUT_SECONDS)  # the confirmation

    def wait(self, seconds: float) -> None:
        """Wait for a wake-up, at most `seconds`. Raises redis.RedisError."""
        self.set()
        if self._pubsub and self._pubsub.get_message(timeout=seconds):
            while self._pubsub.get_message(timeout=0):  # several wake-ups count as one
                continue

    def close(self) -> None:
        if self._pubsub:
            self._pubsub.close()


class Scheduler(RQScheduler):
    """rq-scheduler's sorted set and API, processed in batches by the one active instance."""

    def __init__(self, queue_name: str = "normal", *, connection: Redis, **kwargs: Any) -> None:
        super().__init__(queue_name, connection=connection, **kwargs)
        self._lease = Lease("scheduler", connection)
        self._purge = Purge()
        self._reconciler = Reconciler(connection, self._purge)
        self._alarm = Alarm(connection)
        self._heartbeat = Heartbeat("scheduler", self.name, connection)
        self._stops = WorldStops()
        self._ticker = ticker.Ticker()
        self._reconcile_at = 0.0
        self._renewed_at = 0.0
        self._active = False
        self.fire_at = datetime.min.replace(tzinfo=UTC)
        self._fired_at = 0.0

    def poll(self) -> float:
        """Do what is due, then sleep until the next due time or a wake-up. Returns 0, or longer on standby.

        Raises StopRequested, redis.RedisError and database errors; the next poll continues where this one stopped.
        """
        if not self.lead():
            return DURATION.total_seconds() / 4
        now, began = timezone.now(), time.monotonic()
        any_due = self.queue_due(now + AHEAD)
        rest = min(REST * (time.monotonic() - began), LONGEST_REST) if any_due else 0.0
        self.fire(now)
        self._stops.poll(now)
        if time.monotonic() >= self._reconcile_at:
            self._reconcile_at = time.monotonic() + self._reconciler.poll(self._queue_due_now)
        self._sleep(rest)
        return 0.0

    def close(self) -> None:
        """Release the lease, so that another instance takes over at once."""
        self._purge.stop()
        self._alarm.close()
        self._lease.release()
        self._heartbeat.leave()
        self._purge.join()

    def lead(self) -> bool:
        """Hold or renew the lease. Returns whether this is the active scheduler. Raises StopRequested."""
        if self._active and time.monotonic() - self._renewed_at < DURATION.total_seconds() / 4:
            return True
        held = self._lease.hold()
        self._renewed_at = time.monotonic()
        self._heartbeat.beat_or_stop("active" if held else "standby")
        if held and not self._active:
            log.info("scheduler.activated", scheduler=self.name)
            firing.seed()
            # Its state from before the other instance was active is stale.
            self._reconciler = Reconciler(self.connection, self._purge)
        elif self._active and not held:
            log.warning("scheduler.deactivated", scheduler=self.name)
            self._purge.stop()
        self._active = held
        return held

    def queue_due(self, now: datetime, *, once: bool = False) -> bool:
        """Queue the jobs due at `now` in the database first, then in Redis; the rescuer repairs a failure in between.

        `now` may be AHEAD of the clock: Redis gets no job before. Returns whether there were any.

        Stops after SLICE_SECONDS, with `once` after one batch: the lease, cron tasks and the reconciler must run even
        if many jobs come due at once.
        """
        until = time.monotonic() + (0.0 if once else SLICE_SECONDS)
        any_due = False
        while True:
            scheduled: Any = self.connection.zrangebyscore(
                keys.SCHEDULED, "-inf", now.timestamp(), start=0, num=BATCH, withscores=True
            )
            if not scheduled:
                return any_due
            any_due = True
            found = [rq_id for rq_id, _ in scheduled]
            if odd := keys.odd(found):
                self.connection.zrem(keys.SCHEDULED, *odd)
                move_aside(odd, "its ID is not valid UTF-8", self.connection)
            ids = keys.texts(found)
            known = [i for i in ids if keys.is_our_id(i)]
            queued = moves.queue_due(known, actor=actors.SCHEDULER, reason="due", now=now)
            _sleep_until(now)
            enqueue.enqueue(queued)
            ours = self._unschedule(set(known) - {job.id for job in queued}, dict(scheduled))
            # Rescheduled meanwhile, or queued by a process that died, or lost Redis, before enqueueing.
            enqueue.enqueue([job for job in ours if job.state in (*WAITING, State.QUEUED)])
            enqueue.dequeue([job for job in ours if job.state == State.CANCELLED])  # while Redis was down
            known_ids = {*(job.id for job in queued), *(str(job.id) for job in ours)}
            for foreign in (i for i in ids if i not in known_ids):
                self._enqueue_foreign(foreign)
            if len(found) < BATCH or time.monotonic() >= until:
                return True

    def _unschedule(self, ids: Collection[str], times: Mapping[bytes, float]) -> list[Job]:
        """Take jobs that were not queued off the schedule, unless they have been scheduled anew. Returns them."""
        ours = list(Job.objects.filter(id__in=ids)) if ids else []
        if ours:
            entries = [(str(job.id), times[str(job.id).encode()]) for job in ours]
            script("unschedule").run(self.connection, entries=entries)
        return ours

    def _queue_due_now(self) -> None:
        self.queue_due(timezone.now() + AHEAD, once=True)

    def _enqueue_foreign(self, rq_id: str) -> None:
        """Enqueue a plain RQ job, or unschedule it if it is unreadable: it would block the head of the schedule."""
        try:
            self.enqueue_job(self.job_class.fetch(rq_id, connection=self.connection))
            return
        except RedisError:
            raise
        except NoSuchJobError:
            log.info("scheduler.foreign_job_vanished", rq_job=rq_id)
        except Exception:  # plain RQ jobs can hold anything
            log.exception("scheduler.foreign_job_rejected", rq_job=rq_id, next="it is unscheduled")
        self.connection.zrem(keys.SCHEDULED, rq_id)

    def fire(self, now: datetime) -> None:
        """Fire cron tasks, wall-clock schedules and world clocks when the next is due; check once per LONGEST_SLEEP."""
        if now < self.fire_at and time.monotonic() - self._fired_at < LONGEST_SLEEP:
            return
        self._fired_at = time.monotonic()
        fired = firing.fire_due(now)
        self._queue_due_now()
        first = schedules.next_wall_firing()
        due = _fire_wall_rows(now) if first and first <= now else []
        self._queue_due_now()
        steps = self._ticker.poll(now)
        self._queue_due_now()
        moments = [m for m in (firing.next_firing(), schedules.next_wall_firing(), ticker.next_step(now)) if m]
        self.fire_at = min(moments, default=now + timedelta(days=1))
        if not fired and not due and not steps:  # a refused task stays due and must not keep the scheduler awake
            self.fire_at = max(self.fire_at, now + timedelta(seconds=LONGEST_SLEEP))

    def _sleep(self, rest: float) -> None:
        self._alarm.set()
        first = self.connection.zrange(keys.SCHEDULED, 0, 0, withscores=True)
        seconds = min(max(first[0][1], 0), keys.LAST_SECOND - 1) if first else None
        moments = [datetime.fromtimestamp(seconds, tz=UTC) - AHEAD] if seconds is not None else []
        wait = min(LONGEST_SLEEP, self._stops.wait_s, (min([*moments, self.fire_at]) - timezone.now()).total_seconds())
        wait = max(wait, rest)
        if wait > 2 * EXACT_SECONDS:
            self._alarm.wait(wait - EXACT_SECONDS)
        elif wait > 0:
            time.sleep(wait)


def _sleep_until(moment: datetime) -> None:
    """Sleep until a moment, at most for AHEAD."""
    left = min(moment - timezone.now(), AHEAD).total_seconds()
    if left > 0:
        time.sleep(left)


@transaction.atomic
def _fire_wall_rows(now: datetime) -> list[Followup]:
    """Advance the schedules and submit their jobs in one transaction, or a failure would skip an interval."""
    due = schedules.fire_wall_rows(now)
    submit_due(due, reason="due on the wall clock")
    return due
