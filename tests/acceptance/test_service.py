"""The whole service: real Redis, worker, scheduler, listener and main API, each in its own process."""

import signal
from datetime import timedelta
from itertools import pairwise
from statistics import median

import django_rq
import pytest
from django.utils import timezone
from redis import Redis

from jobs import service
from jobs.models import AuditEntry, CampaignClock, Job, ScheduleRow
from jobs.service import Submission
from jobs.states import MOVES, State
from tests.support.dialects import in_each_dialect
from tests.support.heartbeats import await_processes
from tests.support.ledger import state_of
from tests.support.processes import Start
from tests.support.servers import SandboxApi, wait_until

CAMPAIGN = "campaign-1"


def effect(effect_id: str, *, in_s: float = 0, **more: object) -> Job:
    """Submit a deferred effect of the first campaign."""
    at = (timezone.now() + timedelta(seconds=in_s)).isoformat()
    payload = {"effectId": effect_id, "executeAt": at}
    job, _ = service.submit(
        Submission(type="DEFERRED_EFFECT", campaign_id=CAMPAIGN, payload=payload, **more),  # type: ignore[arg-type]
        actor="test",
    )
    return job


def assert_audited(job: Job) -> None:
    """Its trail is a chain of allowed moves from its submission to its state."""
    trail = list(job.audit_trail.order_by("id"))
    assert trail[0].was == ""
    for before, after in pairwise(trail):
        assert after.was == before.now
        assert State(after.now) in MOVES[State(after.was)]
        assert after.actor
    assert trail[-1].now == state_of(job)


@in_each_dialect
def test_world_time_advanced_moves_the_world(start: Start, sandbox: SandboxApi, redis: Redis) -> None:
    """A worldTimeAdvanced message expires events, grows settlements and wears structures, all audited."""
    for name in ("rqworker", "rqscheduler", "pubsub_listener"):
        start(name)
    wait_until(lambda: CampaignClock.objects.filter(campaign_id=CAMPAIGN).exists(), what="caught up at start")
    wait_until(lambda: ScheduleRow.objects.filter(campaign_id=CAMPAIGN).count() == 48, what="rows")
    before = sandbox.world()

    sandbox.control("POST", "advance", {"campaignId": CAMPAIGN, "minutes": 360})

    wait_until(lambda: all(e["isCompleted"] for e in events(sandbox)), what="events expired")
    ends = ("SUCCEEDED", "SKIPPED")
    wait_until(lambda: Job.objects.filter(type="SETTLEMENT_GROWTH", state__in=ends).count() >= 18, what="grown")
    wait_until(lambda: Job.objects.filter(type="STRUCTURE_MAINTENANCE", state__in=ends).count() >= 18, what="worn")
    after = sandbox.world()
    for settlement_id, settlement in after["settlements"].items():
        if settlement_id.startswith("settlement-1-"):
            old = before["settlements"][settlement_id]
            assert settlement["variables"]["motto"] == old["variables"]["motto"]
            assert settlement["variables"]["resources"]["gold"] >= 5
            assert settlement["variables"]["schedulerMarks"]["clock"] == "world"
    assert any(s["variables"].get("maintenanceDue") for s in after["structures"].values())
    for job in Job.objects.filter(state="SUCCEEDED"):
        assert_audited(job)
    assert not Job.objects.filter(state="DEAD").exists()


def events(sandbox: SandboxApi) -> list[dict[str, object]]:
    """The first campaign's events that are overdue by now."""
    return [e for e in sandbox.world()["events"].values() if e["campaignId"] == CAMPAIGN]


@in_each_dialect
def test_effect_is_executed_once_on_time(start: Start, sandbox: SandboxApi, redis: Redis) -> None:
    """A deferred effect runs at its time: never early, seconds late at most, with its own execution ID."""
    start("rqworker")
    start("rqscheduler")
    await_processes(redis, "worker", "scheduler")
    job = effect("effect-1-1", in_s=3)

    wait_until(lambda: state_of(job) == "SUCCEEDED", what="effect executed")

    job.refresh_from_db()
    started = AuditEntry.objects.get(job=job, now="RUNNING").at
    assert timedelta(0) <= started - job.due_at < timedelta(seconds=10)
    assert isinstance(job.result, dict)
    assert job.result["executionId"] == "execution-1"
    assert len(sandbox.world()["executions"]) == 1
    assert_audited(job)


