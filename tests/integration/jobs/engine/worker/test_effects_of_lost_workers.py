"""An effect is executed once, whenever a worker dies, stops or wakes up too late."""

from typing import Any

import pytest
from django.utils import timezone
from redis import Redis

from jobs.engine.scheduler.rescuer import Rescuer
from jobs.engine.worker import attempt
from jobs.errors import OutcomeUnknown, Stopped
from jobs.models import Job
from jobs.states import State
from tests.support.crashes import rescue
from tests.support.effects import claim, effect_job, run
from tests.support.servers import SandboxApi

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_job_of_a_worker_lost_before_sending_runs_again(sandbox: SandboxApi, redis: Redis) -> None:
    """Killed between the claim and the first request: the next worker executes the effect, once."""
    job = effect_job()
    claim(job)
    job = rescue(job, redis)

    assert (job.state, job.may_have_been_applied) == (State.QUEUED, False)
    assert run(job).state == State.SUCCEEDED
    assert len(sandbox.world()["executions"]) == 1


def test_a_worker_lost_while_sending_leaves_an_unknown_outcome(sandbox: SandboxApi, redis: Redis) -> None:
    """The database records that sending begins before it begins."""
    job = effect_job()
    claimed = claim(job)
    attempt.watch_sending(claimed)
    assert claimed.sending is not None
    claimed.sending.begin()
    job = rescue(job, redis)

    assert (job.state, job.may_have_been_applied) == (State.DEAD, True)


def test_a_worker_that_wakes_while_it_is_given_up_leaves_an_unknown_outcome(
    sandbox: SandboxApi, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins to send between the scheduler's check and its verdict: no other worker gets the job."""
    job = effect_job()
    claimed = claim(job)
    attempt.watch_sending(claimed)
    assert claimed.sending is not None
    counts = Rescuer.can_trust_leases

    def wakes(rescuer: Rescuer, now: Any) -> bool:
        attempt.run_handler([claimed])
        return counts(rescuer, now)

    monkeypatch.setattr(Rescuer, "can_trust_leases", wakes)
    job = rescue(job, redis)

    assert (job.state, job.may_have_been_applied) == (State.DEAD, True)
    assert len(sandbox.world()["executions"]) == 1


def test_a_claim_of_an_older_release_leaves_an_unknown_outcome(sandbox: SandboxApi, redis: Redis) -> None:
    """It records no sending, so nobody knows what its lost worker had sent."""
    job = effect_job()
    claim(job)
    Job.objects.filter(pk=job.pk).update(sending_attempt=None)
    job = rescue(job, redis)

    assert (job.state, job.may_have_been_applied) == (State.DEAD, True)


@pytest.mark.parametrize("error", [OutcomeUnknown("too long"), Stopped("stopped by ann"), TypeError("bug")])
def test_success_stands_whatever_ends_the_attempt(sandbox: SandboxApi, error: BaseException) -> None:
    """The main API confirmed it before the job was stopped or timed out."""
    job = effect_job()
    claimed = claim(job)
    attempt.run_handler([claimed])
    attempt.record(
        [attempt.ending_of(claimed, attempt.judge(claimed, error), 1.0, now=timezone.now())], actor="w", worker="w"
    )
    job.refresh_from_db()

    assert (job.state, job.may_have_been_applied) == (State.SUCCEEDED, False)


def test_a_job_that_kills_every_worker_becomes_a_dead_letter(sandbox: SandboxApi, redis: Redis) -> None:
    """Requeues count: it must not kill workers for ever."""
    job = effect_job()
    states = []
    for _ in range(3):
        claim(job)
        job = rescue(job, redis)
        states.append(job.state)

    assert states == [State.QUEUED, State.QUEUED, State.DEAD]
    assert job.may_have_been_applied is False


def test_a_stale_worker_sends_nothing(sandbox: SandboxApi, redis: Redis) -> None:
    """Its job belongs to another attempt: it finds out before it sends, not after."""
    job = effect_job()
    stale = claim(job)
    job = rescue(job, redis)
    run(job)
    (ended,) = attempt.run_handler([stale])

    assert ended.error is not None
    assert len(sandbox.world()["executions"]) == 1
