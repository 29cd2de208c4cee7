"""The listener: each message is handled once and in order, whatever it holds."""

import base64
import json
import time
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError, connection
from django.db.models import QuerySet
from redis import Redis

from jobs import listener as listener_module
from jobs.broker import keys
from jobs.listener import Listener
from jobs.main_api import heard
from jobs.main_api.client import MainApi
from jobs.models import CampaignClock, Job, ScheduleRow
from tests.support.servers import SandboxApi, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def plant(sandbox: SandboxApi, campaign_id: str, world_time: str) -> None:
    """Have a campaign with this world time."""
    campaign = {"id": campaign_id, "name": "C", "isActive": True, "currentWorldTime": world_time}
    sandbox.control("POST", "campaigns", campaign)


def publish(redis: Redis, campaign_id: str, world_time: str) -> None:
    """Publish an advance of a campaign as the main API does."""
    body = {"campaignId": campaign_id, "previousTime": None, "newTime": world_time}
    redis.publish(f"campaign.{campaign_id}.worldTimeAdvanced", json.dumps(body))


def expirations(campaign_id: str) -> QuerySet[Job]:
    """One job for each world time that was reacted to, oldest first."""
    return Job.objects.filter(type="EVENT_EXPIRATION", campaign_id=campaign_id).order_by("id")


