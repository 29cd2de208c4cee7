"""Jobs that must wait: no attempt, no failure, no run time; one wait in the trail, however often they are claimed."""

from datetime import timedelta
from itertools import pairwise

import pytest
from django.utils import timezone
from redis import Redis

from api.schemas import as_json
from jobs import claims, control, counters, service
from jobs.engine.worker import attempt
from jobs.errors import LostBeforeSending, NotBegun
from jobs.histogram import COLUMNS
from jobs.ledger import moves
from jobs.main_api.client import MainApi
from jobs.models import Job, OutcomeMinute
from jobs.run import Followup
from jobs.service import Submission
from jobs.states import MOVES, State
from jobs.world.clock import WorldTime
from tests.support.servers import SandboxApi

pytestmark = pytest.mark.django_db(transaction=True)
HOUR = timedelta(hours=1)
GROWTH = {"settlementId": "settlement-1-1-1", "growthType": "POPULATION_GROWTH"}


@pytest.fixture
def job() -> Job:
    """A queued growth of a settlement of the sandbox."""
    return service.submit(Submission(type="SETTLEMENT_GROWTH", campaign_id="campaign-1", payload=GROWTH), actor="test")[
        0
    ]


def run(job: Job, *, worker: str = "w") -> Job:
    """One claim of the job, queued first if it waits; the job afterwards."""
    Job.objects.filter(pk=job.pk).exclude(state=State.QUEUED).update(due_at=timezone.now() - timedelta(seconds=1))
    moves.queue_due([str(job.pk)], actor="scheduler", reason="due", now=timezone.now())
    claimed = attempt.claim([str(job.pk)], worker=worker, now=timezone.now())
    attempt.record(attempt.run_handler(claimed), actor=f"worker:{worker}", worker=worker)
    return Job.objects.get(pk=job.pk)


def trail(job: Job) -> list[tuple[str, str, int]]:
    return list(job.audit_trail.order_by("id").values_list("was", "now", "attempt"))


def is_chain(job: Job) -> bool:
    """Whether its trail is a chain of allowed moves up to its state."""
    moved = trail(job)
    linked = all(a[1] == b[0] and State(b[1]) in MOVES[State(b[0])] for a, b in pairwise(moved))
    return linked and moved[-1][1] == job.state


def hand_back(job: Job) -> Job:
    """Claim the job, and hand it back before it begins."""
    (claimed,) = attempt.claim([str(job.pk)], worker="w", now=timezone.now())
    attempt.record([attempt.ending_of(claimed, NotBegun("handed back"), 0.0, now=timezone.now())], actor="worker:w")
    return Job.objects.get(pk=job.pk)


def bounce(job: Job, times: int) -> Job:
    """Claim the job while the breaker is open."""
    control.set_breaker("open", actor="test")
    for _ in range(times):
        job = run(job)
    control.set_breaker("automatic", actor="test")
    return job


def test_a_wait_is_one_step_of_the_trail(job: Job, api: MainApi, redis: Redis) -> None:
    """Forty claims while the breaker is open leave the entries of the first, and one that says how long it was."""
    waiting = bounce(job, 40)
    during = trail(job)
    since = waiting.waits_since
    done = run(job)

    assert (waiting.state, waiting.attempt, waiting.attempts, waiting.failures) == ("RETRYING", 40, 0, 0)
    assert during == [("", "QUEUED", 0), ("QUEUED", "RUNNING", 1), ("RUNNING", "RETRYING", 1)]
    assert trail(job)[3:] == [
        ("RETRYING", "QUEUED", 40),
        ("QUEUED", "RUNNING", 41),
        ("RUNNING", "SUCCEEDED", 41),
    ]
    entries = list(job.audit_trail.order_by("id"))
    assert (entries[2].at, entries[2].reason) == (since, "circuit breaker open")
    assert entries[3].reason.startswith("had to wait for ")
    assert entries[4].at == done.started_at
    assert (done.attempts, done.waits, done.waits_since) == (1, 40, None)
    assert is_chain(done)


