"""What a new job is about: pick lists of what is known, by name, and a question about what is not."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from redis import Redis

from jobs import service
from jobs.errors import JobError, TransientError
from jobs.main_api.client import MainApi
from jobs.main_api.listing import Listing
from jobs.main_api.model import Event
from jobs.models import CampaignClock, Job
from jobs.service import Submission
from ops.reads import subjects
from tests.support.campaigns import campaign, growth
from tests.support.people import JOBS, member

pytestmark = pytest.mark.django_db(transaction=True)
ADD, KNOWN = f"{JOBS}add/", f"{JOBS}add/known/"
GROWTH = {"campaign_id": "c-1", "settlementId": "s-1", "growthType": "POPULATION_GROWTH"}


class Away:
    """A main API that does not answer."""

    def __getattr__(self, name: str) -> Any:
        def ask(*_: Any) -> Any:
            raise TransientError("connection refused")

        return ask


class Answers(Away):
    """A main API that has one event, and no settlement."""

    def events_by_campaign(self, ids: list[str]) -> dict[str, Listing[Event] | JobError]:
        event = Event(id="e-1", campaign_id=ids[0], name="The long winter", event_type="x", is_completed=False)
        return {ids[0]: Listing([event])}

    def event(self, pk: str) -> Event | None:
        return None

    def settlements(self, ids: list[str]) -> dict[str, None]:
        return dict.fromkeys(ids)


@pytest.fixture(autouse=True)
def main_api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Sets the main API that pages ask; at first one that is away."""

    def use(api: object) -> None:
        subjects.kept.clear()
        monkeypatch.setattr(subjects, "main_api", lambda: api)

    use(Away())
    yield use
    subjects.kept.clear()


def options(client: Client, field: str, text: str = "", campaign_id: str = "c-1") -> list[tuple[str, str]]:
    """The pick list of a field."""
    answer = client.get(KNOWN, {"field": field, "campaign_id": campaign_id, field: text})
    assert answer.status_code == 200
    return re.findall(r'<option value="([^"]*)">([^<]*)</option>', answer.content.decode())


def test_known_things_are_offered_by_name(admin_client: Client, redis: Redis, main_api: Any) -> None:
    """Of the campaign, which may be given by its name; events come from the main API, effects from earlier jobs."""
    campaign()
    for event in ("POPULATION_GROWTH", "LEVEL_UP_CHECK"):
        growth(timedelta(hours=1), event_type=event)
    growth(timedelta(hours=1), entity="s-2", name="Ashford")
    growth(timedelta(hours=1), entity="t-1", name="Forge", entity_type="Structure")
    growth(timedelta(hours=1), entity="s-9", name="Elsewhere", campaign_id="c-9")
    effect = {"effectId": "f-1", "executeAt": "2026-01-01T00:00:00Z"}
    job, _ = service.submit(Submission(type="DEFERRED_EFFECT", campaign_id="c-1", payload=effect), actor="test")
    Job.objects.filter(pk=job.pk).update(result={"entity": "Plague"})
    away = options(admin_client, "eventId")
    main_api(Answers())

    assert options(admin_client, "settlementId") == [("s-2", "Ashford"), ("s-1", "Riverton")]
    assert options(admin_client, "settlementId", "river", "Northmarch") == [("s-1", "Riverton")]
    assert options(admin_client, "structureId") == [("t-1", "Forge")]
    assert options(admin_client, "effectId") == [("f-1", "Plague")]
    assert (away, options(admin_client, "eventId")) == ([], [("e-1", "The long winter")])
    assert options(admin_client, "settlementId", campaign_id="nowhere") == []
    page = admin_client.get(f"{ADD}?type=SETTLEMENT_GROWTH").content.decode()
    assert 'list="known-settlementId"' in page
    assert '<datalist id="known-settlementId"' in page


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("s-1", ""),
        ("Riverton", ""),
        ("s-77", "No settlement with this ID is known. Correct or confirm it."),
        ("s-9", "This settlement belongs to campaign c-9. Correct or confirm it."),
    ],
)
def test_an_unknown_settlement_is_asked_about_first(admin_client: Client, redis: Redis, given: str, says: str) -> None:
    """A question, not an error: confirmed, the job is submitted; also while the main API is away."""
    campaign()
    growth(timedelta(hours=1))
    growth(timedelta(hours=1), entity="s-9", name="Elsewhere", campaign_id="c-9")
    add = f"{ADD}?type=SETTLEMENT_GROWTH"
    answer = admin_client.post(add, GROWTH | {"settlementId": given})

    if says:
        assert answer.context["form"].errors == {"settlementId": [says]}
        assert "The ID is right" in answer.content.decode()
        assert not Job.objects.exists()
        admin_client.post(add, GROWTH | {"settlementId": given, "is_subject_meant": "on"})
    assert Job.objects.get().payload["settlementId"] == ("s-1" if given == "Riverton" else given)


def test_nobody_is_asked_about_what_nobody_knows(admin_client: Client, redis: Redis, main_api: Any) -> None:
    """No schedules yet and no main API: nothing speaks against the ID. Once the main API answers, it does."""
    CampaignClock.objects.create(campaign_id="c-1", name="Northmarch")
    add = f"{ADD}?type=SETTLEMENT_GROWTH"
    away = admin_client.post(add, GROWTH)
    main_api(Answers())
    there = admin_client.post(add, GROWTH | {"settlementId": "s-2"})

    assert (away.status_code, there.status_code) == (302, 400)
    assert "settlementId" in there.context["form"].errors


def test_only_who_may_submit_sees_the_lists(client: Client, redis: Redis) -> None:
    """And only those that there are."""
    assert member(client, "Viewer", name="vic").get(KNOWN, {"field": "settlementId"}).status_code == 403
    assert member(client, "Operator", name="olga").get(KNOWN, {"field": "password"}).status_code == 404


def test_the_sandbox_s_settlements_are_known(admin_client: Client, redis: Redis, api: MainApi, main_api: Any) -> None:
    """From the main API itself."""
    CampaignClock.objects.create(campaign_id="campaign-1", name="Northmarch")
    main_api(api)

    assert subjects.find_doubt("settlementId", "campaign-1", "settlement-1-1-1") == ""
    assert subjects.find_doubt("settlementId", "campaign-1", "settlement-0") != ""
    assert subjects.find_doubt("effectId", "campaign-1", "effect-1-1") == ""
