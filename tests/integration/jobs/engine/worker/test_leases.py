"""Leases of running jobs: renewal, grace, and expiry."""

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
    """A failed renewal is tried again in the next cycle, not a third of a lease later."""
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


def test_no_lease_expires_right_after_a_database_outage(redis: Redis) -> None:
    """Nobody could renew them: a job is given up only if its lease is not renewed afterwards either."""
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
def test_a_new_scheduler_grants_the_grace_after_a_database_outage(redis: Redis, away: timedelta, let_be: bool) -> None:
    """It did not see the outage itself: its predecessor recorded when it last checked."""
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


def test_setting_the_clock_back_restarts_the_grace(redis: Redis) -> None:
    """It neither ends while old leases stand, nor lasts until the clock has caught up."""
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


def test_a_stale_worker_renews_no_other_worker_s_lease(redis: Redis) -> None:
    """Otherwise nobody would notice if the other one were lost too."""
    (job,) = submit(1)
    stale, _ = claims(redis)
    until = timezone.now() + timedelta(seconds=1)
    Job.objects.filter(pk=job.pk).update(attempt=2, worker="another", lease_until=until)

    stale.cycles.recorder.renew_leases(timezone.now())

    job.refresh_from_db()
    assert job.lease_until == until


def test_a_lease_of_a_clock_that_was_years_ahead_does_not_last_for_years(redis: Redis) -> None:
    """Its worker is lost, so nobody renews it once it is shortened."""
    (job,) = submit(1)
    claims(redis)
    rescuer, now = Rescuer(redis), timezone.now()
    Job.objects.filter(pk=job.pk).update(lease_until=now + timedelta(days=3650))
    states = []
    for seconds in range(0, int((settings.JOB_TIMEOUT + 2 * settings.LEASE).total_seconds()), 2):
        rescuer.poll(now + timedelta(seconds=seconds))
        job.refresh_from_db()
        states.append(State(job.state))

    assert states[0] == State.RUNNING
    assert states[-1] == State.RETRYING


def test_a_worker_whose_clock_is_years_ahead_keeps_the_jobs_that_it_runs(redis: Redis) -> None:
    """It renews a shortened lease, as it would any other; that of RQ's own worker, which cannot, stays."""
    (job,) = submit(1)
    claims(redis)
    (of_rq,) = submit(1, campaign_id="c-2")
    rescuer, now = Rescuer(redis), timezone.now()
    limit = now + settings.JOB_TIMEOUT + settings.LEASE
    Job.objects.filter(pk=of_rq.pk).update(lease_until=limit, state=State.RUNNING, worker="rq-perform", attempt=1)
    for seconds in range(0, 4 * int(settings.LEASE.total_seconds()), 2):
        at = now + timedelta(seconds=seconds)
        if seconds % (settings.LEASE.total_seconds() // 3) < 2:
            Job.objects.filter(pk=job.pk).update(lease_until=at + timedelta(days=3650))
        rescuer.poll(at)
        if at < limit:
            of_rq.refresh_from_db()
            assert (of_rq.state, of_rq.lease_until) == (State.RUNNING, limit)
        job.refresh_from_db()
        assert job.state == State.RUNNING
