"""Which thread runs a cycle: the main thread, or a handler thread whose job has ended."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as project
from django.utils import timezone
from redis import Redis

from jobs import pauses, service
from jobs.broker import keys
from jobs.broker.commands import STOPS, Command
from jobs.broker.enqueue import queue_of
from jobs.engine.scheduler.rescuer import Rescuer
from jobs.engine.worker.cycle import Cycles
from jobs.engine.worker.in_flight import WAIT_FOR_THREAD_S
from jobs.engine.worker.rq_mirror import RQMirror
from jobs.models import AuditEntry, Job
from jobs.service import Submission
from tests.support.servers import SandboxApi, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def woken() -> threading.Event:
    """That somebody wakes the main thread."""
    return threading.Event()


@pytest.fixture
def cycles(
    request: pytest.FixtureRequest, redis: Redis, sandbox: SandboxApi, settings: Any, woken: threading.Event
) -> Iterator[Cycles]:
    """Of a worker with one slot, or as many as a test says; effects take 20 ms."""
    sandbox.control("POST", "faults", {"latencyMs": 20})
    settings.QUEUE_CONCURRENCY = getattr(request, "param", 1)
    pauses.publish(redis)
    mirror = RQMirror("w", list(project.RQ_QUEUES), keys.own_redis())
    cycles = Cycles("w", mirror, redis, run_foreign=lambda _: None, wake_main=woken.set)
    yield cycles
    cycles.stop()


def submit_effects(n: int) -> None:
    """The first `n` effects of a campaign, due now."""
    now = timezone.now().isoformat()
    payloads = [{"effectId": f"effect-1-{i + 1}", "executeAt": now} for i in range(n)]
    service.submit_many(
        [Submission(type="DEFERRED_EFFECT", campaign_id="campaign-1", payload=p) for p in payloads], actor="test"
    )


def submit_expirations(n: int) -> None:
    """Jobs that may run twice, due now."""
    service.submit_many(
        [Submission(type="EVENT_EXPIRATION", campaign_id="campaign-1", subject=str(i), payload={}) for i in range(n)],
        actor="test",
    )


def moves() -> list[str]:
    """All moves of all jobs, in the order in which they were made."""
    return list(AuditEntry.objects.order_by("id").values_list("now", flat=True))


def test_a_handler_thread_claims_the_next_job(cycles: Cycles, woken: threading.Event) -> None:
    """The main thread has claimed the first one and sleeps until nothing is left to do."""
    cycles.start(lead=True)
    submit_effects(3)

    assert cycles.run() == (0, 1)
    assert woken.wait(20)

    assert moves() == ["QUEUED"] * 3 + ["RUNNING", "SUCCEEDED"] * 3
    assert cycles.recorder.recorded == 3
    assert not cycles.busy


def test_without_leading_the_main_thread_is_woken_for_each_end(cycles: Cycles, woken: threading.Event) -> None:
    """As with a limit of jobs, which the main thread counts."""
    cycles.start(lead=False)
    submit_effects(2)
    cycles.run(2)

    for _ in range(2):
        assert woken.wait(20)
        woken.clear()
        cycles.run(2 - cycles.recorder.recorded)

    assert moves() == ["QUEUED"] * 2 + ["RUNNING", "SUCCEEDED"] * 2


@pytest.mark.parametrize("cycles", [2], indirect=True)
def test_short_jobs_are_claimed_ahead_and_recorded_together(
    cycles: Cycles, woken: threading.Event, sandbox: SandboxApi
) -> None:
    """A thread that finishes one takes the next without a cycle; each is done by its first attempt."""
    sandbox.control("POST", "faults", {"latencyMs": 2})
    submit_expirations(40)
    cycles.start(lead=True)

    def has_worked() -> bool:
        cycles.run()
        if not cycles.has_more:
            woken.wait(0.2)
        return not cycles.busy

    wait_until(has_worked)

    made = "".join(move[0] for move in moves())  # Queued, Running, Succeeded
    assert made.count("S") == 40
    assert "RRR" in made  # three at once, of two threads
    assert set(AuditEntry.objects.filter(now="RUNNING").values_list("attempt", flat=True)) == {1}


@pytest.mark.parametrize("cycles", [2], indirect=True)
def test_what_finds_no_thread_is_handed_back(cycles: Cycles, redis: Redis) -> None:
    """The threads hang: the jobs that were claimed ahead are queued again, without a failure or an error."""
    submit_expirations(2)
    cycles.fetch.begin(timezone.now(), idle=2, limit=None)
    cycles.fetch.end()
    cycles.recorder.record_and_claim(timezone.now(), 2)  # no thread was started
    begun, waiting = cycles.in_flight
    assert begun.begin()
    cycles.takes = False
    cycles.run()
    assert len(cycles.in_flight) == 2

    waiting.began -= WAIT_FOR_THREAD_S
    cycles.run()

    assert [group.jobs for group in cycles.in_flight] == [begun.jobs]
    (job,) = Job.objects.filter(state="QUEUED")
    assert (job.failures, job.error) == (0, "")
    assert job.audit_trail.latest("id").reason.startswith("handed back")
    assert keys.texts(redis.lrange(f"rq:queue:{queue_of(job)}", 0, -1)) == [str(job.pk)]
    assert not waiting.begin()


@pytest.mark.parametrize("cycles", [2], indirect=True)
def test_what_a_lost_worker_had_claimed_and_not_begun_runs_again(cycles: Cycles, redis: Redis) -> None:
    """Each is retried after one failure; when the lost worker comes back, it records nothing of them."""
    submit_expirations(20)
    cycles.fetch.begin(timezone.now(), idle=20, limit=None)
    cycles.fetch.end()
    cycles.recorder.record_and_claim(timezone.now(), 20)
    assert Job.objects.filter(state="RUNNING").count() == 20
    Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    rescuer = Rescuer(redis)
    rescuer.checked_at = timezone.now()
    rescuer.free_expired(timezone.now())
    assert set(Job.objects.values_list("state", "failures")) == {("RETRYING", 1)}

    for group in cycles.in_flight:
        group.began -= WAIT_FOR_THREAD_S
    cycles.takes = False
    cycles.run()

    assert len(cycles.in_flight) == 0
    assert set(Job.objects.values_list("state", "failures")) == {("RETRYING", 1)}


@pytest.mark.parametrize("cycles", [2], indirect=True)
def test_a_stopped_job_that_waits_for_a_thread_does_not_begin(cycles: Cycles) -> None:
    """Nothing of it was done, and its end says so."""
    submit_expirations(1)
    cycles.fetch.begin(timezone.now(), idle=1, limit=None)
    cycles.fetch.end()
    cycles.recorder.record_and_claim(timezone.now(), 1)
    (group,) = cycles.in_flight
    cycles.takes = False
    cycles.cancellations.request(Command(STOPS[0], next(iter(group.jobs)), "olga"))

    cycles.run()

    job = Job.objects.get()
    assert job.state == "DEAD"
    assert job.error.endswith("nothing it sent is unanswered")
    assert not group.begin()


def test_an_end_during_another_cycle_is_left_to_the_main_thread(cycles: Cycles, woken: threading.Event) -> None:
    """For example while that cycle waits for a hung database."""
    cycles.start(lead=True)
    submit_effects(1)
    cycles.run()

    with cycles.lock:
        assert woken.wait(20)
        assert moves() == ["QUEUED", "RUNNING"]
    cycles.run()

    assert moves() == ["QUEUED", "RUNNING", "SUCCEEDED"]


def test_no_job_is_claimed_before_its_due_time(cycles: Cycles) -> None:
    """A job that comes due in the middle of a cycle is claimed by it."""
    cycles.run(first=lambda: submit_effects(1))

    entry = AuditEntry.objects.select_related("job").get(now="RUNNING")
    assert entry.job.due_at <= entry.at == entry.job.started_at
