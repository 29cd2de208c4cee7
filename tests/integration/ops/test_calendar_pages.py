"""Campaigns' calendars: set in the admin, and shown wherever a world time is read."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from redis import Redis

from jobs import calendars, service
from jobs.models import CampaignCalendar, OperatorAction
from jobs.service import Submission
from jobs.world.calendars.examples import EXAMPLES, GREGORIAN, LANTERN, TIDES
from jobs.world.calendars.lines import parse_leap_rules, parse_months, to_lines
from jobs.world.clock import WorldTime
from tests.support.campaigns import PAGE, READING, campaign, growth, text_of
from tests.support.people import member

pytestmark = pytest.mark.django_db(transaction=True)

CALENDAR = f"{PAGE}c-1/calendar/"
OWN = to_lines(LANTERN)


def words_of(html: str) -> str:
    """What a page says, without its markup."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


@pytest.mark.parametrize("calendar", EXAMPLES.values(), ids=EXAMPLES)
def test_a_calendar_survives_its_lines_and_the_database(calendar: Any) -> None:
    """What people edit, and what is stored, is the whole calendar."""
    lines = to_lines(calendar)

    assert (parse_months(str(lines["months"])), parse_leap_rules(str(lines["leap_rules"]))) == (
        calendar.months,
        calendar.leap_rules,
    )
    calendars.set_own("c-1", calendar, actor="test", reason="")
    assert calendars.of("c-1") == calendar


def test_an_administrator_sets_a_calendar_and_every_page_shows_it(client: Client, alive: Redis) -> None:
    """On the campaign's page and in the list, in schedules, on the job's page and its timeline; ISO stays in titles."""
    campaign()
    growth(timedelta(hours=2))
    submission = Submission(type="EVENT_EXPIRATION", campaign_id="c-1", payload={}, clock_due=WorldTime.parse(READING))
    ((job, _),) = service.submit_many([submission], actor="test")
    admin = member(client, "Administrator")
    saved = admin.post(CALENDAR, OWN | {"reason": "as in the book"}, follow=True)
    pages = {
        "campaign": text_of(admin),
        "campaigns": admin.get(PAGE).content.decode(),
        "schedules": admin.get("/admin/jobs/schedulerow/").content.decode(),
        "job": admin.get(f"/admin/jobs/job/{job.pk}/change/").content.decode(),
    }

    assert "Calendar saved" in saved.content.decode()
    assert calendars.find("c-1") == (LANTERN, "admin", "")
    for name, page in pages.items():
        assert f'title="{READING}">9 Seedrise 1492 LC, 06:00<' in page, name
    assert ">9 Seedrise, 07:30<" in pages["campaign"]  # on the axis, without the year
    (action,) = OperatorAction.objects.all()
    assert (action.verb, action.target, action.reason) == (
        "changed",
        "calendar of campaign Northmarch",
        "as in the book",
    )
    assert action.changes
    assert action.changes["name"] == [None, "Lantern Count"]
    assert "Emberwake: 28" in action.changes["months"][1]


def test_a_removed_calendar_leaves_the_gregorian_one(client: Client, alive: Redis) -> None:
    """With a reason, audited; a second removal changes nothing."""
    campaign()
    calendars.set_own("c-1", TIDES, actor="test", reason="")
    admin = member(client, "Administrator")
    for _ in range(2):
        admin.post(f"{CALENDAR}remove/", {"reason": "wrong world"})

    assert calendars.find("c-1") == (GREGORIAN, "default", "")
    assert [a.verb for a in OperatorAction.objects.order_by("id")] == ["changed", "removed"]
    assert "5 March 1492, 06:00" in text_of(admin)


