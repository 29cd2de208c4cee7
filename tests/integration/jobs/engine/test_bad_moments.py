"""Processes killed or stores lost between two steps: nothing is lost and nothing is done twice."""

import time
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit, urlunsplit

import django_rq
import psycopg
import pytest
from django.db import connection
from django.utils import timezone
from redis import Redis, RedisError
from rq.job import Job as RQJob
from rq.job import JobStatus
from rq.worker import SimpleWorker
from structlog.testing import capture_logs

from jobs import actor as actors
from jobs import service
from jobs.broker import enqueue, keys
from jobs.engine.scheduler.retention import Retention
from jobs.engine.scheduler.scheduler import Scheduler
from jobs.engine.scheduler.stager import Stager
from jobs.engine.scheduler.sweep import BATCH, SETTLED, Sweep
from jobs.engine.worker import attempt
from jobs.engine.worker.attempt import ending_of, record
from jobs.ledger import Move, moves
from jobs.models import AuditEntry, Job
from jobs.service import Submission
from jobs.states import Priority, State
from tests.support.claiming import claiming_worker, claims, take
from tests.support.processes import Start, database_url
from tests.support.servers import RedisServer, SandboxApi, cutting_proxy, manage, wait_until
from tests.support.working import submit

pytestmark = pytest.mark.django_db(transaction=True)
ON_POSTGRESQL = pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL's connections and locks")


@pytest.fixture
def lost_redis(redis_server: RedisServer, redis: Redis) -> Iterator[RedisServer]:
    """A Redis that a test may stop; it runs again afterwards."""
    yield redis_server
    if not answers(redis):
        redis_server.start()


def answers(redis: Redis) -> bool:
    """Whether Redis is there."""
    try:
        return bool(redis.ping())
    except RedisError:
        return False


def test_jobs_queued_only_in_the_database_are_enqueued(redis: Redis) -> None:
    """The scheduler died between the commit and Redis; the next one enqueues them."""
    (job,) = submit(1, due_at=timezone.now() + timedelta(seconds=0.3))
    wait_until(lambda: moves.queue_due([str(job.pk)], actor=actors.SCHEDULER, reason="due", now=timezone.now()))
    assert redis.zscore(keys.SCHEDULED, str(job.pk))

    scheduler = Scheduler(connection=redis)
    scheduler.queue_due(timezone.now())

    assert django_rq.get_queue("normal").get_job_ids() == [str(job.pk)]
    assert redis.zcard(keys.SCHEDULED) == 0


@pytest.mark.parametrize("status", ["queued", "scheduled", "started", "failed", "canceled"])
def test_a_queued_job_missing_from_redis_is_enqueued_again(redis: Redis, status: str) -> None:
    """Whatever its hash says: it may be stale."""
    (job,) = submit(1)
    Job.objects.filter(pk=job.pk).update(moved_at=timezone.now() - timedelta(minutes=1))
    queue = django_rq.get_queue("normal")
    redis.delete(queue.key, "scheduler:share:normal")
    redis.hset(RQJob.key_for(str(job.pk)), "status", status)

    Sweep(redis).poll(timezone.now())

    assert queue.get_job_ids() == [str(job.pk)]


def test_a_job_being_fetched_is_not_enqueued_again(redis: Redis) -> None:
    """It is on its way from Redis to the database."""
    (job,) = submit(1)
    Job.objects.filter(pk=job.pk).update(moved_at=timezone.now() - timedelta(minutes=1))
    assert take(claiming_worker(redis)) == [str(job.pk)]

    Sweep(redis).poll(timezone.now())

    assert django_rq.get_queue("normal").get_job_ids() == []


def test_claimed_jobs_run_although_redis_goes_away(lost_redis: RedisServer, redis: Redis, sandbox: SandboxApi) -> None:
    """One fetched ID cannot be given back; the other jobs run all the same."""
    ended, wanted = submit(2)
    Job.objects.filter(pk=ended.pk).update(state="SUCCEEDED", finished_at=timezone.now())
    worker = claiming_worker(redis)
    take(worker)
    lost_redis.stop()

    with pytest.raises(RedisError):
        worker.cycles.recorder.record_and_claim(timezone.now(), worker.concurrency)

    assert [job.id for job in worker.cycles.in_flight.jobs()] == [str(wanted.pk)]


def test_an_end_is_recorded_while_redis_is_away(
    lost_redis: RedisServer, redis: Redis, sandbox: SandboxApi, start: Start
) -> None:
    """At once: a worker killed before Redis is back has lost no outcome."""
    sandbox.control("POST", "faults", {"latencyMs": 3000, "operations": ["executeEffect"]})
    effect = Submission(
        type="DEFERRED_EFFECT",
        campaign_id="campaign-1",
        payload={"effectId": "effect-1-1", "executeAt": timezone.now().isoformat()},
    )
    job, _ = service.submit(effect, actor="test")
    start("rqworker", API_REQUEST_TIMEOUT_MS="60000")
    wait_until(lambda: Job.objects.filter(pk=job.pk, state="RUNNING").exists())
    wait_until(lambda: sandbox.control("GET", "stats")["operations"].get("executeEffect"))

    lost_redis.stop()

    wait_until(lambda: Job.objects.filter(pk=job.pk, state="SUCCEEDED").exists(), what="the end is recorded")
    assert not answers(redis)
    lost_redis.start()