@pytest.mark.parametrize(("operation", "end"), [("getEffect", "SUCCEEDED"), ("executeEffect", "DEAD")])
def test_killed_worker_loses_nothing(start: Start, sandbox: SandboxApi, operation: str, end: str) -> None:
    """After kill -9 of a worker its idempotent job runs again, and so does an effect that it had not begun to send; one
    that it had is a dead letter that may have been applied. Either is executed once.
    """
    slow = {"latencyMs": 60_000, "operations": [operation, "getOverdueEvents"]}
    sandbox.control("POST", "faults", slow)  # both are found running, however slow the machine is
    worker = start("rqworker", API_REQUEST_TIMEOUT_MS="120000")
    start("rqscheduler")
    expiration, _ = service.submit(Submission(type="EVENT_EXPIRATION", campaign_id=CAMPAIGN, payload={}), actor="test")
    executed = effect("effect-1-1")
    wait_until(lambda: sandbox.has_heard(operation) and state_of(expiration) == "RUNNING", what="both running")

    worker.stop(signal.SIGKILL)
    sandbox.control("DELETE", "faults")
    start("rqworker")

    wait_until(lambda: state_of(expiration) == "SUCCEEDED", what="expiration ran again")
    wait_until(lambda: state_of(executed) == end, what="the effect has ended")
    executed.refresh_from_db()
    assert executed.may_have_been_applied is (end == "DEAD")
    assert len(sandbox.world()["executions"]) == 1
    assert_audited(expiration)


