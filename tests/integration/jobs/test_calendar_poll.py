"""Calendars from the main API, beside those of the admin."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from jobs import calendars
from jobs.calendar_poll import CalendarPoll
from jobs.main_api.client import MainApi
from jobs.models import CampaignCalendar
from jobs.world.calendars.examples import GREGORIAN, TIDES
from sandbox.seed import CALENDAR
from tests.support.campaigns import PAGE, campaign
from tests.support.dialects import in_each_dialect
from tests.support.servers import SandboxApi

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def today(sandbox: SandboxApi) -> SandboxApi:
    """The sandbox as the main API is served today."""
    sandbox.control("POST", "dialect", {"dialect": "today"})
    return sandbox


def see_campaigns(*numbers: int) -> None:
    """The campaigns of the sandbox, as the listener knows them."""
    for number in numbers:
        campaign(campaign_id=f"campaign-{number}", name="")


def names() -> list[str]:
    return [calendars.of(f"campaign-{number}").name for number in (1, 2)]


def test_a_calendar_of_the_main_api_comes_first(today: SandboxApi, api: MainApi) -> None:
    """Then the one of the admin, where the world has none; two requests for all."""
    see_campaigns(1, 2)
    for number in (1, 2):
        calendars.set_own(f"campaign-{number}", TIDES, actor="test", reason="")
    asked = today.control("GET", "stats")["requests"]
    CalendarPoll(api).read_some()

    assert names() == ["Reckoning of Sails", "Tide Wheel"]
    assert calendars.find("campaign-1").name == "main API"
    assert today.control("GET", "stats")["requests"] - asked == 2
    assert not CalendarPoll(api).read_some()  # nothing is due for an hour
    today.control("POST", "worlds", {"id": "world-1", "calendars": None})
    CampaignCalendar.objects.update(asked_at=timezone.now() - timedelta(hours=2))
    CalendarPoll(api).read_some()
    assert names() == ["Tide Wheel", "Tide Wheel"]


def test_a_malformed_calendar_costs_only_itself(today: SandboxApi, api: MainApi) -> None:
    """The other campaign's is read; of this one the page says what is wrong."""
    see_campaigns(1, 2)
    today.control(
        "POST", "worlds", {"id": "world-1", "calendars": {"calendars": [CALENDAR | {"daysPerMonth": "many"}]}}
    )
    today.control("POST", "worlds", {"id": "world-2", "calendars": {"calendars": [CALENDAR]}})
    CalendarPoll(api).read_some()

    assert names() == ["Gregorian", "Reckoning of Sails"]
    assert "daysPerMonth: expected a list" in calendars.find("campaign-1").fault


@in_each_dialect
def test_nothing_else_fails_where_calendars_are_not_served(sandbox: SandboxApi, api: MainApi) -> None:
    """The contract has none: that is learnt with one request, and what is set in the admin counts."""
    see_campaigns(1, 2)
    calendars.set_own("campaign-1", TIDES, actor="test", reason="")
    poll = CalendarPoll(api)
    served = poll.read_some()
    asked = sandbox.control("GET", "stats")["requests"]
    again = poll.read_some()

    assert names()[0] == ("Reckoning of Sails" if served else "Tide Wheel")
    assert not again
    assert sandbox.control("GET", "stats")["requests"] == asked
    assert api.campaign("campaign-1")
    assert api.breaker.snapshot().state == "closed"


def test_an_outage_leaves_what_is_known(today: SandboxApi, api: MainApi) -> None:
    """Nothing is forgotten, and nothing else is disturbed."""
    see_campaigns(1)
    CalendarPoll(api).read_some()
    CampaignCalendar.objects.update(asked_at=None)
    today.control("POST", "faults", {"errorRate": 1.0})
    CalendarPoll(api).read_some()

    assert names() == ["Reckoning of Sails", GREGORIAN.name]


def test_a_calendar_of_the_main_api_is_not_edited_here(today: SandboxApi, api: MainApi, admin_client: Client) -> None:
    """Its page says where to change it, shows the preview, and refuses the form."""
    see_campaigns(1)
    CalendarPoll(api).read_some()
    page = f"{PAGE}campaign-1/calendar/"
    text = admin_client.get(page).content.decode()

    assert "This calendar is kept in the main API" in text
    assert "Halyard" in text
    assert "Set the calendar" not in text
    assert admin_client.post(page, {"name": "Mine"}).status_code == 403
