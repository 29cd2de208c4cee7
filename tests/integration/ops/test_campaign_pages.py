"""A campaign's page: its clock, what is next due, and what operators may do there."""

import re
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from django.test import Client
from django.utils import timezone
from redis import Redis

from jobs import pauses
from jobs.broker import keys
from jobs.models import Job, OperatorAction, Pause
from jobs.world.clock import WallTime, sortable
from ops.reads import campaign as campaign_page
from ops.reads import timeline
from ops.reads.campaign_jobs import find_newest
from tests.support.campaigns import PAGE, campaign, growth, text_of
from tests.support.people import member
from tests.support.queries import count_queries

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_campaign_at_the_end_of_time_has_a_page(admin_client: Client, alive: Redis) -> None:
    """World time 9999-12-31 23:59: no due time follows."""
    campaign(world_time="9999-12-31T23:59:00.000Z", processed_world_time="9999-12-31T23:59:00.000Z")

    assert "31 December 9999, 23:59" in text_of(admin_client)


def test_the_page_shows_the_clock_and_the_next_due_times(admin_client: Client, alive: Redis) -> None:
    """World time, what was processed, and each schedule's due time with the time until then."""
    campaign()
    growth(timedelta(hours=2))
    text = text_of(admin_client)

    assert "5 March 1492, 06:00" in text
    assert "Riverton" in text
    assert "in 2 h of world time" in text
    assert "World time must advance by 2 h" in text
    assert "Nothing is blocking this campaign" in text


def test_the_title_bar_names_the_campaign_and_leads_back(admin_client: Client, alive: Redis) -> None:
    """As on each page below a list."""
    campaign(name="Northmarch")
    for where, name in (("c-1/change/", "Northmarch"), ("c-1/calendar/", "Calendar of Northmarch")):
        bar = admin_client.get(f"{PAGE}{where}").content.decode().partition("</h1>")[0]
        assert bar.rstrip().endswith(f"{name}</span>")
        assert '<a href="/admin/jobs/campaignclock/" class="block h-[18px] mr-3" title="Go back"' in bar
    listed = admin_client.get(PAGE).content.decode()
    assert "Go back" not in listed


def test_schedules_due_at_one_time_are_in_the_order_of_things(admin_client: Client, alive: Redis) -> None:
    """As docs/rules.md has it, in whatever order their rows were made."""
    clock = campaign()
    for event in ("LEVEL_UP_CHECK", "RESOURCE_GENERATION", "POPULATION_GROWTH"):
        growth(timedelta(hours=2), event_type=event)
    growth(timedelta(hours=1), entity="s-2", event_type="LEVEL_UP_CHECK")
    found = list(campaign_page.find_rows(clock, search="", after=None))
    rows = campaign_page.describe(clock, found, [], find_newest("c-1"), timezone.now())

    assert [row.row.event_type for row in rows] == [
        *("LEVEL_UP_CHECK", "POPULATION_GROWTH", "RESOURCE_GENERATION", "LEVEL_UP_CHECK")
    ]