def test_a_worker_killed_among_short_jobs_loses_none(start: Start, sandbox: SandboxApi) -> None:
    """After kill -9 what it ran or had claimed ahead is tried once more, and nothing else."""
    count = 400
    sandbox.control("POST", "faults", {"latencyMs": 10})
    submissions = [
        Submission(type="EVENT_EXPIRATION", campaign_id=CAMPAIGN, payload={}, subject=str(n)) for n in range(count)
    ]
    service.submit_many(submissions, actor="test")
    worker = start("rqworker", QUEUE_CONCURRENCY="2")
    done = Job.objects.filter(state=State.SUCCEEDED)
    wait_until(lambda: done.count() > count // 4, what="a quarter is done")

    worker.stop(signal.SIGKILL)
    claimed = Job.objects.filter(state=State.RUNNING).count()
    start("rqscheduler")
    start("rqworker")

    assert claimed > 2  # more than its threads could run
    wait_until(lambda: done.count() == count, what="all are done")
    assert AuditEntry.objects.filter(now=State.RETRYING).count() <= claimed
    assert AuditEntry.objects.filter(now=State.RUNNING).count() == count + claimed


def test_sigterm_lets_running_jobs_finish(start: Start, sandbox: SandboxApi) -> None:
    """A stopping worker fetches nothing new, finishes its jobs and exits with 0."""
    sandbox.control("POST", "faults", {"latencyMs": 3000})
    worker = start("rqworker", QUEUE_CONCURRENCY="1", API_REQUEST_TIMEOUT_MS="30000", SHUTDOWN_GRACE_SECONDS="50")
    first, second = effect("effect-1-1"), effect("effect-1-2")
    wait_until(lambda: state_of(first) == "RUNNING", what="first runs")

    code = worker.stop()

    assert code == 0
    assert state_of(first) == "SUCCEEDED"
    assert state_of(second) == "QUEUED"


def test_jobs_start_strictly_by_priority(start: Start, sandbox: SandboxApi) -> None:
    """Whatever was submitted first, the more urgent job starts first."""
    order = ["LOW", "NORMAL", "HIGH", "CRITICAL"]
    jobs = {p: effect(f"effect-1-{n}", priority=p) for n, p in enumerate(order, start=1)}
    start("rqworker", QUEUE_CONCURRENCY="1")

    wait_until(lambda: all(state_of(j) in ("SUCCEEDED", "SKIPPED") for j in jobs.values()), what="all done")

    for job in jobs.values():
        job.refresh_from_db()
    assert sorted(order, key=lambda p: jobs[p].started_at or timezone.now()) == order[::-1]


def test_lost_redis_is_rebuilt(start: Start, sandbox: SandboxApi, redis: Redis) -> None:
    """What Redis forgot is put back from the database and runs."""
    queued, later = effect("effect-1-1"), effect("effect-1-2", in_s=2)
    redis.flushall()

    start("rqscheduler")
    start("rqworker")

    wait_until(lambda: state_of(queued) == state_of(later) == "SUCCEEDED", what="both executed")


def test_an_outage_of_the_main_api_uses_up_no_attempt(start: Start, sandbox: SandboxApi) -> None:
    """Jobs wait for the breaker and run when the main API is back."""
    sandbox.control("POST", "faults", {"outage": True})
    start("rqworker", QUEUE_MAX_RETRIES="50")
    start("rqscheduler")
    jobs = [
        service.submit(
            Submission(type="EVENT_EXPIRATION", campaign_id=CAMPAIGN, payload={}, subject=str(n)), actor="test"
        )[0]
        for n in range(8)
    ]
    waits = AuditEntry.objects.filter(reason__startswith="circuit breaker open")
    wait_until(waits.exists, what="the breaker opened")

    sandbox.control("DELETE", "faults")

    wait_until(lambda: all(state_of(j) == "SUCCEEDED" for j in jobs), what="all done")


def gold(sandbox: SandboxApi, settlement: str) -> int:
    """What a settlement owns."""
    return int(sandbox.world()["settlements"][settlement]["variables"]["resources"].get("gold", 0))


@in_each_dialect
def test_growth_is_applied_once_despite_faults(start: Start, sandbox: SandboxApi) -> None:
    """Whatever fails on the way, to one settlement after the other."""
    start("rqworker", QUEUE_MAX_RETRIES="20", API_CIRCUIT_BREAKER_THRESHOLD="1000")
    start("rqscheduler")
    faults: list[dict[str, object]] = [{"versionConflicts": 2}, {"errorRate": 0.3}, {"malformed": 1}]
    for n, fault in enumerate(faults, 1):
        settlement = f"settlement-1-1-{n}"
        before = gold(sandbox, settlement)
        sandbox.control("POST", "faults", fault)
        payload = {"settlementId": settlement, "growthType": "RESOURCE_GENERATION"}

        submission = Submission(type="SETTLEMENT_GROWTH", campaign_id=CAMPAIGN, payload=payload)
        job, _ = service.submit(submission, actor="test")

        wait_until(lambda job=job: state_of(job) in ("SUCCEEDED", "SKIPPED"), what=f"grown despite {fault}")  # type: ignore[misc]
        sandbox.control("DELETE", "faults")
        assert gold(sandbox, settlement) == before + 5, fault


@in_each_dialect
def test_a_campaign_without_world_time_grows_on_wall_clock_time(start: Start, sandbox: SandboxApi) -> None:
    """Its schedules come due as real time passes, each due time applied once."""
    variables = {"population": 100, "populationGrowthIntervalMinutes": 0.05, "motto": "x"}
    sandbox.control("POST", "settlements", {"id": "settlement-2-1-1", "level": 1, "variables": variables})
    start("rqworker")
    start("rqscheduler")
    service.submit(
        Submission(type="RECALCULATE_SETTLEMENT_SCHEDULES", campaign_id="campaign-2", payload={}), actor="test"
    )
    grown = Job.objects.filter(subject="settlement-2-1-1:POPULATION_GROWTH", state="SUCCEEDED")

    wait_until(lambda: grown.count() >= 3, what="three growths")

    settlement = sandbox.world()["settlements"]["settlement-2-1-1"]
    population = 100
    for _ in range(sum(grown.values_list("occurrences", flat=True))):
        population = min(1000, (population * 105 + 50) // 100)
    assert settlement["variables"]["population"] >= population
    assert settlement["variables"]["schedulerMarks"]["clock"] == "wall"
    assert grown.values("clock_due").distinct().count() == grown.count()


def test_suspended_workers_fetch_nothing(start: Start, sandbox: SandboxApi, redis: Redis) -> None:
    """rqsuspend holds the queues until rqresume; a plain RQ job runs as RQ would run it."""
    assert start("rqsuspend").process.wait(timeout=60) == 0
    start("rqworker", RUN_FOREIGN_RQ_JOBS="true", RUN_FOREIGN_RQ_FUNCTIONS="builtins.len")
    await_processes(redis, "worker")
    job = effect("effect-1-1")
    foreign = django_rq.enqueue(len, "four")
    still = timezone.now() + timedelta(seconds=2)
    wait_until(lambda: timezone.now() > still)
    assert state_of(job) == "QUEUED"

    assert start("rqresume").process.wait(timeout=60) == 0

    wait_until(lambda: state_of(job) == "SUCCEEDED", what="executed")
    wait_until(lambda: foreign.get_status(refresh=True) == "finished", what="the plain RQ job ran")
    assert foreign.return_value() == 4


def test_jobs_due_close_together_all_start_on_time(start: Start, sandbox: SandboxApi, redis: Redis) -> None:
    """150 jobs due 20 ms apart: none early, most at once, none left behind on a busy machine."""
    start("rqworker")
    start("rqscheduler")
    await_processes(redis, "worker", "scheduler")
    first = timezone.now() + timedelta(seconds=3)
    submissions = [
        Submission(
            type="EVENT_EXPIRATION", campaign_id="campaign-2", payload={}, due_at=first + timedelta(milliseconds=20 * n)
        )
        for n in range(150)
    ]
    jobs = [job.pk for job, _ in service.submit_many(submissions, actor="test")]
    done = Job.objects.filter(pk__in=jobs, state="SUCCEEDED")

    wait_until(lambda: done.count() == 150, what="all done")

    late = sorted((job.started_at - job.due_at).total_seconds() for job in done if job.started_at)
    assert late[0] >= 0
    assert median(late) < 0.2  # of one that looks every second it were half of that
    assert late[-1] < 10
