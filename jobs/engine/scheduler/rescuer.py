"""The feeder and reconciler: whatever Redis should carry and does not is put into it, whatever a dead worker held is
freed. Each round costs the same however much is waiting.
"""

import time
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max, Q, QuerySet, Sum
from django.db.models.functions import TruncHour
from django.utils import timezone
from django_rq import get_queue
from redis import Redis, RedisError
from rq.registry import clean_registries
from rq.worker_registration import clean_worker_registry

from jobs import actor as actors
from jobs import pauses
from jobs.broker import enqueue, keys
from jobs.broker.mend import mend
from jobs.cron import firing
from jobs.engine.scheduler.sweep import BATCH, Scan, Sweep
from jobs.engine.worker import attempt, rq_mirror
from jobs.engine.worker.attempt import Ended
from jobs.errors import LostBeforeSending, OutcomeUnknown
from jobs.histogram import COLUMNS
from jobs.ledger import Outcomes, moves, statements
from jobs.models import FailureHour, Job, OutcomeMinute
from jobs.states import FINISHED, WAITING, State

log = structlog.get_logger(__name__)
OVERDUE = timedelta(seconds=5)  # a waiting row that Redis carries is moved on within milliseconds of its due time
EVERY_SECONDS = 2.0
BY_MINUTE = timedelta(hours=7)  # outcomes are kept by minute for graphs of six hours,
BY_QUARTER = timedelta(hours=26)  # by quarters of an hour for graphs of a day,
BY_HOUR = timedelta(days=8)  # by hours for graphs of a week, and before as sums only
ROUND_SECONDS = 0.5  # of a round for each kind of feeding: the scheduler has other work to do
CLEAN_UP_EVERY = timedelta(minutes=5)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.get_default_timezone())


