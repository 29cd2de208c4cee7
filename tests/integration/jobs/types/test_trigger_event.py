"""TRIGGER_EVENT: an event's effects are executed in order, each once, and the event is completed."""

import json
from datetime import timedelta
from typing import Any

import pytest

from jobs import service
from jobs.engine.worker import attempt
from jobs.main_api.client import MainApi
from jobs.models import Job
from jobs.states import State
from jobs.triggers import settling
from jobs.triggers.store import DatabaseTriggers
from tests.support.dialects import in_each_dialect
from tests.support.effects import claim, run, unknown_outcome
from tests.support.events import (
    CAMPAIGN,
    EVENT,
    executed,
    is_completed,
    plant_effects,
    set_policy,
    states_of,
    trigger_job,
)
from tests.support.ledger import last_reason
from tests.support.servers import SandboxApi

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def today(sandbox: SandboxApi) -> SandboxApi:
    """The main API as it is served today, which leaves the effects to us."""
    sandbox.control("POST", "dialect", {"dialect": "today"})
    return sandbox


@pytest.fixture(autouse=True)
def _overdue(sandbox: SandboxApi) -> None:
    """So long overdue that the contract lists it, too."""
    sandbox.control("POST", "advance", {"campaignId": CAMPAIGN, "minutes": 10})


@in_each_dialect
def test_effects_are_executed_in_order_and_the_event_is_completed(sandbox: SandboxApi) -> None:
    """PRE, ON_RESOLVE, POST; by the contract the main API runs them, today we do."""
    post, pre, late, early = plant_effects(sandbox, "POST", "PRE", "ON_RESOLVE", "ON_RESOLVE")
    sandbox.control("POST", "effects", {"id": late, "entityId": EVENT, "priority": 9})
    job = run(trigger_job())

    assert job.state == State.SUCCEEDED, job.error
    assert executed(sandbox) == [pre, early, late, post]
    assert is_completed(sandbox)
    assert job.result is not None
    assert "4 of 4 effects executed" in job.result["summary"]


def test_a_failed_effect_stops_no_other_and_can_be_retried(today: SandboxApi) -> None:
    """A dead letter says which failed; the event is completed, and a retry sends only what has failed."""
    pre, broken, post = plant_effects(today, "PRE", "ON_RESOLVE", "POST")
    today.control("POST", "effects", {"id": broken, "entityId": EVENT, "fails": "no such town", "name": "Flood"})
    job = run(trigger_job())

    assert (job.state, job.may_have_been_applied) == (State.DEAD, False)
    assert "2 of 3 effects executed" in job.error
    assert "Failed: Flood: executeEffect: no such town" in job.error
    assert (states_of(job), is_completed(today)) == (["done", "failed", "done", "done"], True)

    today.control("POST", "effects", {"id": broken, "entityId": EVENT, "fails": ""})
    service.retry([job], actor="user:ann", reason="the town is there now")
    assert run(job).state == State.SUCCEEDED
    assert executed(today) == [pre, post, broken]


def test_the_main_apis_own_partial_failure_is_told(sandbox: SandboxApi) -> None:
    """By the contract it names only numbers, and repeats nothing: a retry can only say so again."""
    _, broken = plant_effects(sandbox, "PRE", "POST")
    sandbox.control("POST", "effects", {"id": broken, "entityId": EVENT, "fails": "no such town", "name": "Flood"})
    job = run(trigger_job())

    assert (job.state, job.may_have_been_applied) == (State.DEAD, False)
    assert "1 of 2 effects executed" in job.error
    service.retry([job], actor="user:ann", reason="again")
    assert run(job).state == State.DEAD
    assert len(executed(sandbox)) == 1


def test_an_inactive_effect_is_left_out(today: SandboxApi) -> None:
    """It is no failure, whether the list says so or only the refusal."""
    first, off, gone_off = plant_effects(today, "PRE", "PRE", "POST")
    today.control("POST", "effects", {"id": off, "entityId": EVENT, "isActive": False})
    job = trigger_job()
    listed = MainApi.effects_of_event

    def stale(api: MainApi, event_id: str) -> Any:
        effects = listed(api, event_id)
        today.control("POST", "effects", {"id": gone_off, "entityId": EVENT, "isActive": False})
        return effects

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MainApi, "effects_of_event", stale)
        job = run(job)

    assert job.state == State.SUCCEEDED
    assert job.result is not None
    assert job.result["summary"] == "1 of 1 effects executed, 2 inactive, event completed"
    assert executed(today) == [first]


