"""TRIGGER_EVENT after an attempt that has begun a request, and clearly has not sent it or was refused."""

import json
from collections.abc import Callable

import pytest
from redis import Redis

from jobs import service
from jobs.engine.worker import attempt
from jobs.main_api.client import MainApi
from jobs.models import Job
from jobs.states import State
from sandbox.dialect import DIALECTS
from tests.support.crashes import Killed, kill_at, rescue
from tests.support.effects import claim, run
from tests.support.events import (
    CAMPAIGN,
    EVENT,
    executions,
    is_completed,
    plant_effects,
    set_policy,
    states_of,
    trigger_job,
)
from tests.support.ledger import last_reason
from tests.support.servers import SandboxApi

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("overdue")]
LATER = "1001-07-01T12:00:00.000Z"
RUNS_EFFECTS = ("executeEffect", "completeEvent")


def refuse_once(sandbox: SandboxApi, *operations: str) -> None:
    """Answer the next of these requests with HTTP 429, without carrying it out."""
    faults = {"operations": operations or RUNS_EFFECTS, "rateLimit": {"next": 1, "retryAfterS": 0}}
    sandbox.control("POST", "faults", {**faults, "ignoreKeys": True})


def move(sandbox: SandboxApi, to: str = LATER) -> None:
    sandbox.control("POST", "events", {"id": EVENT, "scheduledAt": to})


def too_many(sandbox: SandboxApi, job: Job, redis: Redis) -> Job:
    """HTTP 429."""
    refuse_once(sandbox)
    job = run(job)
    assert job.state == State.RETRYING
    return job


def refuse(sandbox: SandboxApi, job: Job, redis: Redis) -> Job:
    """Every effect, for good; then HTTP 429."""
    plant_effects(sandbox, "PRE", "POST", fails="it has no target")
    refuse_once(sandbox, "expireEvent")
    job = run(job)
    assert (job.state, states_of(job)) == (State.RETRYING, ["failed", "failed", "planned"])
    plant_effects(sandbox, "PRE", "POST", fails="")
    return job


def kill(sandbox: SandboxApi, job: Job, redis: Redis) -> Job:
    """kill -9 between the record of the step and the request."""
    with kill_at(1, *((MainApi, name) for name in ("execute_effect", "complete_event"))), pytest.raises(Killed):
        attempt.run_handler([claim(job)])
    job = rescue(job, redis)
    assert job.state == State.QUEUED
    return job


def forbid(sandbox: SandboxApi, job: Job, redis: Redis) -> Job:
    """A credential without the role that mutations need, until somebody mends that."""
    sandbox.control("POST", "dialect", {"points": sorted(DIALECTS["today"] - {6} | {10})})
    job = run(job)
    assert job.state == State.DEAD
    sandbox.control("POST", "dialect", {"dialect": "today"})
    return job


def again(job: Job) -> Job:
    """The job's next attempt, now."""
    if job.state == State.DEAD:
        service.retry([job], actor="user:ann", reason="all dead letters")
    if job.state == State.RETRYING:
        service.run_now([job], actor="test", reason="its time has come")
    return run(job)


@pytest.mark.parametrize(
    ("dialect", "end_unsent"),
    [
        ("today", too_many),
        ("today", kill),
        ("today", forbid),
        ("today", refuse),
        ("contract", too_many),
        ("contract", kill),
    ],
)
def test_an_event_that_was_moved_meanwhile_is_left_alone(
    sandbox: SandboxApi, redis: Redis, dialect: str, end_unsent: Callable[[SandboxApi, Job, Redis], Job]
) -> None:
    """It gets a job for its new time. Neither are its effects executed now, nor does it count as completed."""
    sandbox.control("POST", "dialect", {"dialect": dialect})
    plant_effects(sandbox, "PRE", "POST")
    set_policy("trigger", CAMPAIGN)
    job = end_unsent(sandbox, trigger_job(byPolicy=True), redis)
    assert (job.may_have_been_applied, executions(sandbox)) == (False, [])
    move(sandbox)
    job = again(job)

    assert (job.state, job.result, executions(sandbox), is_completed(sandbox)) == (State.SKIPPED, None, [], False)


