"""Operator commands to processes, running jobs and the breaker, with their audit entries."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import django_rq
import msgspec
import pytest
from django.db import IntegrityError, OperationalError, connection
from django.utils import timezone
from redis import Redis
from rq.command import send_shutdown_command, send_stop_job_command
from rq.job import Job as RQJob

from jobs import control, service, taking_back
from jobs.broker import keys
from jobs.engine.worker import attempt
from jobs.errors import CircuitOpen, StateConflict
from jobs.main_api.breaker import Breaker
from jobs.main_api.client import MainApi
from jobs.models import CronFiring, Job, OperatorAction
from jobs.processes.heartbeat import LOST_AFTER, Heartbeat, statuses
from jobs.service import Submission
from jobs.state_counts import count_retrying
from tests.support.ledger import state_of
from tests.support.processes import Start
from tests.support.servers import SandboxApi, wait_until
from tests.support.working import submit, work

pytestmark = pytest.mark.django_db(transaction=True)


def effect() -> Job:
    """An effect that is due."""
    payload = {"effectId": "effect-1-1", "executeAt": timezone.now().isoformat()}
    return service.submit(Submission(type="DEFERRED_EFFECT", campaign_id="campaign-1", payload=payload), actor="test")[
        0
    ]


def hang(sandbox: SandboxApi, operation: str = "getEffect") -> None:
    """Effects take so long that a test finds them running, however slow the machine is; nothing else does."""
    sandbox.control("POST", "faults", {"latencyMs": 30_000, "operations": [operation]})


def test_every_process_can_be_told_to_stop(start: Start, redis: Redis, sandbox: SandboxApi) -> None:
    """Workers, schedulers and listeners report where and how they are, and exit with 0 when told to."""
    names = {"worker": "rqworker", "scheduler": "rqscheduler", "listener": "pubsub_listener"}
    running = {role: start(name) for role, name in names.items()}
    wait_until(lambda: {w.role for w in control.processes()} == set(names), what="all have said a word")
    wait_until(
        lambda: sum(w.in_flight or 0 for w in control.processes()) == 0, what="what the listener heard first is done"
    )
    told = {w.role: w for w in control.processes()}

    assert {role: w.pid for role, w in told.items()} == {role: r.process.pid for role, r in running.items()}
    assert told["worker"].concurrency == 5
    assert told["scheduler"].leads
    assert told["listener"].leads
    for word in told.values():
        control.ask_to_stop(word.key, actor="user:ann", reason="new release")
    wait_until(lambda: all(r.process.poll() is not None for r in running.values()), what="all ended")
    assert {r.process.returncode for r in running.values()} == {0}
    assert control.processes() == []
    actions = OperatorAction.objects.filter(actor="user:ann", verb="asked to stop", reason="new release")
    assert actions.filter(target__startswith=f"scheduler {told['scheduler'].pid} on ").count() == 1
    assert actions.count() == 3
    with pytest.raises(StateConflict, match="no such process"):
        control.ask_to_stop(told["worker"].key, actor="user:ann")


@pytest.mark.parametrize(
    ("operation", "known"),
    [("getEffect", "nothing it sent is unanswered"), ("executeEffect", "what it had done by then is unknown")],
)
def test_a_running_job_can_be_stopped(
    start: Start, redis: Redis, sandbox: SandboxApi, operation: str, known: str
) -> None:
    """It is a dead letter that says who stopped it, and what of it is known; its slot is free at once, and its late
    answer changes nothing.
    """
    hang(sandbox, operation)
    start("rqworker", QUEUE_CONCURRENCY="1", API_REQUEST_TIMEOUT_MS="60000")
    job = effect()
    (behind,) = submit(1)
    wait_until(lambda: sandbox.has_heard(operation), what="the main API has been asked")

    job.refresh_from_db()
    control.stop_job(job, actor="user:ann", reason="wrong effect")

    wait_until(lambda: state_of(job) == "DEAD", what="it was given up")
    wait_until(lambda: state_of(behind) == "SUCCEEDED", what="the next one has run")
    job.refresh_from_db()
    assert job.error == f"Stopped: stopped by ann: wrong effect; {known}"
    assert job.may_have_been_applied is (operation == "executeEffect")
    assert [entry.now for entry in job.audit_trail.order_by("id")] == ["QUEUED", "RUNNING", "DEAD"]
    action = OperatorAction.objects.get(verb="asked to stop")
    assert (action.actor, action.target, action.reason) == ("user:ann", f"job {job}", "wrong effect")
    with pytest.raises(StateConflict, match="only a running job"):
        control.stop_job(job, actor="user:ann")


def test_a_job_whose_worker_does_not_listen_is_not_stopped(redis: Redis) -> None:
    """The operator learns that nothing was done, and the trail does not say that it was."""
    (job,) = submit(1)
    attempt.claim([str(job.pk)], worker="lost", now=timezone.now())
    job.refresh_from_db()

    with pytest.raises(control.NotHeard, match="was not stopped: its worker does not listen"):
        control.stop_job(job, actor="user:ann")

    assert not OperatorAction.objects.exists()


def test_rq_s_own_commands_work(start: Start, redis: Redis, sandbox: SandboxApi) -> None:
    """stop-job and shutdown as RQ's API sends them; a command for a job that is not running changes nothing."""
    hang(sandbox)
    worker = start("rqworker", API_REQUEST_TIMEOUT_MS="60000")
    job = effect()
    (other,) = submit(1)
    key = RQJob.key_for(str(job.pk))
    wait_until(lambda: redis.hget(key, "worker_name"), what="RQ's tools see it as started")

    redis.hset(RQJob.key_for(str(other.pk)), "worker_name", "nobody")
    send_stop_job_command(redis, str(other.pk))
    send_stop_job_command(redis, str(job.pk))
    wait_until(lambda: state_of(job) == "DEAD", what="it was given up")
    wait_until(lambda: state_of(other) == "SUCCEEDED", what="the other one has run")
    job.refresh_from_db()
    (word,) = control.processes()
    redis.publish(f"rq:pubsub:{word.name}", b"no JSON")
    redis.publish(f"rq:pubsub:{word.name}", b'{"command": "kill-horse"}')
    send_shutdown_command(redis, word.name)
    wait_until(lambda: worker.process.poll() is not None, what="it ended")

    assert "stopped by an RQ command" in job.error
    assert worker.process.returncode == 0
    assert django_rq.get_queue("high").failed_job_registry.get_job_ids() == [str(job.pk)]


