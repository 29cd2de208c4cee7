"""What retention deletes, in which order and how: nothing that is needed, and nobody waits for it."""

import random
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from redis import Redis

from jobs import service
from jobs.engine.scheduler.purge import Purge, purge
from jobs.engine.scheduler.retention import Retention
from jobs.ledger import PURGED_AT_ONCE, Ended, statements
from jobs.models import AuditEntry, Job
from jobs.states import ENDED, State
from tests.support.servers import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
NOW = timezone.now().replace(microsecond=0)
BEFORE = NOW - timedelta(days=30)
DELETED = [state.value for state in ENDED if state is not State.DEAD]


def made(ends: list[tuple[State, datetime | None]]) -> list[Job]:
    """Jobs in these states with these ends, and two audit entries each."""
    lease = NOW + timedelta(days=1)
    jobs = Job.objects.bulk_create(
        Job(type="X", unique_key=str(n), state=state, finished_at=at, due_at=NOW, source="test", lease_until=lease)
        for n, (state, at) in enumerate(ends)
    )
    AuditEntry.objects.bulk_create(
        AuditEntry(job=job, now=now, attempt=0, actor="test") for job in jobs for now in (State.QUEUED, job.state)
    )
    return jobs


@pytest.fixture
def old_jobs() -> list[Job]:
    """More than one transaction deletes, most of them with the same end."""
    ends = [BEFORE - timedelta(days=1)] * PURGED_AT_ONCE + [BEFORE - timedelta(seconds=n) for n in range(1, 151)]
    return made([(State.SUCCEEDED, at) for at in ends])


moments = st.one_of(
    st.none(),
    st.sampled_from([BEFORE, BEFORE - timedelta(microseconds=1), BEFORE + timedelta(microseconds=1), NOW]),
    st.integers(-400, 40).map(lambda days: BEFORE + timedelta(days=days)),
)


@given(st.lists(st.tuples(st.sampled_from(State), moments), max_size=30), st.randoms(use_true_random=False))
@hypothesis_settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_exactly_what_ended_earlier_goes_with_its_trail(
    ends: list[tuple[State, datetime | None]], shuffled: random.Random
) -> None:
    """By the rule in one query; dead letters stay, and so does all that has not ended."""
    AuditEntry.objects.all().delete()
    Job.objects.all().delete()
    # Dead letters at the beginning of the order, more than one transaction looks at.
    dead = [(State.DEAD, BEFORE - timedelta(days=500))] * (PURGED_AT_ONCE + 5)
    ends = [*dead, *ends]
    shuffled.shuffle(ends)
    made(ends)
    old = Job.objects.filter(finished_at__lt=BEFORE, state__in=DELETED)
    kept, count = set(Job.objects.exclude(pk__in=old.values("pk")).values_list("pk", flat=True)), old.count()

    assert purge(BEFORE, threading.Event()) == count

    assert set(Job.objects.values_list("pk", flat=True)) == kept
    trail = AuditEntry.objects.values_list("job_id", flat=True)
    assert sorted(trail) == sorted([*kept, *kept])


def test_a_stop_ends_it_between_two_transactions(old_jobs: list[Job]) -> None:
    """The next one goes on."""
    stopped = threading.Event()
    stopped.set()

    assert purge(BEFORE, stopped) == PURGED_AT_ONCE
    assert Job.objects.count() == len(old_jobs) - PURGED_AT_ONCE
    assert purge(BEFORE, threading.Event()) == len(old_jobs) - PURGED_AT_ONCE
    assert not AuditEntry.objects.exists()


def test_a_job_that_is_retried_meanwhile_stays(old_jobs: list[Job]) -> None:
    """With its whole trail."""
    kept = max(old_jobs, key=lambda job: job.finished_at or NOW)
    Job.objects.filter(pk=kept.pk).update(state=State.CANCELLED)

    first = statements().purge(BEFORE, Ended(BEFORE - timedelta(days=100), str(UUID(int=0))))
    service.retry(Job.objects.filter(pk=kept.pk), actor="user:ann", reason="again")
    assert first.last
    rest = statements().purge(BEFORE, first.last)

    assert [first.jobs, rest.jobs, rest.last] == [PURGED_AT_ONCE, len(old_jobs) - PURGED_AT_ONCE - 1, None]
    assert list(Job.objects.all()) == [kept]
    assert kept.audit_trail.count() == AuditEntry.objects.count() == 3


@pytest.fixture
def locked_job(old_jobs: list[Job]) -> Iterator[Job]:
    """Another transaction has it, until the test ends."""
    locked, done = threading.Event(), threading.Event()

    def lock() -> None:
        with transaction.atomic():
            Job.objects.select_for_update().get(pk=old_jobs[0].pk)
            locked.set()
            done.wait(30)
        connections.close_all()

    thread = threading.Thread(target=lock)
    thread.start()
    assert locked.wait(30)
    yield old_jobs[0]
    done.set()
    thread.join()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite locks no rows")
def test_a_locked_job_is_left_for_the_next_time(locked_job: Job) -> None:
    """An operator may be retrying it."""
    purge(BEFORE, threading.Event())

    assert list(Job.objects.all()) == [locked_job]
    assert AuditEntry.objects.count() == 2


def test_the_scheduler_goes_on_meanwhile(old_jobs: list[Job], redis: Redis) -> None:
    """It is deleted in a thread, which begins at the first poll, and gives its connection back at its end."""
    retention = Retention(redis)

    retention.poll(NOW)

    wait_until(lambda: not Job.objects.exists())
    retention.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "purge"]


def test_nothing_old_needs_no_thread(redis: Redis) -> None:
    made([(State.SUCCEEDED, NOW)])

    Retention(redis).poll(NOW)

    assert not [thread for thread in threading.enumerate() if thread.name == "purge"]
    assert Job.objects.count() == 1


def test_an_outage_ends_it_until_the_next_time(old_jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduler itself notices nothing."""

    def away() -> None:
        raise OperationalError("the database is away")

    purging = Purge()
    with monkeypatch.context() as outage:
        outage.setattr("jobs.engine.scheduler.purge.statements", away)
        purging.start(BEFORE)
        purging.stop()
    assert Job.objects.count() == len(old_jobs)

    purging.start(BEFORE)
    wait_until(lambda: not Job.objects.exists())
    purging.stop()
