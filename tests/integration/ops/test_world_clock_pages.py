"""World clocks in the admin: set by administrators, paused by operators from every page, seen by all."""

from datetime import timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from redis import Redis

from jobs import calendars
from jobs.models import CampaignClock, Job, OperatorAction, WorldClock
from jobs.world.calendars.examples import TIDES
from jobs.world_clocks import ticker
from tests.support import world_clocks
from tests.support.campaigns import PAGE, READING, campaign, text_of
from tests.support.people import JOBS, member
from tests.support.world_clocks import due, last_job, start_running

pytestmark = pytest.mark.django_db(transaction=True)
CLOCK = f"{PAGE}c-1/world-clock/"
ACT = f"{CLOCK}act/"
ALL = "/admin/jobs/worldclock/"
FORM = {
    "rate": "60",
    "step": "1 min",
    "most_per_step": "2h",
    "most_per_day": "7 d",
    "quiet_hours": "22:00-08:00",
    "time_zone": "Europe/Berlin",
    "catch_up": "jump",
    "reason": "as the group wants it",
}


def text(answer: Any) -> str:
    """Of a page, or of the page that an answer leads to."""
    return " ".join(unescape(answer.content.decode()).split())


def test_an_administrator_sets_up_and_starts_a_clock(client: Client, alive: Redis) -> None:
    """With a reason; what changed is in the audit trail with the old and the new value."""
    campaign()
    admin = member(client, "Administrator")
    empty = text(admin.get(CLOCK))
    saved = text(admin.post(CLOCK, FORM, follow=True))
    started = text(admin.post(ACT, {"verb": "start", "reason": "the game is on"}, follow=True))
    admin.post(CLOCK, FORM | {"rate": "120", "most_per_step": "4 h"})

    assert "This campaign has no world clock" in empty
    assert '<option value="Europe/Berlin">' in empty
    assert "Saved." in saved
    for sentence in (
        "60 x: a day passes in 24 min.",
        "Every 1 min a step of 1 h of world time.",
        "It stands still in the quiet hours 22:00-08:00 (Europe/Berlin).",
        "Each day it moves 7 d in 2 h 48 min: its limit. Then it stands until midnight (Europe/Berlin).",
        "caught up by one step of at most 2 h.",
    ):
        assert f"<li>{sentence}</li>" in saved or sentence in saved
    assert "The world clock of Northmarch runs, 60 x: a day in 24 min." in started
    assert (world_clocks.of().state, world_clocks.of().rate, world_clocks.of().most_per_step) == (
        "running",
        Decimal(120),
        4 * 3600,
    )
    first, start, change = OperatorAction.objects.order_by("id")
    assert (first.actor, first.reason, start.reason) == ("user:bob", "as the group wants it", "the game is on")
    assert change.changes == {"rate": ["60", "120"], "most_per_step": ["2 h", "4 h"]}
    assert change.link == CLOCK


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ({"rate": "fast"}, "Enter a number"),
        ({"rate": "0"}, "Must be from 0.000001"),
        ({"rate": "1e300"}, "digits"),
        ({"rate": "NaN"}, "Enter a number"),
        ({"step": "soon"}, "“soon” is not a duration"),
        ({"step": "5 s"}, "Must be from 10 s to 1 d"),
        ({"most_per_step": "59 min"}, "One step moves 1 h"),
        ({"most_per_day": "10 min"}, "One step moves 1 h"),
        ({"most_per_day": "999999999999 d"}, "Must be at most"),
        ({"quiet_hours": "night"}, "'night' is not like 22:00-08:00"),
        ({"time_zone": "Mars/Base"}, "There is no time zone “Mars/Base”"),
        ({"catch_up": "all"}, "not one of the available choices"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_refused_under_its_field(
    client: Client, alive: Redis, wrong: dict[str, str], fault: str
) -> None:
    """By the form and by the preview; nothing is stored."""
    campaign()
    admin = member(client, "Administrator")
    answer = admin.post(CLOCK, FORM | wrong)
    preview = admin.post(f"{CLOCK}preview/", FORM | wrong)

    assert (answer.status_code, preview.status_code) == (400, 200)
    assert list(answer.context["form"].errors) == [*wrong]
    assert fault in text(answer)
    assert fault in text(preview)
    assert not WorldClock.objects.exists()


def test_the_preview_speaks_of_the_campaign_s_own_days(client: Client, alive: Redis) -> None:
    """In a calendar of ten hours a day, one passes sooner."""
    campaign()
    calendars.set_own("c-1", TIDES, actor="test", reason="")
    preview = text(member(client, "Administrator").post(f"{CLOCK}preview/", FORM | {"quiet_hours": ""}))

    assert "60 x: a day of 10 hours passes in 10 min." in preview
    assert not WorldClock.objects.exists()


def test_an_operator_pauses_all_clocks_from_any_page(client: Client, alive: Redis) -> None:
    """The strip names them, with their rates; a step that has not begun is cancelled, and the page says so."""
    clock, _ = start_running(), [start_running(f"c-{n}") for n in (2, 3, 4)]
    ticker.fire_due(due(clock))
    step = last_job()
    operator = member(client, "Operator")
    strips = [text(operator.get(page)) for page in ("/admin/", JOBS, "/admin/queues/", ALL, CLOCK)]
    paused = text(operator.post(f"{ALL}pause-all/", follow=True))
    with CaptureQueriesContext(connection) as queries:
        later = text(operator.get(JOBS))

    for strip in strips:
        assert "<b>4 world clocks are running.</b> Northmarch (60 x: a day in 24 min)" in strip
        assert "+1 more" in strip
        assert f'action="{ALL}pause-all/"' in strip
    assert "Step 1 of 1 h had not begun and is cancelled." in paused
    assert Job.objects.get(pk=step.pk).state == "CANCELLED"
    assert set(WorldClock.objects.values_list("state", flat=True)) == {"paused"}
    assert "4 world clocks are paused." in later
    assert "pause-all" not in later
    assert sum("worldclock" in query["sql"] for query in queries) == 1


def test_an_operator_pauses_and_resumes_but_sets_and_starts_nothing(client: Client, alive: Redis) -> None:
    """An operator sees what the clock does, without a form."""
    start_running()
    WorldClock.objects.update(actor="user:ann", reason="game")
    operator = member(client, "Operator")
    page = text(operator.get(CLOCK))
    overview = text(operator.get(ALL))
    refused = [operator.post(f"{CLOCK}{end}", FORM).status_code for end in ("", "preview/")]
    refused += [operator.post(ACT, {"verb": verb}).status_code for verb in ("start", "stop", "x")]
    for verb in ("pause", "resume"):
        operator.post(ACT, {"verb": verb, "reason": "tea"})

    assert "Every 1 min a step of 1 h" in page
    assert all("<small>ann: game</small>" in shown for shown in (page, overview))
    assert "Change the world clock" not in page
    assert "Europe/Berlin" not in page
    assert refused == [403] * 5
    assert [action.verb for action in OperatorAction.objects.filter(reason="tea").order_by("id")] == [
        "paused",
        "resumed",
    ]
    again = text(operator.post(ACT, {"verb": "resume"}, follow=True))
    assert "The world clock is already running." in again


def test_a_viewer_sees_clocks_without_buttons(viewer: Client) -> None:
    """And the server refuses their posts."""
    start_running()
    page, clock = text(viewer.get(ALL)), text(viewer.get(CLOCK))
    refused = [viewer.post(address, {"verb": "pause"}).status_code for address in (f"{ALL}pause-all/", ACT, CLOCK)]

    assert "1 world clock is running." in page
    for shown in (page, clock):
        assert ACT not in shown
        assert "pause-all" not in shown
    assert refused == [403, 403, 403]


def test_pages_say_why_a_clock_waits(client: Client, alive: Redis) -> None:
    """The list, the clock's own page, the strip, and the campaign's page that time moves by itself."""
    clock = start_running()
    CampaignClock.objects.filter(pk="c-1").update(is_active=False)
    ticker.fire_due(due(clock))
    operator = member(client, "Operator")
    assert "<b>1 world clock is waiting.</b> Northmarch" in text(operator.get(JOBS))
    start_running("c-2")
    CampaignClock.objects.create(pk="c-3", name="Old", world_time="1001-06-01T12:00:00.000Z", is_active=False)
    chooser = text(member(Client(), "Administrator", name="eve").get(ALL))
    past = timezone.now() - timedelta(seconds=30)
    WorldClock.objects.update(next_at=past)

    assert "Old (inactive: it would wait)</option>" in chooser
    assert text(operator.get(f"{PAGE}c-2/world-clock/")).count("<dt>Next step</dt><dd>now</dd>") == 1
    for address in (ALL, CLOCK):
        page = text(operator.get(address))
        assert "the campaign is inactive" in page
        assert "Waiting" in page
        assert "<b>1 world clock is running.</b> <b>1 world clock is waiting.</b>" in page
        assert "(60 x: a day in 24 min, waiting)" in page
        assert "once it no longer waits" in page
    assert "moves by itself, 60 x: a day in 24 min" in text_of(member(Client(), "Administrator", name="ann"))


def test_a_campaign_on_the_wall_clock_gets_no_clock(client: Client, alive: Redis) -> None:
    """Its page says why; starting it changes nothing."""
    campaign(world_time="", processed_world_time="")
    admin = member(client, "Administrator")
    admin.post(CLOCK, FORM)
    started = text(admin.post(ACT, {"verb": "start"}, follow=True))

    assert "It has no world time: it runs on wall-clock time." in started
    assert world_clocks.of().state == "off"
    assert READING not in text(admin.get(ALL))


def test_a_job_s_page_says_that_the_clock_made_it(client: Client, alive: Redis) -> None:
    ticker.fire_due(due(start_running()))
    page = text(member(client, "Operator").get(f"{JOBS}{last_job().pk}/change/"))

    assert "created by the campaign's world clock" in page.lower()
    assert "step 1 of the world clock at 60 x" in page


@pytest.mark.parametrize("campaign_id", ["a/b_c d", "x/world-clock/y?#%", "\u00fc_5F"])
def test_a_campaign_with_any_id_has_a_clock(client: Client, alive: Redis, campaign_id: str) -> None:
    """On its own page, which the list and the audit trail lead to."""
    start_running(campaign_id)
    admin = member(client, "Administrator")
    link = OperatorAction.objects.latest("pk").link
    page, overview = admin.get(link), text(admin.get(ALL))
    admin.post(f"{link}act/", {"verb": "pause"})
    asked = admin.get(ALL, {"campaign": campaign_id})

    assert page.context["campaign"].pk == campaign_id
    assert f'href="{link}"' in overview
    assert asked.headers["Location"] == link
    assert world_clocks.of(campaign_id).state == "paused"
