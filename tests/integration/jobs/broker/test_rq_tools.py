"""RQ's own commands, workers and API on our queues: none makes a job run twice or halfway."""

import json
from datetime import timedelta
from typing import Any

import django_rq
import pytest
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone
from redis import Redis
from rq.job import Job as RQJob
from rq.queue import Queue as RQQueue
from rq.registry import StartedJobRegistry, clean_registries
from rq.worker import SimpleWorker, Worker

from jobs import pauses, service
from jobs.broker import enqueue, keys
from jobs.engine.scheduler.reconciler import Reconciler
from jobs.engine.worker.attempt import ending_of, record
from jobs.engine.worker.rq_mirror import RQMirror
from jobs.ledger import moves
from jobs.models import Job
from tests.support.ledger import state_of
from tests.support.processes import Start
from tests.support.servers import SandboxApi, wait_until
from tests.support.working import submit, submit_failing, work

pytestmark = pytest.mark.django_db(transaction=True)


def test_rqstats_and_rqsuspend_work(start: Start, redis: Redis, capsys: pytest.CaptureFixture[str]) -> None:
    """rqstats counts our queues and workers; a suspended worker fetches nothing until rqresume."""
    start("rqworker")
    wait_until(lambda: SimpleWorker.all(connection=redis), what="the worker is registered")
    call_command("rqsuspend")
    (worker,) = SimpleWorker.all(connection=redis)
    wait_until(lambda: redis.hget(worker.key, "state") == b"suspended", what="it has noticed")
    (job,) = submit(1)

    call_command("rqstats", json=True)
    counted = json.loads(capsys.readouterr().out.splitlines()[-1])
    queues = {q["name"]: q for q in counted["queues"]}
    assert (queues["normal"]["jobs"], queues["normal"]["workers"]) == (1, 1)
    assert state_of(job) == "QUEUED"
    call_command("rqresume")
    wait_until(lambda: state_of(job) != "QUEUED", what="it was taken")


def test_a_look_at_workers_leaves_the_timeout_of_the_connections(redis: Redis) -> None:
    """RQ would raise it to seven minutes for all later connections of the pool: a page would wait as long for Redis."""
    queue = django_rq.get_queue("normal")
    SimpleWorker([queue.name], name="seen", connection=redis).register_birth()

    for connection in (queue.connection, keys.redis()):
        (found,) = Worker.all(connection=connection)
        assert (found.name, type(found).__name__) == ("seen", "Worker")
        assert isinstance(found, Worker)
        later: Any = connection.connection_pool.make_connection()
        assert later.socket_timeout == keys.TIMEOUT_SECONDS


def test_rq_requeue_starts_nothing(redis: Redis, sandbox: SandboxApi) -> None:
    """`rq requeue` on a dead letter: the database decides, so it stays dead and listed as failed."""
    (job,) = submit_failing()
    work(redis)
    registry = django_rq.get_queue("normal").failed_job_registry
    attempts = Job.objects.get(pk=job.pk).attempt

    registry.requeue(str(job.pk))
    work(redis)

    job.refresh_from_db()
    assert (job.state, job.attempt) == ("DEAD", attempts)
    assert registry.get_job_ids() == [str(job.pk)]
    assert RQJob.fetch(str(job.pk), connection=redis).get_status() == "failed"


@pytest.mark.parametrize("how", ["empty", "delete", "cancel"])
def test_jobs_that_rq_removes_from_a_queue_come_back(redis: Redis, sandbox: SandboxApi, how: str) -> None:
    """`rq empty`, Job.delete() and Job.cancel() decide nothing: the scheduler enqueues them again."""
    reconciler = Reconciler(redis)
    while reconciler.poll() == 0:
        pass
    (job,) = submit(1)
    if how == "empty":
        django_rq.get_queue("normal").empty()
    else:
        getattr(RQJob.fetch(str(job.pk), connection=redis), how)()
    work(redis)
    assert state_of(job) == "QUEUED"
    Job.objects.update(moved_at=timezone.now() - timedelta(seconds=8))  # settled, but no older than LowerBound allows

    for _ in range(2):
        reconciler.poll()
    work(redis)

    assert state_of(job) == "SUCCEEDED"