class Feeder:
    """Keeps Redis in step with the database; polled by the active scheduler only."""

    def __init__(self, connection: Redis) -> None:
        self._connection = connection
        self._sweep = Sweep(connection)
        self._restore: Scan | None = None  # of queued rows, after Redis has lost them
        self._feeding: tuple[list[Scan], datetime] | None = None
        self._cleaned_at: datetime | None = None
        self._judged_at: datetime | None = None
        self._lenient_from: datetime | None = None

    def poll(self) -> float:
        """One round; the seconds until the next. Raises redis.RedisError and database errors."""
        now = timezone.now()
        mend(self._connection)
        pauses.keep_up(self._connection)
        self._feed(now)
        if self._restore:
            self._restore.carry(time.monotonic() + ROUND_SECONDS)
            self._restore = None if self._restore.done else self._restore
        self._free_lost(now)
        self._return_taken(now)
        self._queue_overdue(now)
        filling = bool(self._feeding or self._restore)  # rounds are long then, and come one after the other
        swept = self._sweep.poll(now, for_s=ROUND_SECONDS / 2 if filling else 0.0)
        if self._cleaned_at is None or now - self._cleaned_at > CLEAN_UP_EVERY:
            self._clean_up(now)
            self._cleaned_at = now
        return 0.0 if filling or not swept else EVERY_SECONDS

    def _feed(self, now: datetime) -> None:
        """Rows that come within the horizon since the last round; all of them when Redis has forgotten that round."""
        if self._feeding is None:
            stored: Any = self._connection.get(keys.FED_UNTIL)
            since = keys.moment(stored) or _EPOCH
            if since <= _EPOCH:
                log.info("feeder.redis_is_empty", next="everything due is put back")
                queued = Job.objects.in_state(State.QUEUED)
                # With a bound even PostgreSQL without statistics takes the index by moved_at, and sorts nothing.
                self._restore = Scan(queued.filter(moved_at__gt=_EPOCH), "moved_at")
                self._connection.set(keys.FED_UNTIL, 0)  # and be it lost once more before all is there
            horizon = now + settings.FEED_HORIZON
            scans = [
                Scan(Job.objects.in_state(state).filter(due_at__gt=since, due_at__lte=horizon), "due_at")
                for state in WAITING
            ]
            self._feeding = (scans, horizon)
        scans, horizon = self._feeding
        until = time.monotonic() + ROUND_SECONDS
        for scan in scans:
            scan.carry(until)
        if all(scan.done for scan in scans):
            self._connection.set(keys.FED_UNTIL, horizon.timestamp(), xx=True)
            self._feeding = None

    def _free_lost(self, now: datetime) -> None:
        """What a worker held that has let its lease run out ends as an attempt of unknown outcome.

        What must not be sent twice and had not begun to be sent goes back into its queue.
        """
        lost = list(Job.objects.in_state(State.RUNNING).filter(lease_until__lt=now).order_by("lease_until")[:BATCH])
        if not self._leases_count(now) or not lost:
            return
        endings = []
        for job in lost:
            text = f"worker {job.worker} was lost: silent for LEASE_SECONDS"
            unsent = attempt.must_not_be_sent_twice(job.type) and job.sending_attempt != job.attempt
            error = LostBeforeSending(f"{text}; it had sent nothing") if unsent else OutcomeUnknown(text)
            began = job.started_at or now
            ended = Ended(job, error, None, (now - began).total_seconds() * 1000)
            endings.append(attempt.ending_of(ended, now))
            log.warning("feeder.worker_lost", job_id=str(job.id), job_type=job.type, worker=job.worker)
        current, _ = moves.cycle(endings, [], actor=actors.FEEDER, worker=actors.FEEDER, now=now)
        rq_mirror.forget_started([e.job for e in current], self._connection)
        rq_mirror.show_dead([e for e in current if e.to is State.DEAD], self._connection)
        enqueue.carry([e.job for e in current])

    def _leases_count(self, now: datetime) -> bool:
        """Not for the time of a lease after the database was away, this machine stood still or its clock was set: the
        workers could renew theirs no more than a scheduler, this one or another, could look at them.

        A gap that is shorter than what is always left of a lease, two thirds of it, has let none end: so a scheduler
        that takes over from one that died looks at once.
        """
        last, self._judged_at = self._judged_at or self._judged_by_another(), now
        self._connection.set(keys.JUDGED_AT, now.timestamp())
        longest = timedelta(seconds=EVERY_SECONDS) + settings.LEASE / 2
        if last is None or not timedelta(0) <= now - last <= longest:
            gap = round((now - last).total_seconds(), 1) if last else "unknown"
            log.warning("feeder.leases_let_be", last_look_s_ago=gap, for_s=settings.LEASE.total_seconds())
            self._lenient_from = now
        return self._lenient_from is None or now - self._lenient_from > settings.LEASE

    def _judged_by_another(self) -> datetime | None:
        stored: Any = self._connection.get(keys.JUDGED_AT)
        return keys.moment(stored)

    def _return_taken(self, now: datetime) -> None:
        """Ids that a worker took out of a queue and did not live to claim."""
        until = (now - settings.LEASE).timestamp()
        taken: Any = self._connection.zrangebyscore(keys.TAKEN, "-inf", until, 0, BATCH)
        if taken:
            ids = [i for i in keys.texts(taken) if keys.uuid_of(i)]
            enqueue.carry(list(Job.objects.in_state(State.QUEUED).filter(id__in=ids)))
            self._connection.zrem(keys.TAKEN, *taken)

    def _queue_overdue(self, now: datetime) -> None:
        """Rows whose due time has passed and that nobody moves on: Redis does not carry them, or for a later time."""
        for state in WAITING:
            rows = Job.objects.in_state(state).filter(due_at__lt=now - OVERDUE).order_by("due_at")
            overdue = [str(i) for i in rows.values_list("id", flat=True)[:BATCH]]
            if not overdue:
                continue
            carried: Any = self._connection.zmscore(keys.SCHEDULED, overdue)
            lost = [i for i, at in zip(overdue, carried, strict=True) if at is None or at > now.timestamp()]
            reason = "due; Redis had lost it"
            enqueue.carry(moves.queue_due(lost, actor=actors.FEEDER, reason=reason, now=now))

    def _clean_up(self, now: datetime) -> None:
        """Retention: finished jobs with their audit trail after RETENTION_DAYS, in batches; Redis by counts."""
        mend(self._connection, thorough=True)
        finished = [s.value for s in FINISHED if s is not State.DEAD]
        old = Job.objects.filter(finished_at__lt=now - settings.RETENTION, state__in=finished)
        deleted = 0
        while ids := list(old.order_by("finished_at").values_list("id", flat=True)[:BATCH]):
            Job.objects.filter(id__in=ids).delete()
            deleted += len(ids)
        fold_outcomes(now)
        firing.trim_history()
        FailureHour.objects.filter(hour__lt=now - settings.RETENTION).delete()
        for queue in settings.QUEUE_NAMES:
            rq_mirror.trim(queue, self._connection)
            rq_mirror.forget_gone(queue, self._connection)
            enqueue.recount(queue)
        for queue in settings.RQ_QUEUES:
            self._clean_up_as_rq(queue)
        if deleted:
            log.info("feeder.cleaned_up", jobs=deleted)

    def _clean_up_as_rq(self, name: str) -> None:
        """What RQ's own workers do every few minutes: strangers' jobs whose worker was lost fail, results and workers
        whose time is over are forgotten.
        """
        queue = get_queue(name, connection=self._connection)
        if not queue.acquire_maintenance_lock():
            return
        try:
            clean_registries(queue)
            clean_worker_registry(queue)
        except RedisError:
            raise
        except Exception:  # the edge to others' jobs
            log.exception("feeder.registry_not_cleaned", queue=name)
        queue.release_maintenance_lock()