FAULTS = [
    ({"months": "Emberwake 28"}, "Line 1: 'Emberwake 28' is not like"),
    ({"months": "Emberwake: 28\nEmberwake: 28"}, "is there twice"),
    ({"months": "Emberwake: 2000"}, "must be 0 to 1,000"),
    ({"months": ""}, "This field is required"),
    ({"leap_rules": "Nowhere: +1 every 4"}, "is no month"),
    ({"leap_rules": "Emberwake: +1 every 4, except every 6"}, "must be a multiple"),
    ({"leap_rules": "now and then"}, "is not like February"),
    ({"weekdays": "Plowday, Plowday"}, "is there twice"),
    ({"first_weekday": "Sunday"}, "is not one of the weekdays"),
    ({"hours_per_day": "0"}, "greater than or equal to 1"),
    ({"epoch": "soon"}, "is not a date such as"),
    ({"era": "A,B"}, "no comma or colon"),
]


@pytest.mark.parametrize(("wrong", "fault"), FAULTS)
def test_a_wrong_calendar_is_refused_under_its_field(
    client: Client, alive: Redis, wrong: dict[str, str], fault: str
) -> None:
    """By the form and by the preview; nothing is stored."""
    campaign()
    admin = member(client, "Administrator")
    answer = admin.post(CALENDAR, OWN | wrong)
    preview = admin.post(f"{CALENDAR}preview/", OWN | wrong)

    assert (answer.status_code, preview.status_code) == (400, 200)
    assert list(answer.context["form"].errors) == [*wrong]
    assert fault in words_of(answer.content.decode())
    assert fault in words_of(preview.content.decode())
    assert not CampaignCalendar.objects.exists()


def test_the_preview_shows_a_calendar_that_is_not_saved(client: Client, alive: Redis) -> None:
    """The campaign's world time, the year and its months, as they would read."""
    campaign()
    admin = member(client, "Administrator")
    page = words_of(admin.post(f"{CALENDAR}preview/", OWN).content.decode())
    example = words_of(admin.get(CALENDAR, {"from": "tides"}).content.decode())

    assert "Now Loomday, 9 Seedrise 1492 LC, 06:00 A day later Forgeday, 10 Seedrise 1492 LC, 06:00" in page
    assert "Year 1492 LC 366 days; other years: 1493 LC (365 days)" in page
    assert "Lantern Night festival, 1 leap day 2 - 1492-06-17" in page
    assert "Deeptide: 0" in example
    assert "Day 10 hours" in example
    assert calendars.of("c-1") == GREGORIAN


def test_only_administrators_set_calendars(client: Client, alive: Redis) -> None:
    """An operator sees the calendar, without a form."""
    campaign()
    operator = member(client, "Operator")
    page = operator.get(CALENDAR).content.decode()
    refused = [operator.post(f"{CALENDAR}{end}", OWN).status_code for end in ("", "preview/", "remove/")]

    assert "How world times look" in page
    assert "Set the calendar" not in page
    assert refused == [403, 403, 403]
    assert not CampaignCalendar.objects.exists()


def test_a_stored_calendar_that_cannot_be_read_costs_only_itself(admin_client: Client, alive: Redis) -> None:
    """The Gregorian one counts, and the page says why."""
    campaign()
    CampaignCalendar.objects.create(campaign_id="c-1", own={"name": "Newer", "months": "many"})

    assert "5 March 1492, 06:00" in text_of(admin_client)
    assert "cannot be used" in admin_client.get(CALENDAR).content.decode()


def test_schedules_are_searched_by_world_time_in_the_campaign_s_calendar(admin_client: Client, alive: Redis) -> None:
    """As people write it, or as ISO 8601; a wrong one is refused by its part, and all are shown."""
    campaign()
    calendars.set_own("c-1", LANTERN, actor="test", reason="")
    growth(timedelta(hours=2))
    growth(timedelta(days=2), entity="s-2", name="Farhold")
    late = [text_of(admin_client, since=since) for since in ("11 Seedrise 1492 LC, 06:00", "1492-03-07T06:00Z")]
    wrong = text_of(admin_client, since="11 Smarch 1492")

    for page in late:
        assert "Farhold<small>" in page
        assert "Riverton<small>" not in page
    assert "month: &#x27;Smarch&#x27; is none of Emberwake" in wrong
    assert "Riverton<small>" in wrong
