"""The main API's limits: the page that sets them, and what pages say of requests that wait."""

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final

import pytest
from django.test import Client
from django.utils import timezone
from redis import Redis

from jobs import main_api_limits, pauses
from jobs.engine.scheduler.reconciler import Reconciler
from jobs.engine.worker import attempt
from jobs.errors import InvalidLimit
from jobs.main_api import limits as published
from jobs.main_api import traffic
from jobs.main_api.budget import Budget
from jobs.main_api.limits import Limits
from jobs.models import CampaignClock, Job, MainApiLimits, OperatorAction
from jobs.states import State
from ops.reads import campaign_blockers
from ops.reads.blockers import find_blockers
from tests.support.people import member
from tests.support.servers import wait_until
from tests.support.working import submit

pytestmark = pytest.mark.django_db(transaction=True)
PAGE: Final = "/admin/jobs/pause/limits/"


@pytest.fixture
def administrator(client: Client, redis: Redis) -> Client:
    return member(client, "Administrator", name="ann")


def text_of(client: Client) -> str:
    answer = client.get(PAGE)
    assert answer.status_code == 200
    return answer.content.decode()


def test_limits_are_set_live_and_audited(administrator: Client, redis: Redis) -> None:
    """A process that runs knows them within a second; the database keeps them for a Redis that loses its data."""
    process = Budget(redis, timeout=timedelta(seconds=1))
    assert process.limits() == Limits()
    administrator.post(PAGE, {"in_flight": "10", "per_second": "", "reason": "their server is small"})

    wait_until(lambda: process.limits() == Limits(10, None), within_s=10)
    assert "10 requests in flight" in text_of(administrator)
    assert "their server is small" in text_of(administrator)
    redis.flushall()
    assert process.limits() == Limits(10, None)  # the last known ones
    Reconciler(redis).poll()
    assert published.read(redis) == Limits(10, None)
    administrator.post(PAGE, {"in_flight": "", "per_second": "", "reason": "a larger one"})
    assert published.read(redis) == Limits()
    action = OperatorAction.objects.latest("id")
    assert (action.actor, action.verb, action.target) == ("user:ann", "limited", "main API")
    assert (action.reason, action.changes, action.link) == ("a larger one", {"in_flight": [10, None]}, PAGE)


def test_back_to_no_limit_and_back_again(administrator: Client, redis: Redis) -> None:
    """Whatever stands in the form's fields; Undo sets the former limits again."""
    administrator.post(PAGE, {"in_flight": "10", "per_second": "20"}, follow=True)
    page = administrator.post(PAGE, {"in_flight": "10", "per_second": "20", "reset": "1"}, follow=True)
    assert published.read(redis) == Limits()
    undo = re.search(r'action="([^"]+/undo/)"', page.content.decode())
    assert undo

    administrator.post(undo[1])

    assert published.read(redis) == Limits(10, 20)


@pytest.mark.parametrize("field", Limits._fields)
@pytest.mark.parametrize(("value", "fault"), [("0", "pause queues"), ("-1", "from 1 to"), ("x", "whole number")])
def test_a_limit_that_cannot_be_is_refused_under_its_field(
    administrator: Client, field: str, value: str, fault: str
) -> None:
    """Nothing is stored; 0 names what stops everything."""
    answer = administrator.post(PAGE, {field: value}).content.decode()

    assert fault in answer
    assert answer.index(f'name="{field}"') < answer.index(fault)
    assert not MainApiLimits.objects.exists()


def test_a_program_is_told_the_field(db: None) -> None:
    with pytest.raises(InvalidLimit, match="per_second: must be a whole number from 1 to 100,000") as caught:
        main_api_limits.set_limits(Limits(None, 100_001), actor="command")
    assert caught.value.field == "per_second"


def test_a_viewer_sets_no_limits(client: Client, redis: Redis) -> None:
    """Whoever may see jobs sees them."""
    person = member(client, "Viewer", name="vic")

    assert 'name="in_flight"' not in text_of(person)
    assert person.post(PAGE, {"in_flight": "1"}).status_code == 403
    assert not MainApiLimits.objects.exists()


@pytest.fixture
def crowded(redis: Redis) -> Iterator[Job]:
    """A running job whose request waits behind two others of its campaign."""
    main_api_limits.set_limits(Limits(in_flight=1), actor="test")
    CampaignClock.objects.create(campaign_id="campaign-2", name="Silverdale", is_active=True)
    submit(1)
    job = Job.objects.get()
    attempt.claim([str(job.pk)], worker="w", now=timezone.now())
    job.refresh_from_db()
    process, stop = Budget(redis, timeout=timedelta(seconds=5)), [False]
    lane = f":{job.campaign_id}"
    held = process.acquire(lane, "j", until=time.monotonic() + 60, must_stop=lambda: stop[0])
    with ThreadPoolExecutor(3) as pool:
        for position, waiter in enumerate(("one", "two", str(job.pk)), start=1):
            pool.submit(process.acquire, lane, waiter, until=time.monotonic() + 600, must_stop=lambda: stop[0])
            wait_until(lambda: traffic.read(redis).waits == position)  # noqa: B023 - asked at once
        yield job
        stop[0] = True
    process.release(held or "")


def test_a_job_says_that_it_waits_for_the_limit(crowded: Job, administrator: Client) -> None:
    """The running one where it stands in its campaign's line, others how many wait; the campaign's page says it too."""
    campaign = crowded.campaign_id
    (says,) = find_blockers(crowded, timezone.now())
    other = Job(type=crowded.type, state=State.RETRYING, campaign_id=campaign, due_at=timezone.now())
    clock = CampaignClock.objects.get(pk="campaign-2")

    assert says == (
        f"Waiting for the main API's limit: 1 request in flight; 2 requests of campaign {campaign} before it."
    )
    limit = "The main API's limit is reached (1 request in flight): 3 requests wait, 3 of this campaign."
    assert find_blockers(other, timezone.now()) == [limit]
    blockers = campaign_blockers.find_campaign_blockers(clock, pauses.active(), timezone.now())
    assert limit in [blocker.explanation for blocker in blockers]
    shown = text_of(administrator)
    assert "1 of 1" in shown
    assert "Silverdale" in shown


def test_a_main_api_that_slowed_down_is_shown(administrator: Client, redis: Redis) -> None:
    """Which process, why, and by how much; and that everything waits for Retry-After."""
    traffic.report("p", 4, 10, "latency", redis)
    Budget(redis, timeout=timedelta(seconds=5)).hold_all(30)
    waiting = Job(type="X", state=State.RETRYING, due_at=timezone.now())

    asked, slow = find_blockers(waiting, timezone.now())
    assert asked.startswith("The main API has asked to send nothing for ")
    assert slow.startswith("The main API answers slowly, so fewer requests are in flight: 4 of 10.")
    assert "latency is three times its usual median" in text_of(administrator)
    assert "Asked us to send nothing for" in text_of(administrator)
