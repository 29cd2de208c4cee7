"""The rescuer: frees jobs of lost workers, and queues overdue SCHEDULED and RETRYING jobs that Redis has lost."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import transaction
from redis import Redis

from jobs import actor as actors
from jobs.broker import enqueue, keys
from jobs.engine.scheduler.lower_bound import LowerBound
from jobs.engine.scheduler.sweep import BATCH
from jobs.engine.worker import attempt, rq_mirror
from jobs.errors import LostBeforeSending, OutcomeUnknown
from jobs.ledger import Ending, moves
from jobs.models import Job
from jobs.policies import time_limit_of
from jobs.registry import readable_versions
from jobs.sending import NOT_SENT
from jobs.states import WAITING, State

log = structlog.get_logger(__name__)
OVERDUE: Final = timedelta(seconds=5)  #: a job that Redis carries is queued within milliseconds of its due time
EVERY_SECONDS: Final = 2.0
#: Longer than any lease: the longest time limit, the longest LEASE_SECONDS, and as much for clocks that disagree.
LONGEST_LEASE: Final = timedelta(days=1, hours=2)


class Rescuer:
    """Looks for lost jobs, a batch per round."""

    def __init__(self, connection: Redis) -> None:
        self.checked_at: datetime | None = None  #: when leases were last checked
        self._connection = connection
        self._lenient_from: datetime | None = None
        self._leases = LowerBound("lease_until")
        self._due_times = {state: LowerBound("due_at") for state in WAITING}

    def poll(self, now: datetime) -> None:
        """Run one round. Raises redis.RedisError and database errors."""
        self.shorten_impossible(now)
        self.free_expired(now)
        self.requeue_unclaimed(now)
        self.queue_overdue(now)

    def shorten_impossible(self, now: datetime) -> None:
        """Shorten leases that end later than any can: a machine claimed the jobs whose clock is days or years ahead.

        Its worker may be alive: then it renews them long before they expire, and this happens again. Those of a lost
        worker expire as any lease does. As long as RQ's own workers have, which do not renew theirs.
        """
        beyond = now + LONGEST_LEASE
        running = Job.objects.in_state(State.RUNNING).filter(lease_until__gt=beyond)
        for job_type in set(running.order_by().values_list("type", flat=True)[:BATCH]):
            until = now + max(time_limit_of(job_type), settings.JOB_TIMEOUT) + settings.LEASE
            shortened = moves.shorten_leases(job_type, beyond=beyond, until=until)
            log.warning(
                "rescuer.leases_shortened", job_type=job_type, jobs=shortened, cause="a worker's clock is far ahead"
            )

    def free_expired(self, now: datetime) -> None:
        """End running jobs whose lease expired as attempts of unknown outcome.

        A job that must not be sent twice, and whose sending had not begun, goes back to its queue. A job of an unknown
        type is left to the scheduler of a newer release, which knows whether it may run again.
        """
        if not self.can_trust_leases(now):
            return
        running = Job.objects.in_state(State.RUNNING).filter(type__in=list(readable_versions()))
        expired = self._leases.apply(running.filter(lease_until__lt=now)).order_by("lease_until")
        oldest = expired.values_list("lease_until", flat=True).first()
        self._leases.learn(oldest, now)
        if oldest is None:
            return
        with transaction.atomic():  # a worker that wakes up meanwhile waits for the lock, and then sends nothing
            current = self._end(list(expired.select_for_update(skip_locked=True)[:BATCH]), now)
        rq_mirror.forget_started([e.job for e in current], self._connection)
        rq_mirror.mirror_dead([e for e in current if e.to is State.DEAD], self._connection)
        enqueue.enqueue([e.job for e in current])

    def _end(self, lost: Sequence[Job], now: datetime) -> list[Ending]:
        endings = []
        for job in lost:
            text = f"worker {job.worker} was lost: silent for LEASE_SECONDS"
            unsent = attempt.must_not_be_sent_twice(job.type) and job.sending_attempt == NOT_SENT
            error = LostBeforeSending(f"{text}; nothing that it sent is unanswered") if unsent else OutcomeUnknown(text)
            began = job.started_at or now
            endings.append(attempt.ending_of(job, error, (now - began).total_seconds() * 1000, now=now))
            log.warning("rescuer.worker_lost", job_id=str(job.id), job_type=job.type, worker=job.worker)
        return moves.cycle(endings, [], actor=actors.RESCUER, worker=actors.RESCUER, now=now)[0]

    def can_trust_leases(self, now: datetime) -> bool:
        """False for one lease after any gap in our own checks (outage, suspended VM, clock step): workers could
        not renew then either.

        Workers renew when two thirds of a lease are left. A shorter gap cannot expire one, so a scheduler that takes
        over from a dead one checks at once.
        """
        last, self.checked_at = self.checked_at or self._last_check_of_predecessor(), now
        self._connection.set(keys.LEASES_CHECKED_AT, now.timestamp())
        longest = timedelta(seconds=EVERY_SECONDS) + settings.LEASE / 2
        if last is None or not timedelta(0) <= now - last <= longest:
            gap = round((now - last).total_seconds(), 1) if last else "unknown"
            log.warning("rescuer.lease_grace_started", last_check_s_ago=gap, for_s=settings.LEASE.total_seconds())
            self._lenient_from = now
        return self._lenient_from is None or now - self._lenient_from > settings.LEASE

    def _last_check_of_predecessor(self) -> datetime | None:
        stored: Any = self._connection.get(keys.LEASES_CHECKED_AT)
        return keys.moment(stored)

    def requeue_unclaimed(self, now: datetime) -> None:
        """Requeue IDs that a worker fetched but died before it claimed them."""
        until = (now - settings.LEASE).timestamp()
        fetched: Any = self._connection.zrangebyscore(keys.TAKEN, "-inf", until, 0, BATCH)
        if fetched:
            ids = [i for i in keys.texts(fetched) if keys.is_our_id(i)]
            enqueue.enqueue(list(Job.objects.in_state(State.QUEUED).filter(id__in=ids)))
            self._connection.zrem(keys.TAKEN, *fetched)

    def queue_overdue(self, now: datetime) -> None:
        """Queue jobs that are overdue because Redis does not carry them, or carries them for a later time."""
        for state in WAITING:
            rows = self._due_times[state].apply(Job.objects.in_state(state).filter(due_at__lt=now - OVERDUE))
            found = list(rows.order_by("due_at").values_list("id", "due_at")[:BATCH])
            self._due_times[state].learn(found[0][1] if found else None, now - OVERDUE)
            if not found:
                continue
            overdue = [str(job_id) for job_id, _ in found]
            carried: Any = self._connection.zmscore(keys.SCHEDULED, overdue)
            lost = [i for i, at in zip(overdue, carried, strict=True) if at is None or at > now.timestamp()]
            reason = "due; Redis had lost it"
            enqueue.enqueue(moves.queue_due(lost, actor=actors.RESCUER, reason=reason, now=now))
