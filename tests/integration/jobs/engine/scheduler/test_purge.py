"""What retention deletes, in which order and how: nothing that is needed, and nobody waits for it."""

import random
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import NoReturn
from uuid import UUID

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from redis import Redis

from jobs import service
from jobs.broker import keys
from jobs.engine.scheduler.purge import LONGEST_STOP_S, Purge, purge
from jobs.engine.scheduler.retention import Retention
from jobs.engine.scheduler.scheduler import Scheduler
from jobs.ledger import PURGED_AT_ONCE, EndedAt, statements
from jobs.models import AuditEntry, Job, WorldAdvance, new_job_id
from jobs.processes.lease import Lease
from jobs.processes.watchdog import MARGIN_S
from jobs.states import ENDED, State
from tests.support.rows import insert
from tests.support.servers import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
NOW = timezone.now().replace(microsecond=0)
BEFORE = NOW - timedelta(days=30)
DELETED = [state.value for state in ENDED if state is not State.DEAD]


def make_jobs(ends: list[tuple[State, datetime | None]]) -> None:
    """Jobs in these states with these ends, and two audit entries each."""
    same = {"type": "X", "due_at": NOW, "source": "test", "lease_until": NOW + timedelta(days=1)}
    jobs = [(new_job_id(), n, *end) for n, end in enumerate(ends)]
    insert(
        Job,
        (
            {**same, "id": job, "unique_key": f"{n} {at}", "state": state.value, "finished_at": at}
            for job, n, state, at in jobs
        ),
    )
    insert(
        AuditEntry,
        (
            {"job_id": job, "now": now.value, "attempt": 0, "actor": "test"}
            for job, _, state, _ in jobs
            for now in (State.QUEUED, state)
        ),
    )


@pytest.fixture
def old_jobs() -> list[Job]:
    """More than one transaction deletes, most of them with the same end."""
    ends = [BEFORE - timedelta(days=1)] * PURGED_AT_ONCE + [BEFORE - timedelta(seconds=n) for n in range(1, 151)]
    make_jobs([(State.SUCCEEDED, at) for at in ends])
    return list(Job.objects.order_by("pk"))


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
    make_jobs(ends)
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

    first = statements().purge(BEFORE, EndedAt(BEFORE - timedelta(days=100), str(UUID(int=0))))
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
    purging = Purge()

    Retention(redis, purging).poll(NOW)

    wait_until(lambda: not Job.objects.exists())
    end(purging)
    assert not purging_threads()


def purging_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "purge"]


def end(purging: Purge, *, at_once: bool = True) -> None:
    if at_once:
        purging.stop()
    wait_until(lambda: not purging_threads())


def test_a_stop_ends_it_before_the_other_tables() -> None:
    """Not one more transaction for each."""
    stopped = threading.Event()
    stopped.set()

    with CaptureQueriesContext(connection) as queries:
        assert purge(BEFORE, stopped) == 0

    assert not [query for query in queries.captured_queries if WorldAdvance._meta.db_table in query["sql"]]


def test_nothing_old_needs_no_thread(redis: Redis) -> None:
    make_jobs([(State.SUCCEEDED, NOW)])

    Retention(redis).poll(NOW)

    assert not purging_threads()
    assert Job.objects.count() == 1


def test_an_outage_ends_it_until_the_next_time(old_jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduler itself notices nothing."""

    def away() -> None:
        raise OperationalError("the database is away")

    purging = Purge()
    with monkeypatch.context() as outage:
        outage.setattr("jobs.engine.scheduler.purge.statements", away)
        purging.start(BEFORE)
        end(purging)
    assert Job.objects.count() == len(old_jobs)

    purging.start(BEFORE)
    wait_until(lambda: not Job.objects.exists())
    end(purging)


def test_an_error_that_lasts_elsewhere_stops_no_deletion(
    old_jobs: list[Job], redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins before the rest of the cleaning up."""

    def broken(_now: datetime) -> None:
        raise ValueError("an odd row")

    monkeypatch.setattr("jobs.engine.scheduler.retention.fold_outcomes", broken)
    purging = Purge()

    with pytest.raises(ValueError, match="odd row"):
        Retention(redis, purging).poll(NOW)

    wait_until(lambda: not Job.objects.exists())
    end(purging)


def test_dead_letters_are_walked_once_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """They stay, but need no thread each time; then what need not stay any more goes, too."""
    make_jobs([(State.DEAD, BEFORE - timedelta(days=1))])
    dead = Job.objects.get()
    purging, runs = Purge(), list[int]()
    monkeypatch.setattr(
        "jobs.engine.scheduler.purge.purge", lambda *args, **kwargs: runs.append(purge(*args, **kwargs))
    )

    for hours in range(3):
        purging.start(BEFORE + timedelta(hours=hours))
        end(purging, at_once=False)
    assert runs == [0]

    make_jobs([(State.SUCCEEDED, BEFORE + timedelta(hours=2.5))])
    Job.objects.filter(pk=dead.pk).update(state=State.CANCELLED)
    purging.start(BEFORE + timedelta(hours=3))
    end(purging, at_once=False)
    assert list(Job.objects.all()) == [dead]

    monkeypatch.setattr(
        "jobs.engine.scheduler.purge.time", SimpleNamespace(monotonic=lambda: time.monotonic() + 90_000)
    )
    purging.start(BEFORE + timedelta(hours=4))
    end(purging, at_once=False)
    assert not Job.objects.exists()


@pytest.fixture
def stuck(old_jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A transaction of the purge takes long: it has begun once the event is set."""
    began, done = threading.Event(), threading.Event()

    def wait() -> NoReturn:
        began.set()
        done.wait(30)
        raise OperationalError("the database is away")

    monkeypatch.setattr("jobs.engine.scheduler.purge.statements", wait)
    yield began
    done.set()
    wait_until(lambda: not purging_threads())


def test_another_scheduler_takes_over_while_a_transaction_takes_long(
    stuck: threading.Event, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease is released before this process waits for it, and that is not for long."""
    scheduler, other = Scheduler(connection=redis), Lease("scheduler", redis)
    assert scheduler.lead()
    wait_until(lambda: scheduler.poll() == 0 and stuck.is_set())
    taken_over: list[bool] = []
    monkeypatch.setattr(Purge, "join", lambda _purge: taken_over.append(other.hold()))

    scheduler.close()

    assert taken_over == [True]
    assert purging_threads()
    assert LONGEST_STOP_S < MARGIN_S / 2


def test_a_scheduler_that_leads_again_starts_no_second_thread(
    stuck: threading.Event, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one from before may not have ended yet."""
    monkeypatch.setattr("jobs.engine.scheduler.scheduler.DURATION", timedelta(0))  # look each time
    scheduler, other = Scheduler(connection=redis), Lease("scheduler", redis)
    wait_until(lambda: scheduler.poll() == 0 and stuck.is_set())
    redis.delete(keys.LEASE.format("scheduler"))
    assert other.hold()
    assert not scheduler.lead()
    other.release()

    assert scheduler.lead()
    scheduler.poll()
    scheduler.poll()

    assert len(purging_threads()) == 1
    scheduler.close()