def test_a_burst_of_advances_makes_a_leading_and_a_trailing_run(
    listener: Listener, sandbox: SandboxApi, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first message is handled at once; those after it fold into one run with the last world time.

    A poll of the clocks in their midst has no run of its own.
    """
    monkeypatch.setattr(listener_module, "WINDOW", 600.0)  # longer than the burst takes anywhere
    for minute in range(10, 20):
        at = f"1200-01-01T00:{minute}:00Z"
        plant(sandbox, "c-9", at)
        hear(listener, redis, "c-9", {"newTime": at}, kind="worldTimeAdvanced")
        if minute % 4 == 0:
            compare_clocks(listener)
    hear(listener, redis, "c-9", "not JSON", kind="worldTimeAdvanced")
    leading = [job.subject for job in expirations("c-9")]

    end_windows(monkeypatch)
    wait_until(lambda: listener.poll() >= 0 and not listener.is_waiting, what="the trailing run")

    assert leading == ["heard:1200-01-01T00:10:00.000Z"]
    assert [job.subject for job in expirations("c-9")] == [*leading, "heard:1200-01-01T00:19:00.000Z"]


def compare_clocks(listener: Listener) -> None:
    """Read every campaign's clock and act on it."""
    listener.catch_up.begin()
    wait_until(lambda: listener.poll() >= 0 and not listener.catch_up.is_running, what="the clocks are compared")


def end_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the time pass that windows last."""
    begin = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: begin() + listener_module.WINDOW)


def test_a_replayed_message_changes_nothing(
    listener: Listener, sandbox: SandboxApi, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts is the world time that the main API has, and that was processed."""
    monkeypatch.setattr(listener_module, "WINDOW", 0.2)
    CampaignClock.objects.create(campaign_id="c-8", world_time="", processed_world_time="1200-01-01T00:30:00.000Z")
    plant(sandbox, "c-8", "1200-01-01T00:30:00Z")
    for world_time in ("1200-01-01T00:30:00Z", "1200-01-01T00:10:00Z", "never"):
        publish(redis, "c-8", world_time)
    hear(listener, redis, "c-8")
    assert not expirations("c-8").exists()

    plant(sandbox, "c-8", "1200-01-01T00:40:00Z")
    publish(redis, "c-8", "1200-01-01T00:40:00Z")
    wait_until(lambda: listener.poll() >= 0 and expirations("c-8").exists(), what="the later world time is processed")

    assert [job.subject for job in expirations("c-8")] == ["heard:1200-01-01T00:40:00.000Z"]
    assert CampaignClock.objects.get(campaign_id="c-8").processed_world_time == "1200-01-01T00:40:00.000Z"


def test_a_forged_message_moves_no_clock(
    listener: Listener, sandbox: SandboxApi, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever can write to Redis may send any; nothing is shown or done but what the main API has."""
    monkeypatch.setattr(listener_module, "WINDOW", 0.2)
    before = CampaignClock.objects.get(campaign_id="campaign-1")
    known = expirations("campaign-1").count()
    for campaign_id in ("campaign-1", "no-such"):
        publish(redis, campaign_id, "9999-12-31T00:00:00Z")
    before_requests = sandbox.control("GET", "stats")["requests"]

    hear(listener, redis, "campaign-1")
    wait_until(lambda: listener.poll() >= 0 and not listener.is_waiting, what="both messages are settled")

    clock = CampaignClock.objects.get(campaign_id="campaign-1")
    assert (clock.world_time, clock.processed_world_time) == (before.world_time, before.processed_world_time)
    assert expirations("campaign-1").count() == known
    assert not CampaignClock.objects.filter(campaign_id="no-such").exists()
    assert not Job.objects.filter(campaign_id="no-such").exists()
    polled = 5  # clocks and calendars, meanwhile
    assert sandbox.control("GET", "stats")["requests"] - before_requests <= listener_module.MOST_LOOKS + polled


def test_a_message_ahead_of_the_main_api_is_looked_into_again(
    listener: Listener, sandbox: SandboxApi, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was sent before its transaction ended."""
    monkeypatch.setattr(listener_module, "WINDOW", 0.2)
    plant(sandbox, "c-9", "1200-01-01T00:00:00Z")
    publish(redis, "c-9", "1200-01-01T00:10:00Z")
    wait_until(lambda: listener.poll() >= 0 and expirations("c-9").exists(), what="the first look")
    plant(sandbox, "c-9", "1200-01-01T00:10:00Z")

    wait_until(lambda: listener.poll() >= 0 and expirations("c-9").count() == 2, what="the second look")

    assert expirations("c-9")[1].subject == "heard:1200-01-01T00:10:00.000Z"


def test_messages_wait_for_the_main_api(
    listener: Listener, sandbox: SandboxApi, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is lost while it does not answer."""
    monkeypatch.setattr(listener_module, "WINDOW", 0.2)
    plant(sandbox, "c-9", "1200-01-01T00:10:00Z")
    sandbox.control("POST", "faults", {"errorRate": 1})
    publish(redis, "c-9", "1200-01-01T00:10:00Z")
    hear(listener, redis, "c-9")
    assert not expirations("c-9").exists()

    sandbox.control("DELETE", "faults")

    wait_until(lambda: listener.poll() >= 0 and expirations("c-9").exists(), what="the message is handled")


def hear(
    listener: Listener, redis: Redis, campaign_id: str, *messages: object, kind: str = "worldTimeAdvanced"
) -> None:
    """Publish messages of a campaign and poll until all are heard and acted on."""
    for message in messages:
        body = message if isinstance(message, str | bytes) else json.dumps(message)
        redis.publish(f"campaign.{campaign_id}.{kind}", body)
    end = f"end-{uuid4().hex}"
    redis.publish(f"campaign.{end}.entityModified", json.dumps({"entityType": "Settlement"}))
    ended = Job.objects.filter(campaign_id=end)
    wait_until(lambda: listener.poll() >= 0 and ended.exists(), what="the last message is acted on")


def test_an_older_message_within_a_burst_hides_no_later_one(
    listener: Listener, sandbox: SandboxApi, redis: Redis
) -> None:
    """Of folded messages the latest world time counts, not the last message."""
    plant(sandbox, "c-9", "1200-01-01T00:40:00Z")
    times = ["1200-01-01T00:10:00Z", "1200-01-01T00:40:00Z", "1200-01-01T00:20:00Z", "no time at all"]

    hear(listener, redis, "c-9", *({"newTime": t} for t in times))
    listener.close()

    assert CampaignClock.objects.get(campaign_id="c-9").processed_world_time == "1200-01-01T00:40:00.000Z"


def test_changes_by_entity_find_their_campaign(redis: Redis, api: MainApi, settings: Any) -> None:
    """By the entity's schedules; our own changes start nothing."""
    claims = base64.urlsafe_b64encode(b'{"sub": "us"}').decode()
    settings.API_SERVICE_ACCOUNT_TOKEN = f"e30.{claims}.c2ln"
    for entity, campaign in (("s-8", "c-8"), ("s-9", "c-9")):
        ScheduleRow.objects.create(
            campaign_id=campaign, entity_type="Settlement", entity_id=entity, interval=timedelta(hours=1)
        )
    listener = Listener(keys.redis(), api)
    listener.poll()
    for entity, by in (("s-8", "us"), ("s-unknown", "player"), ("s-9", "player")):
        changed = {"entityId": entity, "entityType": "settlement", "version": 2, "modifiedBy": by}
        redis.publish(f"entity.modified.{entity}", json.dumps({"entityModified": changed}))

    wait_until(lambda: listener.poll() >= 0 and Job.objects.filter(campaign_id="c-9").exists(), what="s-9 is heard")
    listener.close()
    noted = heard.read(keys.redis())

    assert not Job.objects.filter(campaign_id="c-8").exists()
    assert noted
    assert [at > 0 for at in noted] == [False, False, True]


def test_malformed_messages_are_ignored(listener: Listener, redis: Redis) -> None:
    """No JSON, no object, endless nesting, a megabyte, no time: nothing is submitted, and the next is handled."""
    bad = [
        "",
        "null",
        "[1]",
        b"\xff\xfe",
        "[" * 200_000,
        "{" + "x" * 1_000_000,
        {"newTime": None},
        {"newTime": True},
        {"newTime": "1" * 1_000_000},
        {"newTime": "10000-01-01T00:00:00Z"},
    ]

    hear(listener, redis, "c-9", *bad)

    assert not Job.objects.filter(campaign_id="c-9").exists()
    assert not CampaignClock.objects.filter(campaign_id="c-9").exists()


@pytest.mark.parametrize(
    ("campaign_id", "heard"),
    [
        ("a.b.c", True),
        ("жар-9 ü/'\"|*?[", True),
        ("campaign.x", True),
        ("", False),
        ("x" * 255, True),
        ("x" * 256, False),
        ("a\0b", False),
    ],
)
def test_campaign_ids_in_any_script_are_accepted(
    listener: Listener, sandbox: SandboxApi, redis: Redis, campaign_id: str, heard: bool
) -> None:
    """Dots, blanks and any letters; an ID that fits no column is malformed."""
    plant(sandbox, campaign_id, "1200-01-01T00:10:00Z")
    hear(listener, redis, campaign_id, {"newTime": "1200-01-01T00:10:00Z"})

    jobs = Job.objects.filter(type="EVENT_EXPIRATION", subject__contains="1200-")
    assert (campaign_id in jobs.values_list("campaign_id", flat=True)) is heard


def test_odd_entity_messages_cause_one_recalculation(listener: Listener, redis: Redis) -> None:
    """A megabyte of an ID is cut, and other odd values are shown as they are."""
    ids = ["x" * 1_000_000, "a\0b", "\ud800", None, {"x": 1}]
    messages = [{"entityType": "Settlement", "entityId": i, "operation": "UPDATE"} for i in ids]

    hear(listener, redis, "c-9", *messages, {"entityType": "Dragon"}, {}, kind="entityModified")

    assert Job.objects.filter(campaign_id="c-9").values_list("type").get() == ("RECALCULATE_SETTLEMENT_SCHEDULES",)


def poll_for_ever(listener: Listener) -> None:
    """Until a poll fails, or pytest's own limit of time ends it."""
    while True:
        listener.poll()


def test_unhandled_messages_stay_pending(listener: Listener, sandbox: SandboxApi, redis: Redis) -> None:
    """While the database is away a message is kept; once it is back the message is handled."""
    plant(sandbox, "c-9", "1200-01-01T00:10:00Z")
    away = OperationalError("the database is away")

    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        raise away

    redis.publish("campaign.c-9.worldTimeAdvanced", json.dumps({"newTime": "1200-01-01T00:10:00Z"}))
    with connection.execute_wrapper(refuse), pytest.raises(OperationalError):
        poll_for_ever(listener)
    listener.poll()

    assert CampaignClock.objects.get(campaign_id="c-9").processed_world_time == "1200-01-01T00:10:00.000Z"


def test_folded_messages_are_handled_before_another_listener_leads(
    listener: Listener, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new leader has not received them, and entity changes cannot be caught up with."""
    changed = {"entityType": "Settlement", "entityId": "s-1", "operation": "UPDATE"}
    hear(listener, redis, "c-9", changed, changed, kind="entityModified")
    assert Job.objects.filter(campaign_id="c-9").count() == 1
    hear(listener, redis, "c-9", {**changed, "entityId": "s-2"}, kind="entityModified")
    redis.set(keys.LEASE.format("listener"), "another's")
    monkeypatch.setattr(listener_module, "DURATION", timedelta(0))  # it looks at its lease in each poll

    listener.poll()

    assert Job.objects.filter(campaign_id="c-9").count() == 2


def test_messages_about_an_event_drop_its_cached_effects(listener: Listener, api: MainApi, sandbox: SandboxApi) -> None:
    assert api.effect("effect-1-1") is not None
    sandbox.control("POST", "effects", {"id": "effect-1-1", "entityId": "event-1-1", "isActive": False})

    def is_active() -> bool:
        effect = api.effect("effect-1-1")
        return effect is not None and effect.is_active

    wait_until(lambda: listener.poll() >= 0 and not is_active(), what="the effect is read anew")

    assert api.effect("effect-1-1") is not None


@pytest.mark.parametrize("is_announced", [True, False])
def test_a_new_campaign_is_listed_once_it_is_heard_or_looked_for(
    listener: Listener, api: MainApi, redis: Redis, sandbox: SandboxApi, is_announced: bool
) -> None:
    """The main API of today announces none: what reads the clocks finds it."""
    known = len(api.campaigns())
    sandbox.control("POST", "campaigns", {"id": "c-9", "name": "C", "isActive": True, "currentWorldTime": None})
    assert len(api.campaigns()) == known

    if is_announced:
        hear(
            listener,
            redis,
            "c-9",
            {"entityType": "Event", "entityId": "e-9", "operation": "CREATE"},
            kind="entityModified",
        )
    else:
        compare_clocks(listener)

    assert len(api.campaigns()) == known + 1