def test_a_lost_process_is_listed_as_lost_for_a_while(redis: Redis) -> None:
    """With its last heartbeat, until another has taken over; it cannot be told anything."""
    heartbeat = Heartbeat("listener", "l-1", redis)
    heartbeat.beat("active")
    (word,) = statuses(redis)
    assert not word.lost
    assert (word.pid, word.leads) == (os.getpid(), True)

    def silent_for(length: timedelta) -> None:
        earlier = msgspec.structs.replace(word, at=word.at - length.total_seconds())
        redis.hset(keys.PROCESSES, word.key, msgspec.json.encode(earlier))

    silent_for(LOST_AFTER + timedelta(seconds=5))
    assert statuses(redis)[0].lost
    with pytest.raises(StateConflict):
        control.ask_to_stop(word.key, actor="user:ann")
    heartbeat.beat("active")
    (word,) = statuses(redis)
    silent_for(timedelta(hours=2))
    assert [status.name for status in statuses(redis)] == ["l-1"]  # the last of its role tells since when it is missing
    Heartbeat("listener", "l-2", redis).beat("active")
    assert [status.name for status in statuses(redis)] == ["l-2"]


def breakers(redis: Redis, now: list[float]) -> tuple[Breaker, Breaker]:
    """The breakers of two processes."""
    mine, theirs = (Breaker(redis, threshold=5, duration=timedelta(seconds=30), clock=lambda: now[0]) for _ in range(2))
    return mine, theirs


def test_a_breaker_forced_open_blocks_all_calls_until_released(redis: Redis) -> None:
    """In every process: no probe, no success closes it, and jobs check less and less often."""
    now = [1000.0]
    mine, theirs = breakers(redis, now)
    theirs.before_call()
    mine.force("open", by="user:ann", reason="the main API is being repaired")
    now[0] += 1

    for later, wait in ((0, 30), (59, 60), (3600, 300)):
        now[0] += later
        with pytest.raises(CircuitOpen) as caught:
            theirs.before_call()
        assert caught.value.until.timestamp() == now[0] + wait
    theirs.record_success(probe=False)
    forced = theirs.snapshot().forced
    assert forced is not None
    assert (forced.state, forced.by, forced.reason) == ("open", "user:ann", "the main API is being repaired")
    mine.release()
    now[0] += 1
    assert theirs.before_call() is False
    assert theirs.snapshot().forced is None