def test_a_policy_that_was_changed_meanwhile_is_followed(today: SandboxApi, redis: Redis) -> None:
    plant_effects(today, "PRE", "POST")
    set_policy("trigger", CAMPAIGN)
    job = too_many(today, trigger_job(byPolicy=True), redis)
    set_policy("expire", CAMPAIGN)
    job = again(job)

    assert (job.state, executions(today), is_completed(today)) == (State.SKIPPED, [], False)
    assert "the policy for event" in last_reason(job)


def test_an_event_that_others_completed_meanwhile_is_done(today: SandboxApi, redis: Redis) -> None:
    """By the contract, who completes an event runs its effects: nothing is sent, and nothing is lost."""
    plant_effects(today, "PRE", "POST")
    job = too_many(today, trigger_job(), redis)
    today.control("POST", "events", {"id": EVENT, "isCompleted": True})
    job = again(job)

    assert (job.state, executions(today)) == (State.SKIPPED, [])
    assert "is completed" in last_reason(job)


@pytest.mark.parametrize("end_unsent", [too_many, kill, refuse])
def test_another_job_of_the_event_goes_on_after_it_was_cancelled(
    today: SandboxApi, redis: Redis, end_unsent: Callable[[SandboxApi, Job, Redis], Job]
) -> None:
    """There is nothing that the other one could repeat."""
    ids = plant_effects(today, "PRE", "POST")
    job = end_unsent(today, trigger_job(), redis)
    service.cancel([job], actor="user:ann", reason="not now")

    assert run(trigger_job(again=1)).state == State.SUCCEEDED
    assert executions(today) == ids


@pytest.mark.parametrize("dialect", ["today", "contract"])
def test_what_may_have_been_sent_before_stays_so(sandbox: SandboxApi, dialect: str) -> None:
    """An operator sends it again, which is refused: the first request may have been carried out all the same."""
    sandbox.control("POST", "dialect", {"dialect": dialect})
    ids = plant_effects(sandbox, "PRE", "POST")
    unclear = {"errorRate": 1} if dialect == "contract" else {"replies": [{"status": 500, "body": "no"}]}
    sandbox.control("POST", "faults", {"operations": RUNS_EFFECTS, **unclear})
    job = run(trigger_job())
    assert (job.state, states_of(job)[0]) == (State.DEAD, "unknown")
    sandbox.control("DELETE", "faults")
    refuse_once(sandbox)
    job = again(job)
    assert (job.state, states_of(job)[0]) == (State.RETRYING, "unknown")

    sent = executions(sandbox)
    other = run(trigger_job(again=1))
    assert (other.state, f"job {job.pk} triggers event" in other.error) == (State.RETRYING, True)
    service.discard([job], actor="user:ann", reason="nobody knows")
    other = again(other)
    assert (other.state, f"job {job.pk} may have sent effects of event" in other.error) == (State.DEAD, True)
    assert executions(sandbox) == sent == (ids[:1] if dialect == "today" else [])


@pytest.mark.parametrize("answer", ["fails", "inactive"])
def test_what_is_refused_after_an_unclear_answer_may_have_been_carried_out(today: SandboxApi, answer: str) -> None:
    """So an event that is moved then gets no second job that sends it again."""
    ids = plant_effects(today, "PRE")
    replies = {"operations": ["executeEffect"], "replies": [{"status": 500, "body": "no"}], "ignoreKeys": True}
    today.control("POST", "faults", replies)
    job = run(trigger_job())
    assert (job.state, executions(today)) == (State.DEAD, ids)
    plant_effects(today, "PRE", **({"fails": "it has no target"} if answer == "fails" else {"isActive": False}))
    refuse_once(today, "expireEvent")
    job = again(job)
    assert (job.state, states_of(job)) == (State.RETRYING, [{"fails": "failed"}.get(answer, answer), "planned"])

    plant_effects(today, "PRE", fails="", isActive=True)
    service.discard([job], actor="user:ann", reason="nobody knows")
    other = run(trigger_job(again=1))
    assert (other.state, f"job {job.pk} may have sent effects of event" in other.error) == (State.DEAD, True)
    assert executions(today) == ids