def test_the_order_of_things_goes_on_over_the_pages(
    admin_client: Client, alive: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each schedule is on one page; an unusable place is the first page."""
    monkeypatch.setattr(campaign_page, "PAGE", 2)
    campaign()
    for event in ("LEVEL_UP_CHECK", "RESOURCE_GENERATION", "POPULATION_GROWTH"):
        for entity in ("s-1", "s-2"):
            growth(timedelta(hours=2), entity=entity, event_type=event)
    seen, after = [], "x~~"
    for _ in range(3):
        page = admin_client.get(f"{PAGE}c-1/change/", {"after": after})
        seen += [(row.row.event_type, row.row.entity_id) for row in page.context["rows"]]
        after = "".join(re.findall(r'rel="next" href="\?after=([^"&]+)', page.content.decode()))
        after = unquote(after)

    events = ("POPULATION_GROWTH", "RESOURCE_GENERATION", "LEVEL_UP_CHECK")
    assert seen == [(event, entity) for event in events for entity in ("s-1", "s-2")]
    assert after == ""


def test_a_wall_clock_campaign_counts_on_the_wall_clock(admin_client: Client, alive: Redis) -> None:
    """Without world time its schedules show wall-clock times."""
    campaign(world_time="", processed_world_time="")
    due = sortable(WallTime(timezone.now() + timedelta(minutes=90, seconds=30)))
    growth(timedelta(0), clock="wall", next_due=due, fire_at=due)
    text = text_of(admin_client)

    assert "in 1 h 30 min" in text
    assert "of world time" not in text


def test_the_timeline_shows_each_due_time_of_the_window(alive: Redis) -> None:
    """Every interval within the chosen hours, at its place."""
    clock = campaign()
    growth(timedelta(hours=3), interval=timedelta(hours=6))
    growth(timedelta(hours=30), entity="s-2", name="Farhold")
    described = campaign_page.describe(
        clock, list(campaign_page.find_rows(clock, search="", after=None)), [], find_newest("c-1"), timezone.now()
    )

    (lane,) = timeline.draw_timeline(described, 24).lanes
    assert lane.label == "Riverton: population growth"
    assert [mark.place for mark in lane.marks] == [12.5, 37.5, 62.5, 87.5]


def test_a_campaign_is_paused_and_resumed_from_its_page(client: Client, alive: Redis) -> None:
    """By an operator, with a reason."""
    campaign()
    operator = member(client, "Operator")
    until = timezone.now() + timedelta(hours=3)
    form = {"until": f"{until:%Y-%m-%dT%H:%M}", "reason": "the players argue"}
    paused = operator.post(f"{PAGE}c-1/pause/", form, follow=True).content.decode()
    (pause,) = pauses.active()
    operator.post(f"{PAGE}c-1/resume/")

    assert "the players argue" in paused
    assert (pause.kind, pause.name, pause.actor) == ("campaign", "c-1", "user:bob")
    assert pauses.active() == []
    assert [a.verb for a in OperatorAction.objects.order_by("id")] == ["paused", "resumed"]


def test_a_pause_with_a_past_end_is_rejected(admin_client: Client, alive: Redis) -> None:
    """Nothing is paused."""
    campaign()
    page = admin_client.post(f"{PAGE}c-1/pause/", {"until": "2020-01-01T00:00"}, follow=True).content.decode()

    assert "Not paused" in page
    assert not Pause.objects.exists()


def test_recalculate_now_submits_a_job_per_kind_of_entity(admin_client: Client, alive: Redis) -> None:
    """With the operator as their source."""
    campaign()
    admin_client.post(f"{PAGE}c-1/recalculate/", {"reason": "a town is missing"})

    assert {job.type for job in Job.objects.all()} == {
        "RECALCULATE_SETTLEMENT_SCHEDULES",
        "RECALCULATE_STRUCTURE_SCHEDULES",
    }
    assert {(job.source, job.campaign_id) for job in Job.objects.all()} == {("user:admin", "c-1")}


def test_a_viewer_looks_but_may_not_act(client: Client, alive: Redis) -> None:
    """No button, and the server refuses each."""
    campaign()
    growth(timedelta(hours=1))
    viewer = member(client, "Viewer")
    text = text_of(viewer)
    refused = [viewer.post(f"{PAGE}c-1/{verb}/").status_code for verb in ("pause", "resume", "recalculate")]

    assert "Riverton" in text
    assert "Recalculate now</button>" not in text
    assert "Pause the campaign" not in text
    assert refused == [403, 403, 403]
    assert not Job.objects.exists()


def test_schedules_are_searched_and_paged(admin_client: Client, alive: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name; the next page begins where this one ended."""
    monkeypatch.setattr(campaign_page, "PAGE", 2)
    campaign()
    for number, name in enumerate(("Riverton", "Farhold", "Rivergate")):
        growth(timedelta(hours=1 + number), entity=f"s-{number}", name=name)
    first = admin_client.get(f"{PAGE}c-1/change/")
    more = first.context["more"]
    second = admin_client.get(f"{PAGE}c-1/change/", {"after": f"{more.next_due}~{more.rank}~{more.pk}"})
    found = admin_client.get(f"{PAGE}c-1/change/", {"q": "river"})

    assert [one.row.entity_name for one in first.context["rows"]] == ["Riverton", "Farhold"]
    assert [one.row.entity_name for one in second.context["rows"]] == ["Rivergate"]
    assert [one.row.entity_name for one in found.context["rows"]] == ["Riverton", "Rivergate"]


@pytest.mark.parametrize("campaign_id", ["c/1?x=2", "c_5F 1", "ä:é#%"])
def test_campaigns_with_odd_ids_have_a_page(admin_client: Client, alive: Redis, campaign_id: str) -> None:
    """The list links to it, and its buttons work."""
    campaign(campaign_id=campaign_id)
    (link,) = re.findall(r'href="(/admin/jobs/campaignclock/[^"]+/change/)"', admin_client.get(PAGE).content.decode())
    page = admin_client.get(link)
    (button,) = re.findall(r'action="(/admin/jobs/campaignclock/[^"]+/recalculate/)"', page.content.decode())
    admin_client.post(button)

    assert page.status_code == 200
    assert {job.campaign_id for job in Job.objects.all()} == {campaign_id}


def test_the_page_works_while_redis_is_away(admin_client: Client, alive: Redis, settings: Any) -> None:
    """It shows what the database knows, and that Redis does not answer."""

    campaign()
    keys.redis.cache_clear()
    settings.REDIS_URL = "redis://127.0.0.1:1"
    try:
        text = text_of(admin_client)
    finally:
        keys.redis.cache_clear()

    assert "Redis does not answer" in text


@pytest.mark.parametrize("one", [False, True])
def test_pages_take_few_queries(client: Client, alive: Redis, one: bool) -> None:
    """Fewer than 22, however many rows are shown."""
    campaign()
    for number in range(30):
        growth(timedelta(hours=number), entity=f"s-{number}")
    operator = member(client, "Operator")
    with count_queries() as queries:
        assert operator.get(f"{PAGE}c-1/change/" if one else PAGE).status_code == 200

    assert len(queries) < 22, [q["sql"][:90] for q in queries]