def fold_outcomes(now: datetime) -> None:
    """Fold older outcomes into coarser rows: by quarters of an hour, by hours, and one for ever.

    The sums stay true totals, the table stays as large as some hours are, and a graph of a week reads few rows.
    """
    _fold(OutcomeMinute.objects.filter(minute__gt=_EPOCH, minute__lt=now - BY_HOUR), _EPOCH)
    for since, until, minutes in ((BY_HOUR, BY_QUARTER, 60), (BY_QUARTER, BY_MINUTE, 15)):
        rows = OutcomeMinute.objects.filter(minute__gte=now - since, minute__lt=now - until)
        fine = rows.filter(Q(shard__gt=0) | ~Q(minute__minute__in=range(0, 60, minutes)))
        for hour in fine.annotate(hour=TruncHour("minute")).values_list("hour", flat=True).distinct().order_by("hour"):
            for start in range(0, 60, minutes):
                into = hour + timedelta(minutes=start)
                _fold(fine.filter(minute__gte=into, minute__lt=into + timedelta(minutes=minutes)), into)


@transaction.atomic
def _fold(old: QuerySet[OutcomeMinute], into: datetime) -> None:
    """Add up `old` to the row `into` of its type and outcome, and delete it."""
    sums: Any = old.values("type", "outcome").annotate(
        n=Sum("jobs"), run=Sum("run_ms"), run_max=Max("run_ms_max"), wait=Sum("wait_ms"), wait_max=Max("wait_ms_max"),
        **{column: Sum(column) for column in COLUMNS},
    )  # fmt: skip
    rows = [
        Outcomes(into, s["type"], s["outcome"], 0, s["n"], s["run"], s["run_max"], s["wait"], s["wait_max"],
                 tuple(s[column] for column in COLUMNS))
        for s in sums
    ]  # fmt: skip
    if rows:
        ids = list(old.values_list("id", flat=True))
        with connection.wrap_database_errors:
            statements().count(rows)
        for start in range(0, len(ids), BATCH):
            OutcomeMinute.objects.filter(id__in=ids[start : start + BATCH]).delete()
