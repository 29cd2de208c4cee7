"""Events whose time comes get their jobs: when schedules are recalculated, and in place of expiring."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from redis import Redis

from jobs import service
from jobs.main_api.client import MainApi, main_api
from jobs.models import Job
from jobs.schedules.forecast import EVENT_ASKED, EVENT_TRIGGERED, Forecast
from jobs.schedules.forecast_json import what_if_as_json
from jobs.schedules.towns import read_world
from jobs.schedules.what_if import what_if
from jobs.service import Submission
from jobs.states import State
from jobs.triggers import looking
from jobs.world.clock import WorldTime
from tests.support.advancing import recalculate
from tests.support.dialects import in_each_dialect
from tests.support.effects import run
from tests.support.events import CAMPAIGN, EVENT, executions, is_completed, plant_effects, set_policy
from tests.support.servers import SandboxApi

pytestmark = pytest.mark.django_db(transaction=True)
FIRST = "event-1-1"  #: half an hour before the clock: overdue
READS = ("eventsByCampaign", "event", "getEffectsForEntity", "completeEvent")


def counts(sandbox: SandboxApi) -> dict[str, int]:
    found: dict[str, int] = sandbox.control("GET", "stats")["operations"]
    return found


def expire(redis: Redis, campaign_id: str = CAMPAIGN) -> Job:
    """Let one EVENT_EXPIRATION run."""
    submission = Submission(
        type="EVENT_EXPIRATION", campaign_id=campaign_id, payload={}, subject=f"{Job.objects.count()}"
    )
    return run(service.submit(submission, actor="test")[0])


def trigger_jobs() -> dict[str, tuple[str, str]]:
    """State and world time of each event's job."""
    rows = Job.objects.filter(type="TRIGGER_EVENT").values_list("subject", "state", "clock_due")
    return {subject: (state, clock_due) for subject, state, clock_due in rows}


@in_each_dialect
def test_without_a_policy_events_expire_and_nothing_more_is_asked(sandbox: SandboxApi, redis: Redis) -> None:
    """As before there were policies; one that says expire costs nothing either."""
    set_policy("expire", CAMPAIGN)
    recalculate(redis)
    expire(redis)

    assert is_completed(sandbox, FIRST)
    assert not trigger_jobs()
    assert not set(READS) & set(counts(sandbox))


def test_world_time_stops_at_each_event_that_is_triggered(sandbox: SandboxApi, redis: Redis) -> None:
    """Also at those to come, in order, before anything is applied past them."""
    sandbox.control("POST", "dialect", {"dialect": "today"})
    sandbox.control("POST", "events", {"id": "event-1-3", "eventType": "party"})
    set_policy("trigger", CAMPAIGN, "story")
    recalculate(redis, "RECALCULATE_STRUCTURE_SCHEDULES")

    found = trigger_jobs()
    assert sorted(found) == [FIRST, EVENT, "event-1-4"]
    assert found["event-1-4"] == (State.SCHEDULED, "1001-06-01T13:00:00.000Z")
    recalculate(redis)
    assert Job.objects.filter(type="TRIGGER_EVENT").count() == 3


