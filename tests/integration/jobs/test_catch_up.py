"""Catching up with world times: each campaign once, without delaying messages."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone
from redis import Redis

from jobs import catch_up, counters
from jobs.broker import keys
from jobs.catch_up import COMPARED
from jobs.listener import Listener
from jobs.main_api.client import MainApi
from jobs.main_api.model import Campaign
from jobs.models import CampaignClock, Job
from jobs.schedules import clocks
from sandbox.seed import Size
from tests.support.advances import await_first_reading
from tests.support.servers import SandboxApi, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def test_unpublished_world_time_is_polled(redis: Redis, api: MainApi, sandbox: SandboxApi, settings: Any) -> None:
    """With one request for all campaigns; advances that only the poll saw are counted."""
    settings.WORLD_TIME_POLL = timedelta(seconds=0.2)
    sandbox.control("POST", "dialect", {"points": [3, 12]})
    listener = Listener(keys.redis(), api)
    listener.poll()
    await_first_reading(listener)
    Job.objects.all().delete()
    counters.flush()

    sandbox.control("POST", "advance", {"campaignId": "campaign-1", "minutes": 600})
    heard = Job.objects.filter(type="EVENT_EXPIRATION", campaign_id="campaign-1")
    wait_until(lambda: listener.poll() >= 0 and heard.exists(), what="the poll tells")
    listener.close()

    assert [job.subject for job in heard] == ["heard:1001-06-01T22:00:00.000Z"]
    counters.flush()
    assert counters.read(redis)[("listener_polled_advances",)] == 1
    assert sandbox.control("GET", "stats")["operations"]["campaigns"] >= 2


def test_an_unreadable_clock_delays_no_other_campaign(listener: Listener, sandbox: SandboxApi, redis: Redis) -> None:
    """The listener catches up with all the others."""
    for campaign_id, world_time in (("campaign-0", "soon"), ("campaign-1", "1300-01-01T00:00:00.000Z")):
        planted = {"id": campaign_id, "name": "C", "isActive": True, "currentWorldTime": world_time}
        sandbox.control("POST", "campaigns", planted)

    listener.catch_up.begin()
    listener.poll()

    assert CampaignClock.objects.get(campaign_id="campaign-1").processed_world_time == "1300-01-01T00:00:00.000Z"
    assert CampaignClock.objects.get(campaign_id="campaign-0").processed_world_time == ""


@pytest.mark.parametrize(("published", "polls"), [(True, 4), (False, 22)])
def test_polls_are_rare_where_messages_tell(
    redis: Redis,
    api: MainApi,
    sandbox: SandboxApi,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    published: bool,
    polls: int,
) -> None:
    """A clock moves while each poll reads it; the message about that, if there is one, comes after the answer."""
    settings.WORLD_TIME_POLL = timedelta(seconds=5)
    sandbox.control("POST", "dialect", {"points": [] if published else [3, 12]})
    now, read, asked = [1000.0], api.campaigns, list[float]()
    monkeypatch.setattr("jobs.catch_up.time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr("jobs.listener.WINDOW", 0.0)
    listener = Listener(keys.redis(), api)
    await_first_reading(listener)

    def move_meanwhile(*, fresh: bool) -> Any:
        sandbox.control("POST", "advance", {"campaignId": "campaign-1", "minutes": 1})
        asked.append(now[0])
        return read(fresh=fresh)

    monkeypatch.setattr(api, "campaigns", move_meanwhile)
    heard = Job.objects.filter(type="EVENT_EXPIRATION", campaign_id="campaign-1")
    for _ in range(23):  # less than EVERY
        now[0] += 5.0
        listener.catch_up.poll()
        if published:
            wait_until(lambda: listener.poll() >= 0 and heard.count() == len(asked) + 1, what="the messages")
        now[0] += catch_up.MESSAGE_LAG
        listener.catch_up.poll()
    listener.close()

    assert len(asked) == polls
    assert heard.count() == len(asked) + 1


@pytest.mark.parametrize(
    ("reply", "again_s"),
    [({"status": 503, "body": "no"}, catch_up.RETRY_AFTER), ({"body": "[", "times": 9_000_000}, catch_up.EVERY)],
    ids=["away", "too large"],
)
def test_a_list_that_is_too_large_is_read_rarely(
    api: MainApi, sandbox: SandboxApi, monkeypatch: pytest.MonkeyPatch, reply: dict[str, Any], again_s: float
) -> None:
    """The next read fails, too, and the list of so many campaigns costs the main API a second."""
    now, asked = [1000.0], list[float]()
    monkeypatch.setattr("jobs.catch_up.time", SimpleNamespace(monotonic=lambda: now[0]))
    sandbox.control("POST", "faults", {"operations": ["campaigns"], "replies": [reply]})
    api.observers.append(lambda _: asked.append(now[0]))
    clocks_of_all = catch_up.CatchUp(api, lambda _campaign, _time: True)
    while len(asked) < 2:
        clocks_of_all.poll()
        now[0] += 1.0
    api.observers.pop()

    assert asked[1] - asked[0] == again_s


def test_a_campaign_that_has_not_changed_is_written_now_and_then(listener: Listener, sandbox: SandboxApi) -> None:
    """All are read every 3 minutes; when each was seen is noted every 10."""
    fresh, old = timezone.now() - timedelta(minutes=9), timezone.now() - timedelta(minutes=11)
    CampaignClock.objects.update(seen_at=fresh)
    CampaignClock.objects.filter(pk="campaign-2").update(seen_at=old)
    sandbox.control("POST", "campaigns", {"id": "campaign-3", "isActive": True})

    listener.catch_up.begin()
    listener.poll()

    seen = dict(CampaignClock.objects.values_list("pk", "seen_at"))
    assert {one for one, at in seen.items() if at == fresh} == {"campaign-1"}
    assert CampaignClock.objects.get(pk="campaign-3").is_active


def many(sandbox: SandboxApi, **counts: int) -> None:
    """A world of campaigns only."""
    none = {"kingdoms": 0, "settlements": 0, "structures": 0, "events": 0, "effects": 0}
    sandbox.control("POST", "reset", {**none, **counts})


@pytest.fixture
def _as_before(sandbox: SandboxApi) -> Iterator[None]:
    yield
    sandbox.control("POST", "reset", asdict(Size()))


@pytest.mark.usefixtures("_as_before")
def test_messages_are_handled_while_10_000_campaigns_are_compared(
    redis: Redis, sandbox: SandboxApi, api: MainApi
) -> None:
    """COMPARED campaigns per poll, a few jobs per second, and a message between two polls is handled."""
    many(sandbox, campaigns=10_000)
    moved = {"id": "campaign-10000", "currentWorldTime": "1200-01-01T00:10:00Z"}  # compared last
    listener = Listener(keys.redis(), api)
    listener.poll()
    assert CampaignClock.objects.count() == COMPARED
    sandbox.control("POST", "campaigns", moved)
    redis.publish("campaign.campaign-10000.worldTimeAdvanced", json.dumps({"newTime": "1200-01-01T00:10:00Z"}))

    polls = 0
    while CampaignClock.objects.count() < 10_000:
        listener.poll()
        polls += 1
    assert polls <= 10_000 / COMPARED
    heard = Job.objects.filter(campaign_id="campaign-10000")
    assert set(heard.values_list("subject", flat=True)) == {"heard:1200-01-01T00:10:00.000Z"}
    assert heard.count() == 3
    behind = Job.objects.filter(type="EVENT_EXPIRATION").exclude(campaign_id="campaign-10000")
    assert behind.count() <= catch_up.AT_ONCE + 1

    listener.close()


@pytest.mark.usefixtures("_as_before")
def test_every_campaign_that_is_behind_catches_up_once(
    redis: Redis, sandbox: SandboxApi, api: MainApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In several polls; if a later world time arrives by message meanwhile, that one counts."""
    monkeypatch.setattr(catch_up, "COMPARED", 100)
    many(sandbox, campaigns=220)
    listener = Listener(keys.redis(), api)
    listener.poll()
    body = {"newTime": "9000-01-01T00:10:00Z"}
    last = api.campaigns()[-1].id
    sandbox.control("POST", "campaigns", {"id": last, "currentWorldTime": "9000-01-01T00:10:00Z"})
    redis.publish(f"campaign.{last}.worldTimeAdvanced", json.dumps(body))
    monkeypatch.setattr(catch_up, "EACH", 0.001)
    heard, expirations = Job.objects.filter(campaign_id=last), Job.objects.filter(type="EVENT_EXPIRATION")
    wanted = 220 - 2  # no clock, inactive
    wait_until(
        lambda: listener.poll() >= 0 and heard.exists() and expirations.count() >= wanted, what="all are caught up with"
    )
    listener.poll()
    listener.close()

    assert expirations.count() == wanted
    assert [job.subject for job in heard.filter(type="EVENT_EXPIRATION")] == ["heard:9000-01-01T00:10:00.000Z"]