def test_waits_are_a_series_of_their_own(job: Job, api: MainApi, redis: Redis) -> None:
    """They are in no outcome, start delay or run time."""
    bounce(job, 3)
    run(job)
    counters.flush()
    found = {row.outcome: row for row in OutcomeMinute.objects.all()}
    waits, runs = found["BREAKER"], found["SUCCEEDED"]

    assert set(found) == {"BREAKER", "SUCCEEDED"}
    assert (waits.jobs, waits.run_ms, waits.run_ms_max, waits.wait_ms, _count_starts(waits)) == (3, 0, 0, 0, 0)
    assert (runs.jobs, _count_starts(runs)) == (1, 1)
    observed = {key: n for key, n in counters.read(redis).items() if key[0].startswith("job_") and key[-1] != "sum"}
    assert {key[0]: n for key, n in observed.items()} == {
        "job_wait_seconds": 1,
        "job_run_seconds": 1,
        "job_attempts": 1,
    }


def test_what_is_handed_back_is_no_run(job: Job, api: MainApi, redis: Redis) -> None:
    """It had no start delay or run time; a worker that was lost is an attempt like any other."""
    for error in (NotBegun("handed back"), LostBeforeSending("its worker was lost")):
        (claimed,) = attempt.claim([str(job.pk)], worker="w", now=timezone.now())
        attempt.record([attempt.ending_of(claimed, error, 7.0, now=timezone.now())], actor="worker:w", worker="w")
    counters.flush()
    found = {row.outcome: row for row in OutcomeMinute.objects.all()}
    back, lost = found["NOT_BEGUN"], found["QUEUED"]

    assert set(found) == {"NOT_BEGUN", "QUEUED"}
    assert (back.jobs, back.run_ms, back.run_ms_max, back.wait_ms, _count_starts(back)) == (1, 0, 0, 0, 0)
    assert (lost.jobs, lost.run_ms, _count_starts(lost)) == (1, 7, 1)
    observed = {key[0]: n for key, n in counters.read(redis).items() if key[0].startswith("job_") and key[-1] != "sum"}
    assert observed == {"job_wait_seconds": 1, "job_run_seconds": 1}


def _count_starts(row: OutcomeMinute) -> int:
    """The starts in its histogram of start delays."""
    return sum(getattr(row, column) for column in COLUMNS)


@pytest.mark.parametrize("was", [State.RETRYING, State.QUEUED])
def test_an_operator_who_moves_a_waiting_job_finds_its_trail_whole(
    job: Job, api: MainApi, redis: Redis, was: State
) -> None:
    """Between two claims and while it is queued for the next; the claim after that is an attempt again."""
    waiting = bounce(job, 2)
    if was is State.QUEUED:
        Job.objects.filter(pk=job.pk).update(due_at=timezone.now())
        moves.queue_due([str(job.pk)], actor="scheduler", reason="due", now=timezone.now())
        waiting.refresh_from_db()

    service.cancel([waiting], actor="user:olga", reason="not needed")
    cancelled = Job.objects.get(pk=job.pk)

    assert (cancelled.state, cancelled.waits_since) == ("CANCELLED", None)
    assert is_chain(cancelled)
    service.retry([cancelled], actor="user:olga", reason="needed")
    done = run(cancelled)
    assert trail(done)[-2:] == [("QUEUED", "RUNNING", 3), ("RUNNING", "SUCCEEDED", 3)]
    assert is_chain(done)


def test_a_worker_lost_after_a_wait_leaves_a_whole_trail(job: Job, api: MainApi, redis: Redis) -> None:
    """The rescuer, which ends the attempt, did not claim it."""
    bounce(job, 2)
    Job.objects.filter(pk=job.pk).update(due_at=timezone.now())
    moves.queue_due([str(job.pk)], actor="scheduler", reason="due", now=timezone.now())
    attempt.claim([str(job.pk)], worker="lost", now=timezone.now())
    running = Job.objects.get(pk=job.pk)

    ending = attempt.ending_of(running, TimeoutError("silent"), 1.0, now=timezone.now())
    attempt.record([ending], actor="rescuer", worker="rescuer")

    freed = Job.objects.get(pk=job.pk)
    assert (freed.state, freed.attempts, freed.failures, freed.waits_since) == ("RETRYING", 1, 1, None)
    assert list(job.audit_trail.order_by("id").values_list("actor", flat=True))[-3:] == [
        "scheduler",
        "worker:lost",
        "rescuer",
    ]
    assert is_chain(freed)


