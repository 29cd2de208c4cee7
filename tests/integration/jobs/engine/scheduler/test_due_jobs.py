"""Due jobs wait for nothing else that the scheduler does, and those that come due together share a round."""

import time
from datetime import timedelta

import pytest
from django.utils import timezone
from redis import Redis

from jobs.engine.scheduler.reconciler import Reconciler
from jobs.engine.scheduler.scheduler import Scheduler
from jobs.models import AuditEntry
from jobs.service import Submission, submit_many
from jobs.states import State
from tests.support.ledger import state_of
from tests.support.working import submit

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_job_that_comes_due_while_redis_is_compared_is_queued_meanwhile(redis: Redis) -> None:
    """Between two parts of the round, which had begun before."""
    scheduler = Scheduler(connection=redis)
    (job,) = submit(1, due_at=timezone.now() + timedelta(seconds=0.3))
    assert not scheduler.queue_due(timezone.now())

    def meanwhile() -> None:
        time.sleep(0.1)
        scheduler.queue_due(timezone.now())

    Reconciler(redis).poll(meanwhile)

    assert state_of(job) == State.QUEUED
    scheduler.close()


def test_jobs_due_a_millisecond_apart_share_rounds(redis: Redis) -> None:
    """The scheduler rests as long as a round took, and none is early."""
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
    assert len({entry.at for entry in entries}) < 0.9 * len(due)
