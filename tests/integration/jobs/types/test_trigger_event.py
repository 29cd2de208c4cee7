"""TRIGGER_EVENT: an event's effects are executed in order, each once, and the event is completed."""

import json
from datetime import timedelta
from typing import Any

import pytest

from jobs import service
from jobs.main_api.client import MainApi
from jobs.states import State
from tests.support.dialects import in_each_dialect
from tests.support.effects import run
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


@in_each_dialect
def test_effects_are_executed_in_order_and_the_event_is_completed(sandbox: SandboxApi) -> None:
    """PRE, ON_RESOLVE, POST; by the contract the main API runs them, today we do."""
    post, pre, late, early = plant_effects(sandbox, "POST", "PRE", "ON_RESOLVE", "ON_RESOLVE")
    sandbox.control("POST", "effects", {"id": late, "entityId": EVENT, "priority": 9})
    job = run(trigger_job())

    assert job.state == State.SUCCEEDED, job.error
    assert executions(sandbox) == [pre, early, late, post]
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
    assert executions(today) == [pre, post, broken]


def test_the_main_apis_own_partial_failure_is_told(sandbox: SandboxApi) -> None:
    """By the contract it names only numbers, and repeats nothing: a retry can only say so again."""
    _, broken = plant_effects(sandbox, "PRE", "POST")
    sandbox.control("POST", "effects", {"id": broken, "entityId": EVENT, "fails": "no such town", "name": "Flood"})
    job = run(trigger_job())

    assert (job.state, job.may_have_been_applied) == (State.DEAD, False)
    assert "1 of 2 effects executed" in job.error
    service.retry([job], actor="user:ann", reason="again")
    assert run(job).state == State.DEAD
    assert len(executions(sandbox)) == 1


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
    assert executions(today) == [first]


@pytest.mark.parametrize("odd", ["a\0b", "\ud83c", "e" * 256])
def test_an_effect_whose_id_cannot_be_recorded_costs_only_itself(today: SandboxApi, odd: str) -> None:
    """It counts as failed, and is named; a retry can only say so again."""
    ids = plant_effects(today, "PRE", "POST")
    today.control("POST", "effects", {"id": odd, "entityId": EVENT, "timing": "PRE", "name": "odd one"})
    job = run(trigger_job())

    assert (job.state, executions(today), is_completed(today)) == (State.DEAD, ids, True)
    assert "2 of 3 effects executed" in job.error
    assert "odd one: its ID is none" in job.error
    service.retry([job], actor="user:ann", reason="again")
    assert run(job).state == State.DEAD
    assert executions(today) == ids


def test_too_many_requests_lose_nothing(today: SandboxApi) -> None:
    """What was not done is sent with the next attempt, and nothing else."""
    plant_effects(today, "PRE", "POST")
    today.control("POST", "faults", {"operations": ["executeEffect"], "rateLimit": {"next": 1, "retryAfterS": 0}})
    job = run(trigger_job())
    assert (job.state, job.may_have_been_applied) == (State.RETRYING, False)
    service.run_now([job], actor="test", reason="its time has come")

    assert run(job).state == State.SUCCEEDED
    assert executions(today) == [f"{EVENT}:0", f"{EVENT}:1"]


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
    assert executions(today) == []


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
    assert executions(sandbox) == []


def test_others_who_complete_it_meanwhile_are_not_repeated(today: SandboxApi) -> None:
    """By the contract, who completes an event runs its effects: what is left is not sent."""
    first, _ = plant_effects(today, "PRE", "POST")
    job = trigger_job()
    executing = MainApi.execute_effect

    def complete_too(*args: Any, **kwargs: Any) -> Any:
        done = executing(*args, **kwargs)
        today.control("POST", "events", {"id": EVENT, "isCompleted": True})
        today.control("POST", "faults", {"operations": ["executeEffect"], "rateLimit": {"next": 1, "retryAfterS": 0}})
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MainApi, "execute_effect", complete_too)
        job = run(job)
    service.run_now([job], actor="test", reason="its time has come")
    job = run(job)

    assert job.state == State.DEAD
    assert "others have completed or removed it" in job.error
    assert "1 of 2 effects executed, 1 not sent" in job.error
    assert executions(today) == [first]


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
    assert executions(today) == []


def test_many_effects_take_several_attempts(today: SandboxApi, settings: Any) -> None:
    """None runs into its time limit, of which nobody would know the end; and none counts as a failure."""
    ids = plant_effects(today, "PRE", "POST")
    settings.JOB_TIMEOUT = timedelta(seconds=3)
    today.control("POST", "faults", {"operations": ["executeEffect"], "latencyMs": 1100})
    job = run(trigger_job())

    assert (job.state, job.failures, executions(today)) == (State.RETRYING, 0, ids[:1])
    today.control("DELETE", "faults")
    service.run_now([job], actor="test", reason="its time has come")
    assert run(job).state == State.SUCCEEDED
    assert executions(today) == ids


def test_an_event_that_was_opened_again_is_triggered_anew(today: SandboxApi) -> None:
    """Its first job is done, and sends nothing any more."""
    plant_effects(today, "PRE")
    today.control("POST", "faults", {"ignoreKeys": True})
    assert run(trigger_job()).state == State.SUCCEEDED
    today.control("POST", "events", {"id": EVENT, "isCompleted": False})

    assert run(trigger_job(again=1)).state == State.SUCCEEDED
    assert len(executions(today)) == 2