@pytest.mark.parametrize(
    "odd",
    [
        {"id": "x" * 300},
        {"id": "a\0b"},
        {"id": ""},
        {"name": "\0"},
        {"name": "n" * 100_000},
        {"currentWorldTime": "soon"},
        {"currentWorldTime": "+12345-01-01"},
        {"currentWorldTime": ""},
    ],
    ids=lambda odd: f"{next(iter(odd))} {str(next(iter(odd.values())))[:9]!r}",
)
@pytest.mark.usefixtures("_as_before")
def test_an_odd_campaign_delays_no_other(
    listener: Listener, sandbox: SandboxApi, redis: Redis, odd: dict[str, Any]
) -> None:
    """It is first in the list; all others catch up, whatever its fields hold."""
    many(sandbox, campaigns=0)
    plain = {"isActive": True, "currentWorldTime": "1300-01-01T00:00:00.000Z", "name": "C"}
    for campaign in ({"id": "odd", **plain, **odd}, {"id": "plain", **plain}):
        sandbox.control("POST", "campaigns", campaign)

    listener.catch_up.begin()
    listener.poll()

    assert CampaignClock.objects.get(pk="plain").processed_world_time == "1300-01-01T00:00:00.000Z"
    counters.flush()
    counted = ("unusable_texts", "currentWorldTime") in counters.read(redis)
    assert counted is bool(odd.get("currentWorldTime"))


def test_a_clock_missing_from_a_list_is_not_forgotten(listener: Listener, sandbox: SandboxApi) -> None:
    """Only reading the campaign individually proves that it has lost its world time."""
    before = CampaignClock.objects.get(pk="campaign-1").world_time
    sandbox.control("POST", "campaigns", {"id": "campaign-1", "currentWorldTime": None})

    listener.catch_up.begin()
    listener.poll()

    assert before
    assert CampaignClock.objects.get(pk="campaign-1").world_time == before
    clocks.remember(Campaign(id="campaign-1", name="C", is_active=True), clocks.begin_read())
    assert CampaignClock.objects.get(pk="campaign-1").world_time == ""
