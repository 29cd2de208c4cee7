"""How long what runs belongs to its worker: renewed, let be, and given up."""

from datetime import datetime, timedelta

import pytest
from django.conf import settings
from django.db import OperationalError, connection
from django.utils import timezone
from redis import Redis

from jobs.engine.scheduler.rescuer import Rescuer
from jobs.models import Job
from jobs.states import State
from tests.support.claiming import claiming_worker, claims, take
from tests.support.working import submit

pytestmark = pytest.mark.django_db(transaction=True)


def test_leases_are_renewed_as_soon_as_the_database_is_back(redis: Redis) -> None:
    """A renewal that failed is tried again with the next cycle, not a third of a lease later."""
    (job,) = submit(1)
    worker = claiming_worker(redis)
    take(worker)
    worker.cycles.recorder.record_and_claim(timezone.now(), worker.concurrency)
    Job.objects.filter(pk=job.pk).update(lease_until=timezone.now())

    def refuse(*_: object) -> None:
        raise OperationalError("the database is away")

    with connection.execute_wrapper(refuse), pytest.raises(OperationalError):
        worker.cycles.recorder.renew_leases(timezone.now())
    worker.cycles.recorder.renew_leases(timezone.now())

    job.refresh_from_db()
    assert job.lease_until is not None
    assert job.lease_until > timezone.now() + settings.LEASE / 2


def check_all_through_the_grace(rescuer: Rescuer, job: Job, *, since: datetime) -> None:
    """Look after leases for the time of one, every two seconds: the job is never given up."""
    for seconds in range(0, int(settings.LEASE.total_seconds()) + 1, 2):
        rescuer.free_expired(since + timedelta(seconds=seconds))
        job.refresh_from_db()
        assert job.state == State.RUNNING


def test_leases_are_let_be_after_the_database_was_away(redis: Redis) -> None:
    """Nobody could renew them meanwhile: what runs is not given up, unless nobody renews it from then on either."""
    (job,) = submit(1)
    claims(redis)
    rescuer, now = Rescuer(redis), timezone.now()
    rescuer.free_expired(now)
    back = now + timedelta(minutes=1)

    check_all_through_the_grace(rescuer, job, since=back)
    rescuer.free_expired(back + settings.LEASE + timedelta(seconds=1))

    job.refresh_from_db()
    assert job.state == State.RETRYING


@pytest.mark.parametrize(("away", "let_be"), [(timedelta(minutes=1), True), (timedelta(seconds=1), False)])
def test_a_scheduler_that_takes_over_lets_leases_be_where_the_database_was_away(
    redis: Redis, away: timedelta, let_be: bool
) -> None:
    """It has seen nothing of that itself: the one before has left word when it looked last."""
    (job,) = submit(1)
    claims(redis)
    now = timezone.now()
    Rescuer(redis).free_expired(now)
    Job.objects.filter(pk=job.pk).update(lease_until=now)

    successor = Rescuer(redis)
    successor.free_expired(now + away)

    job.refresh_from_db()
    assert job.state == (State.RUNNING if let_be else State.RETRYING)
    for seconds in range(2, int(settings.LEASE.total_seconds()) + 1, 2):
        successor.free_expired(now + away + timedelta(seconds=seconds))
    successor.free_expired(now + away + settings.LEASE + timedelta(seconds=1))
    job.refresh_from_db()
    assert job.state == State.RETRYING


def test_a_clock_that_is_set_back_begins_the_grace_anew(redis: Redis) -> None:
    """It neither ends while leases of before stand, nor lasts until the clock is there again."""
    (job,) = submit(1)
    claims(redis)
    now = timezone.now()
    rescuer = Rescuer(redis)
    rescuer.free_expired(now + timedelta(hours=1))
    Job.objects.filter(pk=job.pk).update(lease_until=now)

    check_all_through_the_grace(rescuer, job, since=now + timedelta(seconds=1))
    rescuer.free_expired(now + settings.LEASE + timedelta(seconds=2))

    job.refresh_from_db()
    assert job.state == State.RETRYING


def test_a_stale_worker_renews_no_lease_of_another(redis: Redis) -> None:
    """Its job was given up for lost and belongs to another by now: were that one lost too, nobody would ever know."""
    (job,) = submit(1)
    stale, _ = claims(redis)
    until = timezone.now() + timedelta(seconds=1)
    Job.objects.filter(pk=job.pk).update(attempt=2, worker="another", lease_until=until)

    stale.cycles.recorder.renew_leases(timezone.now())

    job.refresh_from_db()
    assert job.lease_until == until