def test_a_job_shown_as_started_is_shown_as_ended(redis: Redis) -> None:
    """Also if it ends just before it would be shown once more."""
    submit(1)
    worker, job = claims(redis)
    worker.cycles.sync()
    assert redis.zcard("rq:wip:normal") == 1

    worker.check_in()
    ended = ending_of(job, None, 1.0, now=timezone.now())
    worker.cycles.finish_one(ended)
    worker.cycles.recorder.record_and_claim(timezone.now(), 5)
    worker.cycles.sync()

    assert redis.zcard("rq:wip:normal") == 0


def test_a_killed_worker_s_job_is_not_shown_as_started_for_ever(redis: Redis) -> None:
    """It was killed after the database had its end and before Redis had."""
    (job,) = submit(1)
    worker, claimed = claims(redis)
    worker.cycles.sync()
    record([ending_of(claimed, None, 1.0, now=timezone.now())], actor="worker:w")
    retention = Retention(redis)
    retention.clean_up(timezone.now())
    assert redis.zcard("rq:wip:normal") == 1  # the worker may yet tell

    redis.delete(f"rq:execution:{job.pk}:1")  # which it has not done within its time
    retention.clean_up(timezone.now())

    assert redis.zcard("rq:wip:normal") == 0
    assert redis.hget(RQJob.key_for(str(job.pk)), "status") == b"finished"


def test_a_fetched_job_without_an_end_expires_in_redis(redis: Redis) -> None:
    """Its hash had no expiry, and nothing else would remove it."""
    (job,) = submit(1)
    assert redis.ttl(RQJob.key_for(str(job.pk))) == -1

    take(claiming_worker(redis))

    assert redis.ttl(RQJob.key_for(str(job.pk))) > 0


def test_a_job_cancelled_without_redis_leaves_nothing_there(redis: Redis) -> None:
    """By its due time at the latest."""
    (job,) = submit(1, due_at=timezone.now() + timedelta(seconds=1))
    moves.move(Move(job, State.CANCELLED, "test", {"finished_at": timezone.now()}), actor="test")

    Scheduler(connection=redis).queue_due(timezone.now() + timedelta(seconds=2))

    assert not redis.keys("rq:job:*")
    assert redis.zcard(keys.SCHEDULED) == 0


def test_a_plain_rq_job_of_a_lost_worker_fails(redis: Redis) -> None:
    """RQ's own workers see to that; where only ours run, the scheduler does."""
    queue = django_rq.get_queue("low")
    foreign = queue.enqueue(len, "four")
    execution = SimpleWorker([queue], connection=redis).prepare_execution(foreign)
    foreign.set_status(JobStatus.STARTED)
    redis.zadd("rq:wip:low", {execution.composite_key: 1})

    Retention(redis).clean_up(timezone.now())

    assert foreign.get_status(refresh=True) == "failed"


@pytest.mark.parametrize("by", ["this scheduler", "another"])
def test_a_job_that_was_never_enqueued_is_found_in_seconds(redis: Redis, by: str) -> None:
    """Its submitter died between the commit and Redis, behind a backlog that takes a sweep much longer."""
    now = timezone.now()
    submit(4 * BATCH)
    Job.objects.update(moved_at=now - timedelta(hours=1))
    sweep = Sweep(redis)
    assert sweep.poll(now)
    (stranded,) = submit(1, priority=Priority.CRITICAL)
    enqueue.dequeue([stranded])
    if by == "another":
        sweep = Sweep(redis)

    sweep.poll(timezone.now() + SETTLED + timedelta(seconds=2))

    assert django_rq.get_queue("critical").get_job_ids() == [str(stranded.pk)]