def test_refused_effects_that_another_job_has_executed_are_skipped(today: SandboxApi, redis: Redis) -> None:
    """The first job is retried after the second one has triggered the event: nothing is refused any more."""
    ids = plant_effects(today, "PRE", "POST")
    job = refuse(today, trigger_job(), redis)
    service.cancel([job], actor="user:ann", reason="not now")
    other = run(trigger_job(again=1))
    job.refresh_from_db()
    service.retry([job], actor="user:ann", reason="all that was cancelled")
    job = run(job)

    assert (job.state, executions(today)) == (State.SKIPPED, ids)
    assert f"job {other.pk} has triggered event" in last_reason(job)


def test_refused_effects_of_an_event_that_is_not_listed_are_a_dead_letter(today: SandboxApi, redis: Redis) -> None:
    """It was moved, and the main API lists overdue events only by now: it stays open for its new time."""
    plant_effects(today, "PRE", "POST")
    job = refuse(today, trigger_job(), redis)
    move(today)
    today.control("POST", "dialect", {"dialect": "contract"})
    job = again(job)

    assert (job.state, executions(today), is_completed(today)) == (State.DEAD, [], False)
    assert "0 of 2 effects executed of event event-1-2, which is not listed as overdue any more" in job.error


@pytest.mark.parametrize("others", [False, True])
def test_refused_effects_of_a_completed_event_are_a_dead_letter(today: SandboxApi, others: bool) -> None:
    """Completed by a request whose answer was lost, or by others: who triggered it hears that nothing was executed."""
    plant_effects(today, "PRE", "POST", fails="it has no target")
    lost = {"replies": [{"status": 503, "body": "no"}]}
    today.control("POST", "faults", {"operations": ["expireEvent"], **({"errorRate": 1} if others else lost)})
    job = run(trigger_job())
    assert (job.state, is_completed(today)) == (State.RETRYING, not others)
    today.control("DELETE", "faults")
    today.control("POST", "events", {"id": EVENT, "isCompleted": True})
    job = again(job)

    assert (job.state, "0 of 2 effects executed" in job.error) == (State.DEAD, True)


@pytest.mark.parametrize("refused_ones", [1, 2])
def test_what_was_refused_is_sent_by_a_retry_though_the_completion_had_no_answer(
    today: SandboxApi, refused_ones: int
) -> None:
    """The next attempt sees that the event is completed, and remembers it: the retry only sends what has failed."""
    ids = plant_effects(today, "PRE", "POST")
    plant_effects(today, *("PRE", "POST")[:refused_ones], fails="it has no target")
    today.control("POST", "faults", {"operations": ["expireEvent"], "replies": [{"status": 503, "body": "no"}]})
    job = run(trigger_job())
    assert (job.state, is_completed(today), len(executions(today))) == (State.RETRYING, True, 2 - refused_ones)
    job = again(job)
    assert (job.state, states_of(job)[-1]) == (State.DEAD, "done")
    plant_effects(today, "PRE", "POST", fails="")
    job = again(job)

    assert (job.state, sorted(executions(today))) == (State.SUCCEEDED, ids)


def test_an_event_whose_effects_were_executed_is_completed_though_it_is_not_listed(today: SandboxApi) -> None:
    """It was moved, and the main API lists overdue events only by now: that it is not listed says nothing."""
    ids = plant_effects(today, "PRE", "POST")
    refuse_once(today, "expireEvent")
    job = run(trigger_job())
    assert (job.state, states_of(job)) == (State.RETRYING, ["done", "done", "planned"])
    move(today)
    today.control("POST", "dialect", {"dialect": "contract"})

    assert again(job).state == State.SUCCEEDED
    assert (executions(today), is_completed(today)) == (ids, True)


def test_a_completion_that_is_refused_is_a_dead_letter(sandbox: SandboxApi) -> None:
    """By the contract only expireEvent says BAD_REQUEST for what is completed already."""
    sandbox.control("POST", "dialect", {"dialect": "contract"})
    refusal = {
        "message": "the event has unresolved prerequisites",
        "path": ["completeEvent"],
        "extensions": {"code": "BAD_REQUEST"},
    }
    reply = {"body": json.dumps({"data": None, "errors": [refusal]})}
    sandbox.control("POST", "faults", {"operations": ["completeEvent"], "replies": [reply]})
    job = run(trigger_job())

    assert (job.state, job.may_have_been_applied, states_of(job)) == (State.DEAD, False, ["planned"])
    assert "the event has unresolved prerequisites" in job.error