@pytest.mark.parametrize("at_once", [1, 2])
def test_due_events_with_dead_letters_keep_no_other_from_its_job(
    sandbox: SandboxApi, redis: Redis, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Each look is for those that have none yet."""
    monkeypatch.setattr(looking, "MOST_DUE", at_once)
    due = [f"party-{number}" for number in range(5)]
    for number, event_id in enumerate(due):
        at = f"1001-06-01T11:0{number}:00Z"
        sandbox.control("POST", "events", {"id": event_id, "campaignId": CAMPAIGN, "scheduledAt": at})
    set_policy("trigger", CAMPAIGN)
    for _ in due:
        recalculate(redis)
        Job.objects.filter(type="TRIGGER_EVENT").update(state=State.DEAD)

    assert set(due) <= set(trigger_jobs())


@in_each_dialect
@pytest.mark.parametrize("campaign_id", [CAMPAIGN, ""])
def test_an_event_that_is_triggered_does_not_expire(sandbox: SandboxApi, redis: Redis, campaign_id: str) -> None:
    """It gets its job, also where the main API lists overdue events only; others expire."""
    sandbox.control(
        "POST",
        "events",
        {"id": "event-1-0", "campaignId": CAMPAIGN, "eventType": "party", "scheduledAt": "1001-06-01T11:00:00.000Z"},
    )
    set_policy("trigger", "", "story")
    expire(redis, campaign_id)

    assert (is_completed(sandbox, "event-1-0"), is_completed(sandbox, FIRST)) == (True, False)
    assert list(trigger_jobs()) == [FIRST]


def test_an_event_whose_job_is_cancelled_expires(sandbox: SandboxApi, redis: Redis) -> None:
    """Somebody has decided that it is not triggered."""
    set_policy("trigger", CAMPAIGN)
    expire(redis)
    service.cancel(Job.objects.filter(type="TRIGGER_EVENT"), actor="user:ann", reason="not this one")
    expire(redis)

    assert is_completed(sandbox, FIRST)
    assert executions(sandbox) == []


def test_an_event_that_was_moved_away_and_back_gets_another_job(sandbox: SandboxApi, redis: Redis) -> None:
    """The first one is skipped, and says where the event is now."""
    sandbox.control("POST", "dialect", {"dialect": "today"})
    plant_effects(sandbox, "PRE", event_id="event-1-4")
    set_policy("trigger", CAMPAIGN)
    here, there = "1001-06-01T13:00:00.000Z", "1001-06-01T19:00:00.000Z"
    move(sandbox, redis, here)
    run_first("event-1-4", sandbox, there)
    move(sandbox, redis, here)
    job = Job.objects.get(type="TRIGGER_EVENT", subject="event-1-4:1")
    service.run_now([job], actor="test", reason="its time has come")

    assert run(job).state == State.SUCCEEDED
    assert "event-1-4:0" in executions(sandbox)


@in_each_dialect
def test_an_event_that_is_opened_again_gets_another_job(sandbox: SandboxApi, redis: Redis) -> None:
    """Not at once: a list that was read just before it was completed shows it as open, too."""
    event = {"id": "fair", "campaignId": CAMPAIGN, "eventType": "party", "scheduledAt": "1001-06-01T11:00:00.000Z"}
    sandbox.control("POST", "events", event)
    ids = plant_effects(sandbox, "PRE", event_id="fair")
    set_policy("trigger", CAMPAIGN, "party")
    expire(redis)
    for times in (1, 2, 3):
        job = Job.objects.get(type="TRIGGER_EVENT", state=State.SCHEDULED)
        service.run_now([job], actor="test", reason="its time has come")
        assert run(job).state == State.SUCCEEDED
        assert (executions(sandbox), is_completed(sandbox, "fair")) == (ids * times, True)
        sandbox.control("POST", "events", {"id": "fair", "isCompleted": False})
        expire(redis)
        assert (len(trigger_jobs()), is_completed(sandbox, "fair")) == (times, False)
        Job.objects.filter(pk=job.pk).update(finished_at=timezone.now() - timedelta(minutes=2))
        expire(redis)

    assert sorted(trigger_jobs()) == ["fair", "fair:1", "fair:2", "fair:3"]


def test_an_event_that_is_listed_and_cannot_be_read_makes_no_job_after_job(
    sandbox: SandboxApi, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each job finds it gone; the next one comes after twice the pause."""
    sandbox.control("POST", "dialect", {"dialect": "today"})
    set_policy("trigger", CAMPAIGN)
    monkeypatch.setattr(MainApi, "event", lambda api, event_id: None)
    for _ in range(6):
        move(sandbox, redis, "1001-06-01T11:00:00.000Z")
        waiting = Job.objects.filter(type="TRIGGER_EVENT").exclude(state=State.SKIPPED)
        service.run_now(list(waiting), actor="test", reason="its time has come")
        for job in waiting:
            run(job)

    assert Job.objects.filter(type="TRIGGER_EVENT", subject__startswith="event-1-4").count() <= 4


def move(sandbox: SandboxApi, redis: Redis, to: str) -> None:
    sandbox.control("POST", "events", {"id": "event-1-4", "scheduledAt": to})
    recalculate(redis, "RECALCULATE_STRUCTURE_SCHEDULES")


def run_first(event_id: str, sandbox: SandboxApi, to: str) -> None:
    """Run the event's first job, which finds it moved away."""
    sandbox.control("POST", "events", {"id": event_id, "scheduledAt": to})
    job = Job.objects.get(type="TRIGGER_EVENT", subject=event_id)
    service.run_now([job], actor="test", reason="its time has come")
    assert run(job).state == State.SKIPPED


def test_a_policy_that_has_changed_is_followed(sandbox: SandboxApi, redis: Redis) -> None:
    """A job that the policy of before has brought leaves the event to EVENT_EXPIRATION."""
    set_policy("trigger", CAMPAIGN)
    expire(redis)
    set_policy("expire", CAMPAIGN)
    job = Job.objects.get(type="TRIGGER_EVENT")
    service.run_now([job], actor="test", reason="its time has come")

    assert run(job).state == State.SKIPPED
    expire(redis)
    assert is_completed(sandbox, FIRST)


def test_events_that_can_never_be_read_hold_up_nothing(sandbox: SandboxApi, redis: Redis) -> None:
    """Settlements and structures get their schedules."""
    sandbox.control("POST", "dialect", {"dialect": "today"})
    set_policy("trigger", CAMPAIGN)
    refusal: dict[str, Any] = {"body": '{"data":null,"errors":[{"message":"no","extensions":{"code":"BAD_REQUEST"}}]}'}
    sandbox.control("POST", "faults", {"operations": ["eventsByCampaign"], "replies": [refusal] * 9})
    recalculate(redis)

    assert not Job.objects.filter(state=State.DEAD).exists()
    assert not trigger_jobs()


ODD_IDS = ("a\0b", "\ud83c", "e" * 300)
ODD_CAMPAIGNS = ("", "campaign-2", "a\0b", "\ud83c", "c" * 300)


@pytest.mark.parametrize("dialect", ["contract", "today"])
def test_odd_events_cost_only_themselves(sandbox: SandboxApi, redis: Redis, dialect: str) -> None:
    """One that says it belongs to another campaign is left alone; one whose ID no job can have expires."""
    sandbox.control("POST", "dialect", {"dialect": dialect})
    early = "1001-06-01T11:00:00.000Z"
    for event_id in (*ODD_IDS, *(f"of {number}" for number, _ in enumerate(ODD_CAMPAIGNS))):
        sandbox.control("POST", "events", {"id": event_id, "campaignId": CAMPAIGN, "scheduledAt": early})
    for number, campaign_id in enumerate(ODD_CAMPAIGNS):
        sandbox.control("POST", "events", {"id": f"of {number}", "campaignId": campaign_id})
    set_policy("trigger", "", "story")
    recalculate(redis)
    expire(redis)
    expire(redis, "")

    assert FIRST in trigger_jobs()
    assert not set(trigger_jobs()) & {f"of {number}" for number, _ in enumerate(ODD_CAMPAIGNS)}
    assert not Job.objects.filter(state__in=[State.DEAD, State.RETRYING]).exists()
    assert [is_completed(sandbox, event_id) for event_id in ODD_IDS] == [True] * len(ODD_IDS)


def test_a_forecast_tells_expiring_events_from_those_with_a_job(sandbox: SandboxApi, redis: Redis) -> None:
    """An event is listed once: as it expires, as it is triggered, or as the job that triggers it."""
    sandbox.control("POST", "dialect", {"dialect": "contract"})  # which lists the overdue one only
    assert FIRST in {event.id for event in read_world(main_api(), CAMPAIGN).events}
    for action, name in (("ask", EVENT_ASKED), ("trigger", EVENT_TRIGGERED)):
        set_policy(action, CAMPAIGN)
        world = read_world(main_api(), CAMPAIGN)
        lines = [line for line in Forecast(world, 1).lines() if line.entity_id == FIRST]
        found = what_if(world, WorldTime.parse("1001-06-02T12:00:00.000Z"))
        assert [(line.event, line.at.isoformat()) for line in lines] == [(name, "1001-06-01T11:30:00.000Z")]
        assert Forecast(world, 1).periods()[0].counts[name] == found.totals[name] == len(found.coming) == 1
        assert what_if_as_json(found, [], "")["triggeredEvents"][0]["id"] == FIRST
    expire(redis)
    world = read_world(main_api(), CAMPAIGN)

    assert (world.events, world.coming) == ([], [])
    assert [due.job.subject for due in world.jobs] == [FIRST]
