"""rq-scheduler's API on our schedule, and plain RQ jobs, which run as RQ would run them."""

import threading
import time
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import django_rq
import pytest
from django.utils import timezone
from redis import Redis
from rq.job import Job as RQJob

from jobs.broker import keys
from jobs.engine.scheduler.rq_scheduler import RQScheduler
from jobs.engine.scheduler.scheduler import Scheduler
from tests.support.foreign import GATE, hang
from tests.support.ledger import last_of, state_of
from tests.support.processes import Start
from tests.support.servers import SandboxApi, wait_until
from tests.support.working import submit, work

pytestmark = pytest.mark.django_db(transaction=True)
QUEUE = 4  #: the dashboard numbers queues by name; this is `normal`
BASE = f"/admin/queues/queues/{QUEUE}"


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What `hang` waits for; open at the end, whatever happens."""
    GATE.clear()
    yield GATE
    GATE.set()


def scheduler_api(redis: Redis) -> RQScheduler:
    """As django-rq hands it out."""
    found: Any = django_rq.get_scheduler("default", connection=redis)
    assert isinstance(found, RQScheduler)
    return found


def test_times_keep_their_fractions_and_are_utc(redis: Redis) -> None:
    """enqueue_at with aware and naive (UTC) times, enqueue_in, get_jobs and count."""
    times = scheduler_api(redis)
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1, milliseconds=250)

    aware = times.enqueue_at(at, len, "four")
    naive = times.enqueue_at((at + timedelta(seconds=1)).replace(tzinfo=None), len, "four")
    before = timezone.now()
    soon = times.enqueue_in(timedelta(seconds=90.5), len, "four")

    assert redis.zscore(keys.SCHEDULED, aware.id) == pytest.approx(at.timestamp(), abs=1e-4)
    assert [(job.id, when) for job, when in times.get_jobs(with_times=True)][1:] == [
        (aware.id, at),
        (naive.id, at + timedelta(seconds=1)),
    ]
    score = redis.zscore(keys.SCHEDULED, soon.id)
    assert score is not None
    assert score >= before.timestamp() + 90.5
    assert [job.id for job in times.get_jobs(until=at)] == [soon.id, aware.id]
    assert (times.count(), times.count(until=timedelta(minutes=5)), soon in times) == (3, 1, True)


def test_jobs_can_be_moved_and_cancelled(redis: Redis) -> None:
    """change_execution_time to a fraction of a second, and cancel; only for waiting jobs."""
    times = scheduler_api(redis)
    at = datetime.now(UTC) + timedelta(hours=1)
    job = times.enqueue_at(at, len, "four")

    times.change_execution_time(job, at + timedelta(milliseconds=1500))
    assert redis.zscore(keys.SCHEDULED, job.id) == pytest.approx(at.timestamp() + 1.5, abs=1e-4)
    times.cancel(job)
    assert job not in times
    with pytest.raises(ValueError, match="not in scheduled jobs"):
        times.change_execution_time(job, at)


def test_changing_our_job_through_rq_scheduler_changes_the_row(redis: Redis) -> None:
    """Rescheduling and cancelling, with an audit entry that says how."""
    (job,) = submit(1, due_at=timezone.now() + timedelta(minutes=2))
    times = scheduler_api(redis)
    (listed,) = times.get_jobs()
    at = timezone.now().replace(microsecond=0) + timedelta(minutes=3, milliseconds=125)

    times.change_execution_time(listed, at)
    job.refresh_from_db()
    assert job.due_at == at
    times.cancel(listed)

    assert last_of(job) == ("CANCELLED", "command")
    assert times.count() == 0


def test_cron_is_calculated_in_utc(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine's time zone."""
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        job = scheduler_api(redis).cron("30 4 * * *", len, args=["four"])
    finally:
        monkeypatch.undo()
        time.tzset()

    score = redis.zscore(keys.SCHEDULED, job.id)
    assert score is not None
    due = datetime.fromtimestamp(score, tz=UTC)
    assert (due.hour, due.minute, due.second) == (4, 30, 0)


def test_plain_rq_jobs_run_on_time_and_repeat(start: Start, redis: Redis) -> None:
    """With a real scheduler and worker: not early, and as often as requested."""
    allowed = {"RUN_FOREIGN_RQ_JOBS": "true", "RUN_FOREIGN_RQ_FUNCTIONS": "builtins.len"}
    start("rqscheduler", **allowed)
    start("rqworker", **allowed)
    times = scheduler_api(redis)
    at = timezone.now() + timedelta(seconds=1.4)
    once = times.enqueue_at(at, len, "four")
    again = times.schedule(timezone.now(), len, args=["four"], interval=1, repeat=2)

    wait_until(lambda: once.get_status(refresh=True) == "finished", what="it ran")
    ended = RQJob.fetch(once.id, connection=redis).started_at
    assert ended is not None
    assert ended.replace(tzinfo=UTC) >= at
    wait_until(lambda: again not in times, what="all its turns are over")
    wait_until(lambda: len(again.results()) == 2, what="it ran twice")


@pytest.mark.usefixtures("foreign_jobs")
def test_a_hung_plain_rq_job_delays_no_other(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, gate: threading.Event
) -> None:
    """RQ cannot interrupt a call outside Python: the next job runs in another thread."""
    monkeypatch.setattr("jobs.engine.worker.foreign_jobs.GRACE_SECONDS", 0.0)
    queue = django_rq.get_queue("low")
    hanging, following = queue.enqueue(hang, job_timeout=1), queue.enqueue(len, "four")

    work(redis)

    assert following.get_status(refresh=True) == "finished"
    assert hanging.get_status(refresh=True) == "started"
    gate.set()
    wait_until(lambda: hanging.get_status(refresh=True) == "failed", what="its thread came to an end")


def test_a_plain_rq_job_that_we_cannot_read_fails_in_its_queue(redis: Redis, sandbox: SandboxApi) -> None:
    """Its arguments are objects of another program; our jobs and the schedule go on."""
    scheduler = Scheduler("low", connection=redis)
    foreign = scheduler.enqueue_at(timezone.now(), len, "four")
    redis.hset(foreign.key, "data", zlib.compress(b"an object of another program"))

    scheduler.queue_due(timezone.now() + timedelta(seconds=1))
    work(redis)

    assert redis.zcard(keys.SCHEDULED) == 0
    assert foreign.get_status(refresh=True) == "failed"


def test_an_unreadable_plain_rq_job_leaves_the_schedule(redis: Redis) -> None:
    """Otherwise it would stay at its head and block everything behind it."""
    scheduler = Scheduler("low", connection=redis)
    foreign = scheduler.enqueue_at(timezone.now(), len, "four")
    redis.hset(foreign.key, "created_at", "never")
    ours = submit(1, due_at=timezone.now() + timedelta(seconds=0.5))

    scheduler.queue_due(timezone.now() + timedelta(seconds=1))

    assert redis.zcard(keys.SCHEDULED) == 0
    assert state_of(ours[0]) == "QUEUED"


def test_a_standby_scheduler_serves_the_api_too(redis: Redis) -> None:
    """Our Scheduler is an RQScheduler: the same calls work."""
    scheduler = Scheduler(connection=redis)
    job = scheduler.enqueue_in(timedelta(hours=1), len, "four", queue_name="default")

    assert [j.id for j in scheduler.get_jobs()] == [job.id]