def test_a_breaker_forced_closed_stays_closed(redis: Redis) -> None:
    """However many calls fail; they are listed, and back in automatic mode it starts with an empty window."""
    now = [1000.0]
    mine, theirs = breakers(redis, now)
    for n in range(6):
        mine.record_fault(OSError(f"refused {n}"), probe=False)
    assert mine.snapshot().state == "open"
    theirs.force("closed", by="user:ann", reason="a false alarm")
    now[0] += 1

    for _ in range(10):
        assert mine.before_call() is False
        mine.record_fault(OSError("refused again"), probe=False)
    assert mine.snapshot().state == "closed"
    assert mine.recent_errors()[0].error == "refused again"
    assert len(mine.recent_errors()) > 10
    theirs.release()
    now[0] += 1
    mine.record_fault(OSError("once more"), probe=False)
    assert mine.snapshot().state == "closed"


def test_jobs_wait_while_the_breaker_is_forced_open(redis: Redis, api: MainApi) -> None:
    """They use up no attempt, count as blocked, and run when it is automatic again; both are audited."""
    control.set_breaker("open", actor="user:ann", reason="repair")
    (job,) = submit(1)
    try:
        work(redis)
        assert count_retrying() == (0, 1, 1, False)
    finally:
        control.set_breaker("automatic", actor="user:ann", reason="repaired")

    job.refresh_from_db()
    assert (job.state, job.failures) == ("RETRYING", 0)
    service.run_now([job], actor="user:ann", reason="the breaker is closed")
    work(redis)
    assert state_of(job) == "SUCCEEDED"
    about_breaker = OperatorAction.objects.filter(target="circuit breaker").order_by("id")
    actions = list(about_breaker.values_list("verb", "changes"))
    assert actions == [
        ("forced open", {"breaker": ["automatic, closed", "forced open"]}),
        ("made automatic", {"breaker": ["forced open", "automatic"]}),
    ]
    with pytest.raises(ValueError, match="half-open"):
        control.set_breaker("half-open", actor="user:ann")
    assert about_breaker.count() == 2


def test_the_breaker_is_not_forced_without_a_record(redis: Redis) -> None:
    """Nobody could tell why the main API gets no calls: what cannot be recorded is not done."""
    with connection.execute_wrapper(refuse_writes), pytest.raises(OperationalError):
        control.set_breaker("open", actor="user:ann")

    assert control.breaker().snapshot().forced is None


def test_what_redis_was_told_is_taken_back_if_the_commit_fails(redis: Redis) -> None:
    """State and trail agree: a breaker that is forced, or set back by Undo, and a process that is asked to stop."""
    heartbeat = Heartbeat("scheduler", "one", redis)
    heartbeat.beat("active")
    control.set_breaker("closed", actor="user:ann", reason="a false alarm")
    (action,) = OperatorAction.objects.all()
    attempts: list[Callable[[], object]] = [
        lambda: control.set_breaker("open", actor="user:bob"),
        lambda: control.set_breaker("automatic", actor="user:bob"),
        lambda: taking_back.take_back(action, actor="user:bob"),
        lambda: control.ask_to_stop("scheduler:one", actor="user:bob"),
    ]
    try:
        for attempt_it in attempts:
            with connection.execute_wrapper(fail_the_commit), pytest.raises(IntegrityError):
                attempt_it()

        forced = control.breaker().snapshot().forced
        assert forced is not None
        assert (forced.state, forced.by, forced.reason) == ("closed", "user:ann", "a false alarm")
        assert not heartbeat.beat("active")
        assert list(OperatorAction.objects.all()) == [action]
    finally:
        control.set_breaker("automatic", actor="test")


def fail_the_commit(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    """With a row whose foreign key is checked at the commit."""
    done = execute(sql, params, many, context)
    if "INSERT" in sql and "jobs_operatoract" in sql:
        CronFiring.objects.create(task_id=424242, due_at=timezone.now(), outcome="on_time", actor="test")
    return done


def refuse_writes(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    """As a database does that is read-only."""
    if sql.startswith("INSERT"):
        raise OperationalError("attempt to write a readonly database")
    return execute(sql, params, many, context)


def test_a_breaker_that_opened_by_itself_is_closed_without_undo(redis: Redis, api: MainApi) -> None:
    """Nobody can open it as it was; closed and automatic already, nothing changes and nothing is recorded."""
    breaker = control.breaker()
    for _ in range(20):
        breaker.record_fault(OSError("refused"), probe=False)
    assert breaker.snapshot().state == "open"

    pressed = [control.set_breaker("automatic", actor="user:ann") for _ in range(2)]

    assert pressed == [True, False]
    (action,) = OperatorAction.objects.all()
    assert (action.changes, action.undo) == ({"breaker": ["automatic, open", "automatic"]}, "")
