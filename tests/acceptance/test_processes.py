"""Processes that stop, hang, or lose Redis or their parent."""

import os
import signal
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from django.utils import timezone
from redis import Redis
from rq.command import send_shutdown_command
from rq.worker import Worker as RQWorker

from jobs import service
from jobs.broker import keys
from jobs.models import CampaignClock, CronTask, Job
from jobs.processes.heartbeat import statuses
from jobs.service import Submission
from tests.support.heartbeats import await_processes
from tests.support.ledger import state_of
from tests.support.processes import Start
from tests.support.servers import RedisServer, SandboxApi, wait_until

ROLES_OF_WORK = ("worker", "scheduler", "listener")


def expiration(subject: str = "") -> Job:
    """A job that asks the main API once."""
    submission = Submission(type="EVENT_EXPIRATION", campaign_id="campaign-2", payload={}, subject=subject)
    return service.submit(submission, actor="test")[0]


def children_of(pid: int) -> set[int]:
    """The processes that `pid` has started and that still run."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.add(int(stat.parent.name))
    return found


def runs(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_pool_restarts_its_workers(start: Start, sandbox: SandboxApi, redis: Redis) -> None:
    """A killed worker is replaced; SIGTERM stops both."""
    pool = start("rqworker", "--processes", "2")
    wait_until(lambda: len(redis.smembers("rq:workers")) == 2, what="two workers are there")
    first = children_of(pool.process.pid)

    os.kill(min(first), signal.SIGKILL)
    wait_until(lambda: len(children_of(pool.process.pid) - first) == 1, what="another was started")
    job = expiration()
    wait_until(lambda: state_of(job) == "SUCCEEDED", what="the job is done")
    workers = children_of(pool.process.pid)

    assert pool.stop() == 0
    assert not [pid for pid in workers if runs(pid)]


def test_workers_stop_when_their_parent_is_killed(start: Start, sandbox: SandboxApi, redis: Redis) -> None:
    """After kill -9 of the pool nobody else could stop them."""
    pool = start("rqworker", "--processes", "2")
    wait_until(lambda: len(redis.smembers("rq:workers")) == 2, what="two workers are there")
    workers = children_of(pool.process.pid)

    pool.stop(signal.SIGKILL)

    wait_until(lambda: not [pid for pid in workers if runs(pid)], what="the workers ended by themselves")


@pytest.mark.parametrize("unknown", [["rqworker", "no-such"], ["rqworker", "--processes", "0"]])
def test_a_worker_that_cannot_start_says_why(start: Start, unknown: list[str]) -> None:
    """An unknown queue or a senseless number of processes: one line, no traceback."""
    worker = start(*unknown)

    assert worker.process.wait(timeout=60) == 1
    said = worker.log.read_text()
    assert unknown[1].strip("-") in said
    assert "Traceback" not in said


def test_a_job_that_times_out_frees_its_slot(start: Start, sandbox: SandboxApi) -> None:
    """The timeout counts as an unknown outcome; the next job runs before the slow call ends."""
    sandbox.control("POST", "faults", {"latencyMs": 60_000, "operations": ["getOverdueEvents"]})
    start("rqworker", JOB_TIMEOUT_SECONDS="5", QUEUE_CONCURRENCY="1", API_REQUEST_TIMEOUT_MS="90000")
    slow = expiration()
    wait_until(lambda: state_of(slow) == "RETRYING", what="the slow job is given up")
    at = timezone.now().isoformat()
    effect, _ = service.submit(
        Submission(
            type="DEFERRED_EFFECT", campaign_id="campaign-1", payload={"effectId": "effect-1-1", "executeAt": at}
        ),
        actor="test",
    )

    wait_until(lambda: state_of(effect) == "SUCCEEDED", within_s=45, what="the next job is done")

    entry = slow.audit_trail.get(now="RETRYING")
    assert "JOB_TIMEOUT_SECONDS" in entry.reason
    assert entry.attempt == 1


def test_processes_that_start_before_redis_wait_for_it(
    start: Start, sandbox: SandboxApi, redis: Redis, redis_server: RedisServer
) -> None:
    """The start order does not matter: they say that Redis is away, stop when told to, and work once it is up."""
    redis_server.stop()
    waiting = {name: start(name) for name in ("rqworker", "rqscheduler", "pubsub_listener")}
    told_to_end = start("rqworker")
    only_now = start("rqworker", "--burst")
    for process in (*waiting.values(), told_to_end):
        wait_until(lambda p=process: "Connection refused" in p.log.read_text(), what="it says what it waits for")  # type: ignore[misc]

    assert told_to_end.stop() == 0
    assert only_now.process.wait(timeout=60) == 1
    assert "Traceback" not in only_now.log.read_text()
    redis_server.start()

    due = expiration("due")
    wait_until(lambda: state_of(due) == "SUCCEEDED", what="the job is done")
    await_processes(redis, *ROLES_OF_WORK)


def test_everything_recovers_after_redis_restarts(
    start: Start, sandbox: SandboxApi, redis: Redis, redis_server: RedisServer
) -> None:
    """Jobs submitted before, during and after the restart are done."""
    for name in ("rqworker", "rqscheduler", "pubsub_listener"):
        start(name)
    await_processes(redis, *ROLES_OF_WORK)
    wait_until(lambda: CampaignClock.objects.filter(campaign_id="campaign-1").exclude(processed_world_time="").exists())
    soon = timezone.now() + timedelta(seconds=4)
    before, _ = service.submit(
        Submission(type="EVENT_EXPIRATION", campaign_id="campaign-2", payload={}, due_at=soon), actor="test"
    )

    redis_server.stop()
    during = expiration("during")
    redis_server.start()
    after = expiration("after")

    for job in (before, during, after):
        wait_until(lambda job=job: state_of(job) == "SUCCEEDED", what=f"{job.subject or 'before'} is done")  # type: ignore[misc]
    sandbox.control("POST", "advance", {"campaignId": "campaign-1", "minutes": 60})
    world_time = sandbox.world()["campaigns"]["campaign-1"]["currentWorldTime"]
    heard = CampaignClock.objects.filter(campaign_id="campaign-1", processed_world_time=world_time)
    wait_until(heard.exists, what="the listener hears again")


def test_everything_recovers_after_redis_is_flushed(start: Start, sandbox: SandboxApi, redis: Redis) -> None:
    """Jobs that were queued, scheduled or submitted later are each done once."""
    for name in ("rqworker", "rqscheduler", "pubsub_listener"):
        start(name)
    await_processes(redis, *ROLES_OF_WORK)
    wait_until(lambda: CampaignClock.objects.filter(campaign_id="campaign-1").exclude(processed_world_time="").exists())
    soon = timezone.now() + timedelta(seconds=6)
    submissions = [
        Submission(type="EVENT_EXPIRATION", campaign_id="campaign-2", payload={}, subject=str(n), due_at=due)
        for n in range(40)
        for due in (None, soon)
    ]
    jobs = [job for job, _ in service.submit_many(submissions, actor="test")]

    redis.flushall()
    sandbox.control("POST", "advance", {"campaignId": "campaign-1", "minutes": 60})
    jobs.append(expiration("after"))

    done = Job.objects.filter(pk__in=[job.pk for job in jobs], state="SUCCEEDED")
    wait_until(lambda: done.count() == len(jobs), what="all done")
    assert {job.audit_trail.filter(now="RUNNING").count() for job in jobs} == {1}
    world_time = sandbox.world()["campaigns"]["campaign-1"]["currentWorldTime"]
    heard = CampaignClock.objects.filter(campaign_id="campaign-1", processed_world_time=world_time)
    wait_until(heard.exists, what="the listener has heard")


def test_a_worker_receives_commands_again_after_redis_hung(start: Start, redis: Redis) -> None:
    """Its connection was lost, and for a while Redis accepted new ones without answering."""
    worker = start("rqworker")
    await_processes(redis, "worker")
    (name,) = (key.removeprefix("rq:worker:") for key in keys.texts(redis.smembers("rq:workers")))
    server = int(redis.info("server")["process_id"])
    redis.client_kill_filter(_type="pubsub")
    os.kill(server, signal.SIGSTOP)
    try:
        wait_until(lambda: "Timeout" in worker.log.read_text(), what="the worker could not connect")
    finally:
        os.kill(server, signal.SIGCONT)

    def heard() -> bool:
        send_shutdown_command(redis, name)
        return worker.process.poll() is not None

    wait_until(heard, what="the worker was told to stop")
    assert worker.process.returncode == 0


def test_a_worker_registers_again_after_redis_is_flushed(start: Start, redis: Redis) -> None:
    """Otherwise rqstats would not count it and nobody could send it a command."""
    start("rqworker")
    await_processes(redis, "worker")

    redis.flushall()

    wait_until(lambda: redis.smembers("rq:workers"), what="the worker is there again")
    (worker,) = RQWorker.all(connection=redis)
    assert worker.queue_names() == ["critical", "high", "normal", "low", "default"]
    assert worker.birth_date


def test_a_killed_listener_misses_nothing(start: Start, sandbox: SandboxApi) -> None:
    """The next listener catches up with world time that passed in between."""
    first = start("pubsub_listener")
    wait_until(lambda: CampaignClock.objects.filter(campaign_id="campaign-1").exclude(processed_world_time="").exists())
    first.stop(signal.SIGKILL)
    sandbox.control("POST", "advance", {"campaignId": "campaign-1", "minutes": 600})
    world_time = sandbox.world()["campaigns"]["campaign-1"]["currentWorldTime"]

    start("pubsub_listener")

    heard = CampaignClock.objects.filter(campaign_id="campaign-1", processed_world_time=world_time)
    wait_until(heard.exists, what="caught up")
    assert Job.objects.filter(type="EVENT_EXPIRATION", subject=f"heard:{world_time}").count() == 1


def test_cron_fires_once_per_second_across_a_takeover(start: Start, sandbox: SandboxApi, redis: Redis) -> None:
    """The scheduler is killed between two seconds; each second has exactly one job."""
    task = CronTask.objects.create(
        name="each-second", type="EVENT_EXPIRATION", campaign_id="campaign-2", expression="* * * * * *", misfire="all"
    )
    schedulers = [start("rqscheduler"), start("rqscheduler")]
    fired = Job.objects.filter(source="cron:each-second")
    wait_until(lambda: fired.count() >= 2, what="it fires")
    active = next(s for s in schedulers if "scheduler.activated" in s.log.read_text())
    active.stop(signal.SIGKILL)
    before = fired.count()
    redis.pexpire(keys.LEASE.format("scheduler"), 1000)  # its time is over sooner than LEASE's twelve seconds
    wait_until(lambda: fired.count() >= before + 3, what="the other one took over")
    CronTask.objects.filter(pk=task.pk).update(enabled=False)

    due = sorted(fired.values_list("due_at", flat=True))
    assert {(later - sooner) for sooner, later in pairwise(due)} == {timedelta(seconds=1)}


def test_a_second_scheduler_changes_nothing(start: Start, sandbox: SandboxApi, redis: Redis) -> None:
    """Each job is queued once and runs once, also when the active scheduler is killed."""
    schedulers = [start("rqscheduler"), start("rqscheduler")]
    start("rqworker")
    wait_until(lambda: len(statuses(redis)) == 3, what="all are there")
    due = timezone.now() + timedelta(seconds=3)
    submissions = [
        Submission(type="EVENT_EXPIRATION", campaign_id="campaign-2", payload={}, subject=str(n), due_at=due)
        for n in range(40)
    ]
    jobs = [job for job, _ in service.submit_many(submissions, actor="test")]
    wait_until(lambda: Job.objects.filter(pk__in=[j.pk for j in jobs], state="SUCCEEDED").count() == 40, what="done")

    assert [job.audit_trail.count() for job in jobs] == [4] * 40
    (leader,) = (word.pid for word in statuses(redis) if word.leads)
    next(scheduler for scheduler in schedulers if scheduler.process.pid == leader).stop(signal.SIGKILL)
    later, _ = service.submit(
        Submission(
            type="EVENT_EXPIRATION", campaign_id="campaign-2", payload={}, due_at=timezone.now() + timedelta(1e-5)
        ),
        actor="test",
    )
    wait_until(lambda: state_of(later) == "SUCCEEDED", what="the other one took over")