@pytest.mark.parametrize("odd", ["a\0b", "\ud83c", "e" * 256])
def test_an_effect_whose_id_cannot_be_recorded_costs_only_itself(today: SandboxApi, odd: str) -> None:
    """It counts as failed, and is named; a retry can only say so again."""
    ids = plant_effects(today, "PRE", "POST")
    today.control("POST", "effects", {"id": odd, "entityId": EVENT, "timing": "PRE", "name": "odd one"})
    job = run(trigger_job())

    assert (job.state, executed(today), is_completed(today)) == (State.DEAD, ids, True)
    assert "2 of 3 effects executed" in job.error
    assert "odd one: its ID is none" in job.error
    service.retry([job], actor="user:ann", reason="again")
    assert run(job).state == State.DEAD
    assert executed(today) == ids


def test_an_unclear_answer_stops_at_its_effect(today: SandboxApi) -> None:
    """Nobody knows whether it was executed: nothing more is sent until an operator has decided."""
    plant_effects(today, "PRE", "ON_RESOLVE", "POST")
    replies = {"operations": ["executeEffect"], "replies": [{"status": 500, "body": "no"}]}
    today.control("POST", "faults", replies)
    job = run(trigger_job())

    assert (job.state, job.may_have_been_applied) == (State.DEAD, True)
    assert (states_of(job), is_completed(today)) == (["unknown", "planned", "planned", "planned"], False)
    assert len(executed(today)) == 1
    service.retry([job], actor="user:ann", reason="it was executed; the main API knows the key")
    assert run(job).state == State.SUCCEEDED
    assert len(executed(today)) == 3


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

    assert executed(today) == [f"{EVENT}:0", f"{EVENT}:0", f"{EVENT}:1"]


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

    assert (len(executed(today)), is_completed(today), states_of(job)) == (1, False, ["done", "planned"])


def test_too_many_requests_lose_nothing(today: SandboxApi) -> None:
    """What was not done is sent with the next attempt, and nothing else."""
    plant_effects(today, "PRE", "POST")
    today.control("POST", "faults", {"operations": ["executeEffect"], "rateLimit": {"next": 1, "retryAfterS": 0}})
    job = run(trigger_job())
    assert (job.state, job.may_have_been_applied) == (State.RETRYING, False)
    service.run_now([job], actor="test", reason="its time has come")

    assert run(job).state == State.SUCCEEDED
    assert executed(today) == [f"{EVENT}:0", f"{EVENT}:1"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"isCompleted": True}, "is completed"),
        ({"scheduledAt": "1001-06-01T12:10:00.000Z"}, "was moved to 1001-06-01T12:10:00.000Z"),
        ({"scheduledAt": None}, "is no longer scheduled"),
    ],
)
def test_an_event_that_need_not_be_triggered_is_skipped(today: SandboxApi, change: dict[str, Any], why: str) -> None:
    """It is judged by where it stands now."""
    plant_effects(today, "PRE")
    job = trigger_job()
    today.control("POST", "events", {"id": EVENT, **change})
    job = run(job)

    assert job.state == State.SKIPPED
    assert why in last_reason(job)
    assert executed(today) == []


def test_an_event_that_was_moved_earlier_is_triggered(today: SandboxApi) -> None:
    """By a job for its new time; one that a person has submitted triggers it at once."""
    plant_effects(today, "PRE")
    set_policy("trigger", CAMPAIGN)
    by_policy, by_hand = trigger_job(byPolicy=True), trigger_job(again=1)
    today.control("POST", "events", {"id": EVENT, "scheduledAt": "1001-06-01T11:00:00.000Z"})

    assert run(by_policy).state == State.SKIPPED
    assert run(by_hand).state == State.SUCCEEDED


@in_each_dialect
def test_an_event_that_is_gone_is_skipped(sandbox: SandboxApi) -> None:
    """One that is not there, and one of another campaign."""
    assert run(trigger_job("no-such")).state == State.SKIPPED
    assert run(trigger_job("event-2-1")).state in (State.SKIPPED, State.DEAD)
    assert executed(sandbox) == []


def test_others_who_complete_it_meanwhile_are_not_repeated(today: SandboxApi) -> None:
    """By the contract, who completes an event runs its effects: what is left is not sent."""
    plant_effects(today, "PRE", "POST")
    today.control("POST", "faults", {"operations": ["executeEffect"], "rateLimit": {"next": 1, "retryAfterS": 0}})
    job = run(trigger_job())
    today.control("POST", "events", {"id": EVENT, "isCompleted": True})
    service.run_now([job], actor="test", reason="its time has come")
    job = run(job)

    assert job.state == State.DEAD
    assert "0 of 2 effects executed, 2 not sent" in job.error
    assert executed(today) == []


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
    assert len(executed(sandbox)) == 2


@pytest.mark.parametrize("reply", [{"status": 503, "body": "no"}, {"body": "<html>"}, {"status": 500, "body": ""}])
def test_a_lost_answer_to_what_runs_no_effect_asks_nobody(today: SandboxApi, reply: dict[str, Any]) -> None:
    """The effects are done, and the completion is sent again: nothing of it can happen twice."""
    plant_effects(today, "PRE")
    today.control("POST", "faults", {"operations": ["expireEvent"], "replies": [reply]})
    job = run(trigger_job())
    assert (job.state, job.may_have_been_applied) == (State.RETRYING, False)

    service.run_now([job], actor="test", reason="at once")

    assert run(job).state == State.SUCCEEDED
    assert (len(executed(today)), is_completed(today)) == (1, True)


