"""Repeated looks at the oldest rows: they read no row twice, and still find what appears behind them."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from redis import Redis

from jobs.broker import keys
from jobs.engine.scheduler import lower_bound
from jobs.engine.scheduler.lower_bound import MARGIN, LowerBound
from jobs.engine.scheduler.rescuer import Rescuer
from jobs.engine.scheduler.sweep import Sweep
from jobs.models import Job
from jobs.states import State

pytestmark = pytest.mark.django_db(transaction=True)
NOW = timezone.now()


def make_job(state: State, seconds_ago: float) -> Job:
    """A job of which each time lies so long ago."""
    at = NOW - timedelta(seconds=seconds_ago)
    return Job.objects.create(
        type="EVENT_EXPIRATION",
        campaign_id="c",
        unique_key=f"{state} {seconds_ago}",
        state=state,
        due_at=at,
        moved_at=at,
        lease_until=at,
        source="test",
    )


def test_the_next_look_begins_before_the_oldest_found() -> None:
    """Or before the end of a look that found nothing."""
    bound, rows = LowerBound("moved_at"), Job.objects.order_by("moved_at")
    oldest, newer = make_job(State.QUEUED, 500), make_job(State.QUEUED, 100)
    assert list(bound.apply(rows)) == [oldest, newer]
    bound.learn(newer.moved_at, NOW)
    assert list(bound.apply(rows)) == [newer]

    bound.learn(None, NOW)

    late = make_job(State.QUEUED, MARGIN.total_seconds() - 1)
    assert list(bound.apply(rows)) == [late]


def test_all_rows_are_looked_at_again_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that was set back makes rows behind the bound."""
    bound, late = LowerBound("moved_at"), make_job(State.QUEUED, 500)
    bound.apply(Job.objects.all())
    bound.learn(None, NOW)
    assert not bound.apply(Job.objects.all()).exists()

    monkeypatch.setattr(lower_bound, "WHOLE_EVERY_S", 0.0)

    assert bound.apply(Job.objects.all()).get() == late


def test_no_round_reads_from_the_beginning_again(redis: Redis) -> None:
    """Neither the rescuer nor the sweep: each of their queries by state has a lower bound."""
    redis.set(keys.LEASES_CHECKED_AT, NOW.timestamp() - 1)
    rescuer, sweep = Rescuer(redis), Sweep(redis)
    for _ in range(2):
        with CaptureQueriesContext(connection) as queries:
            rescuer.poll(NOW)
            sweep.poll(NOW)

    by_state = [query["sql"] for query in queries if '"state" = ' in query["sql"]]
    assert len(by_state) == 6
    assert not [sql for sql in by_state if ">" not in sql]


def test_what_stays_is_found_at_each_look(redis: Redis) -> None:
    """However old it is: a job of a release to come does not hide those after it."""
    redis.set(keys.LEASES_CHECKED_AT, NOW.timestamp() - 1)
    rescuer = Rescuer(redis)
    rescuer.free_expired(NOW)
    lost = [make_job(State.RUNNING, 5), make_job(State.RUNNING, 2)]

    for job in lost:
        rescuer.free_expired(NOW)
        job.refresh_from_db()
        assert job.state != State.RUNNING
