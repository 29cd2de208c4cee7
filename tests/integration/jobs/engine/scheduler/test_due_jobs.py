"""Due jobs wait for nothing else that the scheduler does, and those that come due together share a round."""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from django.utils import timezone
from redis import Redis

from jobs.broker import enqueue, keys
from jobs.broker.enqueue import AnyJob
from jobs.engine.scheduler.reconciler import Reconciler
from jobs.engine.scheduler.scheduler import Scheduler
from jobs.engine.worker import attempt, rq_mirror
from jobs.errors import TransientError
from jobs.models import AuditEntry, Job
from jobs.service import Submission, submit_many
from jobs.states import State
from tests.support.ledger import state_of
from tests.support.working import submit

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_job_that_comes_due_while_redis_is_compared_is_queued_meanwhile(redis: Redis) -> None:
    """Between two parts of the round, which had begun before it was due."""
    scheduler = Scheduler(connection=redis)
    later = timezone.now() + timedelta(minutes=1)
    (job,) = submit(1, due_at=later)
    times = iter([timezone.now(), later, later])

    Reconciler(redis).poll(lambda: scheduler.queue_due(next(times, later), once=True))

    assert state_of(job) == State.QUEUED
    scheduler.close()


def test_between_other_work_one_batch_is_queued(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are due: what comes after must not wait for all."""
    monkeypatch.setattr("jobs.engine.scheduler.scheduler.BATCH", 2)
    later = timezone.now() + timedelta(minutes=1)
    submit(7, due_at=later)
    scheduler = Scheduler(connection=redis)
    queued = Job.objects.in_state(State.QUEUED)

    assert scheduler.queue_due(later, once=True)
    assert queued.count() == 2

    assert scheduler.queue_due(later)
    assert queued.count() == 7
    assert not scheduler.queue_due(later)
    scheduler.close()


def test_after_due_jobs_the_scheduler_rests(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half as long as the round took: who comes due meanwhile shares the next one. None is early, in Redis either."""
    enqueued: list[tuple[str, datetime]] = []
    real = enqueue.enqueue

    def note_when(jobs: Sequence[AnyJob]) -> int:
        enqueued.extend((str(job.id), timezone.now()) for job in jobs if job.state == State.QUEUED)
        return real(jobs)

    first = timezone.now() + timedelta(seconds=1)
    due = [first + timedelta(microseconds=500 * n) for n in range(200)]
    wanted = [
        Submission(type="EVENT_EXPIRATION", campaign_id="c", payload={}, subject=str(n), due_at=at)
        for n, at in enumerate(due)
    ]
    submit_many(wanted, actor="test")
    monkeypatch.setattr(enqueue, "enqueue", note_when)
    scheduler = Scheduler(connection=redis)
    queued = AuditEntry.objects.filter(now=State.QUEUED).select_related("job")
    end = time.monotonic() + 60
    while queued.count() < len(due) and time.monotonic() < end:
        scheduler.poll()
    scheduler.close()

    entries = list(queued)
    assert len(entries) == len(due)
    assert all(entry.at >= entry.job.due_at for entry in entries)
    assert len({entry.at for entry in entries}) < len(due) / 1.5
    due_at = {str(entry.job.pk): entry.job.due_at for entry in entries}
    assert sorted(job_id for job_id, _ in enqueued) == sorted(due_at)
    assert all(at >= due_at[job_id] for job_id, at in enqueued)


def fail_once(job_id: str) -> None:
    """As a worker that claims the job the moment it is queued: it fails and is to be tried again at once."""
    (claimed,) = attempt.claim([job_id], worker="w", now=timezone.now())
    error = attempt.ending_of(claimed, TransientError("down"), 1.0, now=timezone.now())
    enqueue.enqueue(attempt.record([error], actor="worker:w", worker="w"))


@pytest.mark.parametrize("is_known", [True, False], ids=["known to Redis", "its hash is lost"])
def test_a_retry_that_is_scheduled_before_the_round_ends_stays_scheduled(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, is_known: bool
) -> None:
    """The round takes what it has queued off the schedule, and no later entry of the same job."""
    scheduler = Scheduler(connection=redis)
    (job,) = submit(1, due_at=timezone.now() + timedelta(seconds=1))
    if not is_known:
        redis.delete(f"rq:job:{job.pk}")
    real = enqueue.enqueue

    def enqueue_and_run(jobs: Sequence[AnyJob]) -> int:
        number = real(jobs)
        if any(one.state == State.QUEUED for one in jobs):
            monkeypatch.setattr(enqueue, "enqueue", real)
            fail_once(str(job.pk))
        return number

    monkeypatch.setattr(enqueue, "enqueue", enqueue_and_run)
    scheduler.queue_due(timezone.now() + timedelta(seconds=1))
    scheduler.close()

    job.refresh_from_db()
    assert job.state == State.RETRYING
    assert redis.zscore(keys.SCHEDULED, str(job.pk)) == pytest.approx(job.due_at.timestamp(), abs=0.001)


def test_a_retry_that_is_fetched_too_early_is_scheduled_again(redis: Redis) -> None:
    """Its ID was queued twice: the second time after the job was claimed, failed, and was to be tried again."""
    (job,) = submit(1)
    fail_once(str(job.pk))
    redis.zrem(keys.SCHEDULED, str(job.pk))
    rq_mirror.give_back([str(job.pk)], redis)

    job.refresh_from_db()
    assert redis.zscore(keys.SCHEDULED, str(job.pk)) == pytest.approx(job.due_at.timestamp(), abs=0.001)