ODD_EFFECT = {
    "id": "event-1-9:0",
    "name": "Fire",
    "effectType": "patch",
    "entityType": "EVENT",
    "entityId": "event-1-9",
    "timing": "PRE",
    "priority": 1,
    "isActive": True,
    "version": 1,
}


def test_effects_of_another_event_are_not_executed(today: SandboxApi) -> None:
    """A list that does not fit the question costs an attempt, not an effect."""
    body = json.dumps({"data": {f"a{n}": [ODD_EFFECT] for n in range(3)}})
    today.control("POST", "faults", {"operations": ["getEffectsForEntity"], "replies": [{"body": body}]})
    job = run(trigger_job())

    assert job.state == State.RETRYING
    assert "hangs on 'event-1-9'" in job.error
    assert executed(today) == []


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
    assert len(executed(sandbox)) == 1


@pytest.mark.parametrize("points", [[5], [14], [7, 16]])
def test_no_point_makes_effects_run_twice(sandbox: SandboxApi, points: list[int]) -> None:
    """Where effects are listed, completeEvent may run them all the same: the event is completed without it."""
    sandbox.control("POST", "dialect", {"points": points})
    ids = plant_effects(sandbox, "PRE", "POST")

    assert run(trigger_job()).state == State.SUCCEEDED
    assert (executed(sandbox), is_completed(sandbox)) == (ids, True)
    assert "completeEvent" not in sandbox.control("GET", "stats")["operations"]


def test_many_effects_take_several_attempts(today: SandboxApi, settings: Any) -> None:
    """None runs into its time limit, of which nobody would know the end; and none counts as a failure."""
    ids = plant_effects(today, "PRE", "POST")
    settings.JOB_TIMEOUT = timedelta(seconds=3)
    today.control("POST", "faults", {"operations": ["executeEffect"], "latencyMs": 1100})
    job = run(trigger_job())

    assert (job.state, job.failures, executed(today)) == (State.RETRYING, 0, ids[:1])
    today.control("DELETE", "faults")
    service.run_now([job], actor="test", reason="its time has come")
    assert run(job).state == State.SUCCEEDED
    assert executed(today) == ids


def unanswered(sandbox: SandboxApi) -> Job:
    """A dead letter that has sent the first of two effects, without an answer; keys are ignored from now on."""
    plant_effects(sandbox, "PRE", "POST")
    replies = {"operations": ["executeEffect"], "replies": [{"status": 500, "body": "no"}], "ignoreKeys": True}
    sandbox.control("POST", "faults", replies)
    job = run(trigger_job(byPolicy=True))
    assert (job.state, executed(sandbox)) == (State.DEAD, [f"{EVENT}:0"])
    return job


@pytest.mark.parametrize("to", ["11:00", "12:05", "12:00"])
def test_an_event_that_is_moved_after_an_effect_was_sent(today: SandboxApi, to: str) -> None:
    """Its new job sends nothing, and names the one that has: an operator decides there. So after it was moved back."""
    set_policy("trigger", CAMPAIGN)
    sender, at = unanswered(today), f"1001-06-01T{to}:00.000Z"
    today.control("POST", "events", {"id": EVENT, "scheduledAt": at})
    job = run(trigger_job(at=at, byPolicy=True, again=1))

    assert (job.state, job.may_have_been_applied) == (State.DEAD, False)
    assert f"job {sender.pk} has sent effects of event" in job.error
    assert executed(today) == [f"{EVENT}:0"]
    settling.settle(sender.pk, actor="user:ann")
    service.retry([job], actor="user:ann", reason="the other one goes on")
    job = run(job)
    assert (job.state, job.failures, f"job {sender.pk} triggers event" in job.error) == (State.RETRYING, 0, True)
    assert run(sender).state == State.SUCCEEDED
    service.run_now([job], actor="test", reason="its time has come")
    assert run(job).state == State.SKIPPED
    assert executed(today) == [f"{EVENT}:0", f"{EVENT}:1"]


def test_an_event_that_was_opened_again_is_triggered_anew(today: SandboxApi) -> None:
    """Its first job is done, and sends nothing any more."""
    plant_effects(today, "PRE")
    today.control("POST", "faults", {"ignoreKeys": True})
    assert run(trigger_job()).state == State.SUCCEEDED
    today.control("POST", "events", {"id": EVENT, "isCompleted": False})

    assert run(trigger_job(again=1)).state == State.SUCCEEDED
    assert len(executed(today)) == 2
