"""Due jobs wait for nothing else that the scheduler does, and those that come due together share a round."""

import time
from datetime import timedelta

import pytest
from django.utils import timezone
from redis import Redis

from jobs.engine.scheduler.reconciler import Reconciler
from jobs.engine.scheduler.scheduler import Scheduler
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


def test_after_due_jobs_the_scheduler_rests(redis: Redis) -> None:
    """As long as the round took: jobs that come due meanwhile share the next round. None is early."""
    first = timezone.now() + timedelta(seconds=1)
    due = [first + timedelta(milliseconds=n) for n in range(200)]
    wanted = [
        Submission(type="EVENT_EXPIRATION", campaign_id="c", payload={}, subject=str(n), due_at=at)
        for n, at in enumerate(due)
    ]
    submit_many(wanted, actor="test")
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