def test_rq_s_cleanup_fails_no_running_job(redis: Redis, sandbox: SandboxApi) -> None:
    """Its registries are cleaned long after all of RQ's timeouts; the job runs on and succeeds."""
    (job,) = submit(1)
    now = timezone.now()
    (claimed,) = moves.cycle([], [str(job.pk)], actor="worker:w", worker="w", now=now)[1]
    mirror = RQMirror("w", ["normal"], keys.own_redis())
    mirror.note_started([claimed])
    mirror.sync(now - timedelta(days=2))

    clean_registries(django_rq.get_queue("normal"))
    StartedJobRegistry("normal", redis).cleanup(now.timestamp() + 10 * 24 * 3600)

    assert django_rq.get_queue("normal").failed_job_registry.get_job_ids() == []
    assert state_of(job) == "RUNNING"
    assert record([ending_of(claimed, None, 1.0, now=timezone.now())], actor="worker:w")
    assert state_of(job) == "SUCCEEDED"


def test_rq_s_own_worker_runs_our_jobs_and_respects_pauses(redis: Redis, sandbox: SandboxApi) -> None:
    """`rq worker` without our class claims and records as ours does, one job at a time."""
    (job,) = submit(1)
    pauses.pause("campaign", "campaign-2", actor="user:ann")
    stock = SimpleWorker([RQQueue("normal", connection=redis)], connection=redis)

    stock.work(burst=True)
    assert state_of(job) == "QUEUED"
    pauses.resume("campaign", "campaign-2", actor="user:ann")
    enqueue.enqueue([job])
    stock.work(burst=True)

    assert state_of(job) == "SUCCEEDED"
    assert [e.now for e in job.audit_trail.order_by("id")] == ["QUEUED", "RUNNING", "SUCCEEDED"]


def test_rq_s_own_worker_holds_a_job_for_its_full_timeout(redis: Redis, sandbox: SandboxApi, start: Start) -> None:
    """It renews no lease, so its claim lasts as long as a job may run."""
    (job,) = submit(1)
    sandbox.control("POST", "faults", {"latencyMs": 3000, "operations": ["getOverdueEvents"]})
    start("rqworker", "--worker-class", "rq.worker.SimpleWorker", "--burst", API_REQUEST_TIMEOUT_MS="60000")

    held = Job.objects.filter(pk=job.pk, state="RUNNING", lease_until__gt=timezone.now() + settings.JOB_TIMEOUT)
    wait_until(held.exists, what="it is held for as long as it may run")
    wait_until(lambda: state_of(job) == "SUCCEEDED")


@pytest.mark.usefixtures("foreign_jobs")
def test_a_plain_rq_job_fails_in_rq_only(redis: Redis) -> None:
    """With its traceback in RQ; it has no row of ours."""
    foreign = django_rq.get_queue("low").enqueue("builtins.int", "four")

    work(redis)

    assert foreign.get_status(refresh=True) == "failed"
    result = foreign.latest_result()
    assert result is not None
    assert "ValueError" in str(result.exc_string)
    assert not Job.objects.exists()


def test_a_stale_worker_that_wakes_up_changes_nothing(redis: Redis, sandbox: SandboxApi) -> None:
    """Its job was run by another: its late end moves nothing, in the database or in RQ's registries."""
    (job,) = submit(1)
    (claimed,) = moves.cycle([], [str(job.pk)], actor="worker:w", worker="w", now=timezone.now())[1]
    redis.set(keys.LEASES_CHECKED_AT, timezone.now().timestamp())
    Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(minutes=1))
    Reconciler(redis).poll()
    job.refresh_from_db()
    service.run_now([job], actor="test", reason="no need to wait for the backoff")
    work(redis)
    trail = list(job.audit_trail.order_by("id").values_list("now", flat=True))

    assert record([ending_of(claimed, RuntimeError("late"), 1.0, now=timezone.now())], actor="worker:w") == []
    assert state_of(job) == "SUCCEEDED"
    assert list(job.audit_trail.order_by("id").values_list("now", flat=True)) == trail
    assert django_rq.get_queue("normal").failed_job_registry.get_job_ids() == []