def test_a_job_started_when_its_latest_attempt_began(job: Job, api: MainApi, redis: Redis) -> None:
    """Not when it was found that it must wait, nor when it was handed back before it began."""
    unclaimed, waiting = claims.started_of(job), bounce(job, times=2)
    queued = Job.objects.get(pk=waiting.pk)
    service.run_now([queued], actor="test", reason="")
    handed_back = hand_back(job)
    (claimed,) = attempt.claim([str(job.pk)], worker="w", now=timezone.now())
    running = Job.objects.get(pk=job.pk)
    attempt.record([attempt.ending_of(claimed, NotBegun("handed back"), 0.0, now=timezone.now())], actor="worker:w")
    service.cancel([Job.objects.get(pk=job.pk)], actor="test", reason="")
    cancelled = Job.objects.get(pk=job.pk)

    assert waiting.started_at is not None
    assert handed_back.state == State.QUEUED
    assert unclaimed is None
    assert as_json(running)["startedAt"] == running.started_at
    assert [as_json(one)["startedAt"] for one in (waiting, handed_back, cancelled)] == [None] * 3


def test_a_wait_keeps_the_start_of_the_attempt_before(job: Job, api: MainApi, redis: Redis) -> None:
    """An attempt failed; then the breaker opened."""
    Job.objects.filter(pk=job.pk).update(payload={**GROWTH, "settlementId": 7})
    failed = run(job)
    Job.objects.filter(pk=job.pk).update(payload=GROWTH)
    waiting = bounce(failed, times=2)

    assert failed.state == State.RETRYING
    assert waiting.started_at != failed.started_at
    assert claims.started_of(failed) == claims.started_of(waiting) == failed.started_at


def test_what_is_handed_back_is_no_attempt(job: Job, api: MainApi, redis: Redis) -> None:
    """Between two waits too: its row, its trail and the metric of attempts count the claim that ran."""
    handed_back = [hand_back(job), hand_back(job)]
    waiting = bounce(job, 2)
    service.run_now([waiting], actor="test", reason="")
    after_wait = hand_back(job)
    done = run(job)
    counters.flush()

    assert [(one.attempt, one.attempts, one.waits_since) for one in handed_back] == [(1, 0, None), (2, 0, None)]
    assert (after_wait.attempt, after_wait.attempts, after_wait.waits_since) == (5, 0, None)
    assert (done.state, done.attempt, done.attempts, done.failures) == (State.SUCCEEDED, 6, 1, 0)
    assert counters.read(redis)["job_attempts", "SETTLEMENT_GROWTH", "sum"] == 1
    assert is_chain(done)


def test_growth_without_levels_does_not_count_what_was_handed_back(
    api: MainApi, redis: Redis, sandbox: SandboxApi
) -> None:
    """The first attempt waits for the structures, however often the job was claimed before."""
    people = {"population": 5000, "populationCap": 90000, "requiredStructuresForLevelUp": ["market"]}
    sandbox.control("POST", "settlements", {"id": "settlement-1-1-1", "variables": people})
    due = WorldTime.parse("1001-06-01T12:00:00Z")
    growth = Followup(type="SETTLEMENT_GROWTH", campaign_id="campaign-1", payload=GROWTH, clock_due=due, interval=HOUR)
    service.submit_followups([growth], actor="test", reason="due")
    for _ in range(2):
        job = hand_back(Job.objects.get())
    sandbox.control("POST", "faults", {"operations": ["structuresBySettlement"], "errorRate": 1})
    failed = run(job)

    assert (failed.state, failed.failures) == (State.RETRYING, 1)
    assert sandbox.world()["settlements"]["settlement-1-1-1"]["variables"] == people
