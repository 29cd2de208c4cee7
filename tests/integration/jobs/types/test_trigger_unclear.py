"""TRIGGER_EVENT after unclear or lost answers: nothing is done twice, and where nobody knows, an operator decides."""

from typing import Any

import pytest

from jobs import service
from jobs.engine.worker import attempt
from jobs.models import Job
from jobs.states import State
from jobs.triggers import settling
from jobs.triggers.store import DatabaseTriggers
from tests.support.effects import claim, run, unknown_outcome
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
from tests.support.servers import SandboxApi

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("overdue")]


def test_an_unclear_answer_stops_at_its_effect(today: SandboxApi) -> None:
    """Nobody knows whether it was executed: nothing more is sent until an operator has decided."""
    plant_effects(today, "PRE", "ON_RESOLVE", "POST")
    replies = {"operations": ["executeEffect"], "replies": [{"status": 500, "body": "no"}]}
    today.control("POST", "faults", replies)
    job = run(trigger_job())

    assert (job.state, job.may_have_been_applied) == (State.DEAD, True)
    assert (states_of(job), is_completed(today)) == (["unknown", "planned", "planned", "planned"], False)
    assert len(executions(today)) == 1
    service.retry([job], actor="user:ann", reason="it was executed; the main API knows the key")
    assert run(job).state == State.SUCCEEDED
    assert len(executions(today)) == 3


def test_an_unclear_answer_is_sent_again_where_that_is_allowed(today: SandboxApi, settings: Any) -> None:
    """EFFECT_UNKNOWN_OUTCOME=retry: only the effect in question."""
    plant_effects(today, "PRE", "POST")
    replies = {"operations": ["executeEffect"], "replies": [{"status": 500, "body": "no"}], "ignoreKeys": True}
    today.control("POST", "faults", replies)
    with unknown_outcome(settings, "retry"):
        job = run(trigger_job())
        assert (job.state, job.may_have_been_applied) == (State.RETRYING, True)
        service.run_now([job], actor="test", reason="its time has come")
        assert run(job).state == State.SUCCEEDED

    assert executions(today) == [f"{EVENT}:0", f"{EVENT}:0", f"{EVENT}:1"]


def test_a_job_that_is_stopped_after_its_last_effect_does_not_complete_the_event(today: SandboxApi) -> None:
    """What it has sent is answered, and it sends nothing more."""
    plant_effects(today, "PRE")
    job = trigger_job()
    claimed = claim(job)
    ended = DatabaseTriggers.end

    def stop(*values: Any) -> None:
        ended(*values)
        assert claimed.sending is not None
        claimed.sending.close()
        assert claimed.sending.forbid()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DatabaseTriggers, "end", stop)
        attempt.record(attempt.run_handler([claimed]), actor="worker:w", worker="w")

    assert (len(executions(today)), is_completed(today), states_of(job)) == (1, False, ["done", "planned"])


def test_an_answer_that_is_lost_while_it_is_completed(sandbox: SandboxApi) -> None:
    """By the contract: the event is read back, and is completed; its effects are executed once."""
    sandbox.control("POST", "dialect", {"dialect": "contract"})
    plant_effects(sandbox, "PRE", "POST")
    replies = {"operations": ["completeEvent"], "replies": [{"status": 500, "body": "no"}]}
    sandbox.control("POST", "faults", replies)
    job = run(trigger_job())

    assert job.state == State.SUCCEEDED
    assert job.result is not None
    assert job.result["summary"] == "the event is completed; how many effects ran is unknown"
    assert len(executions(sandbox)) == 2


@pytest.mark.parametrize("reply", [{"status": 503, "body": "no"}, {"body": "<html>"}, {"status": 500, "body": ""}])
def test_a_lost_answer_to_what_runs_no_effect_asks_nobody(today: SandboxApi, reply: dict[str, Any]) -> None:
    """The effects are done, and the completion is sent again: nothing of it can happen twice."""
    plant_effects(today, "PRE")
    today.control("POST", "faults", {"operations": ["expireEvent"], "replies": [reply]})
    job = run(trigger_job())
    assert (job.state, job.may_have_been_applied) == (State.RETRYING, False)

    service.run_now([job], actor="test", reason="at once")

    assert run(job).state == State.SUCCEEDED
    assert (len(executions(today)), is_completed(today)) == (1, True)


def test_a_completion_that_was_not_carried_out_is_of_unknown_outcome(sandbox: SandboxApi) -> None:
    """By the contract: it is not sent again by itself, as the main API may still be at it."""
    sandbox.control("POST", "dialect", {"dialect": "contract"})
    plant_effects(sandbox, "PRE")
    sandbox.control("POST", "faults", {"operations": ["completeEvent"], "errorRate": 1})
    job = run(trigger_job())

    assert (job.state, job.may_have_been_applied, states_of(job)) == (State.DEAD, True, ["unknown"])
    sandbox.control("DELETE", "faults")
    service.retry([job], actor="user:ann", reason="the event is open")
    assert run(job).state == State.SUCCEEDED
    assert len(executions(sandbox)) == 1


@pytest.mark.parametrize("points", [[5], [14], [7, 16]])
def test_no_point_makes_effects_run_twice(sandbox: SandboxApi, points: list[int]) -> None:
    """Where effects are listed, completeEvent may run them all the same: the event is completed without it."""
    sandbox.control("POST", "dialect", {"points": points})
    ids = plant_effects(sandbox, "PRE", "POST")

    assert run(trigger_job()).state == State.SUCCEEDED
    assert (executions(sandbox), is_completed(sandbox)) == (ids, True)
    assert "completeEvent" not in sandbox.control("GET", "stats")["operations"]


def leave_unanswered(sandbox: SandboxApi) -> Job:
    """A dead letter that has sent the first of two effects, without an answer; keys are ignored from now on."""
    plant_effects(sandbox, "PRE", "POST")
    replies = {"operations": ["executeEffect"], "replies": [{"status": 500, "body": "no"}], "ignoreKeys": True}
    sandbox.control("POST", "faults", replies)
    job = run(trigger_job(byPolicy=True))
    assert (job.state, executions(sandbox)) == (State.DEAD, [f"{EVENT}:0"])
    return job


@pytest.mark.parametrize("to", ["11:00", "12:05", "12:00"])
def test_an_event_that_is_moved_after_an_effect_was_sent(today: SandboxApi, to: str) -> None:
    """Its new job sends nothing, and names the one that has: an operator decides there. So after it was moved back."""
    set_policy("trigger", CAMPAIGN)
    sender, at = leave_unanswered(today), f"1001-06-01T{to}:00.000Z"
    today.control("POST", "events", {"id": EVENT, "scheduledAt": at})
    job = run(trigger_job(at=at, byPolicy=True, again=1))

    assert (job.state, job.may_have_been_applied) == (State.DEAD, False)
    assert f"job {sender.pk} may have sent effects of event" in job.error
    assert executions(today) == [f"{EVENT}:0"]
    settling.settle(sender.pk, actor="user:ann")
    service.retry([job], actor="user:ann", reason="the other one goes on")
    job = run(job)
    assert (job.state, job.failures, f"job {sender.pk} triggers event" in job.error) == (State.RETRYING, 0, True)
    assert run(sender).state == State.SUCCEEDED
    service.run_now([job], actor="test", reason="its time has come")
    assert run(job).state == State.SKIPPED
    assert executions(today) == [f"{EVENT}:0", f"{EVENT}:1"]