def test_redis_flushed_during_a_restore_is_restored_again(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """The round in progress does not count."""
    monkeypatch.setattr("jobs.engine.scheduler.sweep.BATCH", 2)
    monkeypatch.setattr("jobs.engine.scheduler.stager.ROUND_SECONDS", 0.0)
    jobs = submit(6, due_at=timezone.now() + timedelta(seconds=60))
    stager = Stager(redis)
    stager.stage(timezone.now())
    assert stager.staging
    for scan in stager.staging[0]:
        enqueue.enqueue(scan.batch())
    monkeypatch.setattr("jobs.engine.scheduler.stager.ROUND_SECONDS", 5.0)
    assert redis.zcard(keys.SCHEDULED) == len(jobs)
    redis.flushall()

    for _ in range(2):
        stager.stage(timezone.now())

    assert redis.zcard(keys.SCHEDULED) == len(jobs)


def test_a_redis_that_lost_its_data_is_warned_of_once(redis: Redis) -> None:
    """A first start, with an empty Redis and no jobs, is nothing to warn of."""
    levels = []
    for flush in (False, False, True, False):
        if flush:
            submit(1)
            redis.flushall()
        with capture_logs() as logs:
            Stager(redis).stage(timezone.now())
        levels.append([entry["log_level"] for entry in logs if entry["event"] == "stager.redis_reset_detected"])

    assert levels == [["info"], [], ["warning"], []]


@ON_POSTGRESQL
def test_a_row_locked_at_its_claim_is_claimed_within_a_second(redis: Redis, sandbox: SandboxApi, start: Start) -> None:
    """Redis has given its ID away, and the worker skips locked rows."""
    (job,) = submit(1)
    with psycopg.connect(database_url()) as other:
        other.execute("SELECT 1 FROM jobs_job WHERE id = %s FOR UPDATE", (job.pk,))
        start("rqworker")
        wait_until(lambda: redis.zscore(keys.SCHEDULED, str(job.pk)), what="the worker has passed over it")
        again_at, read_at = redis.zscore(keys.SCHEDULED, str(job.pk)), time.time()
        start("rqscheduler")
        wait_until(lambda: redis.get(keys.LEASE.format("scheduler")), what="the scheduler is there")

    assert again_at is not None
    assert again_at - read_at <= 1
    wait_until(lambda: Job.objects.filter(pk=job.pk, state="SUCCEEDED").exists(), what="it is done")


@ON_POSTGRESQL
def test_a_claim_with_a_lost_acknowledgement_runs(redis: Redis, sandbox: SandboxApi) -> None:
    """The connection ended between the database's commit and the worker: the effect, of which nobody would know whether
    it was executed, runs at once and in the attempt that was claimed.
    """
    effect = Submission(
        type="DEFERRED_EFFECT",
        campaign_id="campaign-1",
        payload={"effectId": "effect-1-1", "executeAt": timezone.now().isoformat()},
    )
    job, _ = service.submit(effect, actor="test")
    database = urlsplit(database_url())
    with cutting_proxy(database.port or 5432, upon=str(job.pk).encode()) as (port, cut):
        through = urlunsplit(database._replace(netloc=f"{database.username}@127.0.0.1:{port}"))
        worker = manage("rqworker", DATABASE_URL=through)
        try:
            wait_until(cut.is_set, what="the claim's answer is lost")
            wait_until(lambda: Job.objects.filter(pk=job.pk, state="SUCCEEDED").exists(), what="it is done")
        finally:
            worker.stop()

    trail = AuditEntry.objects.filter(job=job).order_by("id").values_list("now", "attempt")
    assert list(trail) == [("QUEUED", 0), ("RUNNING", 1), ("SUCCEEDED", 1)]
    assert sandbox.control("GET", "stats")["operations"]["executeEffect"] == 1


@ON_POSTGRESQL
def test_an_end_with_a_lost_acknowledgement_is_shown(redis: Redis, sandbox: SandboxApi) -> None:
    """Otherwise RQ's tools would list it as started for minutes."""
    sandbox.control("POST", "faults", {"latencyMs": 3000})
    (job,) = submit(1)
    database = urlsplit(database_url())
    with cutting_proxy(database.port or 5432, upon=b'"state":"SUCCEEDED"') as (port, cut):
        through = urlunsplit(database._replace(netloc=f"{database.username}@127.0.0.1:{port}"))
        worker = manage("rqworker", DATABASE_URL=through)
        try:
            wait_until(lambda: redis.zcard("rq:wip:normal"), what="it is shown as started")
            wait_until(cut.is_set, what="the end's answer is lost")
            wait_until(lambda: not redis.zcard("rq:wip:normal"), what="it is not shown as started")
        finally:
            worker.stop()

    assert redis.hget(RQJob.key_for(str(job.pk)), "status") == b"finished"
    trail = AuditEntry.objects.filter(job=job).order_by("id").values_list("now", flat=True)
    assert list(trail) == ["QUEUED", "RUNNING", "SUCCEEDED"]


def test_only_committed_claims_run_after_a_lost_acknowledgement(redis: Redis) -> None:
    """Not what an earlier worker of the same name had claimed; QUEUED rows are claimed anew."""
    submit(3)
    worker = claiming_worker(redis)
    (earlier, committed, queued), now = take(worker), timezone.now()
    attempt.claim([earlier], worker=worker.name, now=now - timedelta(seconds=1))
    attempt.claim([committed], worker=worker.name, now=now)
    worker.cycles.recorder.unacknowledged[now] = worker.cycles.fetch.groups

    worker.cycles.recorder.record_and_claim(timezone.now(), worker.concurrency)

    assert [job.id for job in worker.cycles.in_flight.jobs()] == [committed, queued]
    assert [job.attempt for job in worker.cycles.in_flight.jobs()] == [1, 1]
