"""The pages that look ahead in a campaign."""

import re
from typing import Any

import pytest
from django.test import Client, override_settings
from redis import Redis

from jobs.main_api.client import main_api
from jobs.models import CampaignClock
from jobs.schedules.towns import read_world
from ops.reads.forecast import MOST_MARKS, Value, values_of
from tests.support.advancing import CAMPAIGN, recalculate
from tests.support.people import member
from tests.support.servers import SandboxApi

pytestmark = pytest.mark.django_db(transaction=True)
FORECAST = f"/admin/jobs/campaignclock/{CAMPAIGN}/forecast/"
WHAT_IF = f"/admin/jobs/campaignclock/{CAMPAIGN}/what-if/"
TOWN = "settlement-1-1-1"


def page(client: Client, path: str, **query: Any) -> str:
    answer = client.get(path, query)
    assert answer.status_code == 200
    text: str = answer.content.decode()
    return text


def test_a_forecast_is_drawn_and_listed(admin_client: Client, redis: Redis, sandbox: SandboxApi) -> None:
    """Few occurrences are marks, many are bars; pages lead on, and a town's link shows it alone."""
    recalculate(redis)
    name = next(t.settlement.name for t in read_world(main_api(), CAMPAIGN).towns if t.settlement.id == TOWN)
    many = page(admin_client, FORECAST, days=30)
    assert 'class="bars"' in many
    assert "Population growth" in many
    assert "population</b>" in many
    (following,) = re.findall(r'rel="next" href="\?days=30&amp;town=&amp;after=([^"#]+)#lines"', many)
    later = page(admin_client, FORECAST, days=30, after=following)
    assert "From the beginning" in later
    (cursor, *_) = re.findall(r'after=([^"#&]+)#lines">Show lines', many)
    assert "Occurrences" in page(admin_client, FORECAST, days=30, after=cursor)

    few = page(admin_client, FORECAST, days=1, town=TOWN)
    assert 'class="bars"' not in few
    assert 0 < few.count("<i title=") <= MOST_MARKS
    assert {name} == set(re.findall(r'data-label="Town"><a [^>]*>([^<]*)</a>', few))
    assert "there is no such town" in page(admin_client, FORECAST, town="Nowhere")

    assert '<option value="2" selected>2</option>' in page(admin_client, FORECAST, days=2, town="Nowhere")
    assert '<option value="7" selected>7</option>' in page(admin_client, FORECAST, days="", town="Nowhere")
    for odd in ("9999", "366", "0", "-1", "1.5", "week", "9" * 30):
        assert f"Days must be a number from 1 to 365: “{odd}” is not." in page(admin_client, FORECAST, days=odd), odd


def test_a_what_if_shows_before_and_after(admin_client: Client, redis: Redis, sandbox: SandboxApi) -> None:
    recalculate(redis)
    assert "Enter a time" in page(admin_client, WHAT_IF)
    by = page(admin_client, WHAT_IF, by="1d")
    assert "Before and after" in by
    assert "population</b>" in by
    to = page(admin_client, WHAT_IF, to="2 June 1001, 12:00")
    assert by.partition("<tbody>")[2].partition("</tbody>")[0] == to.partition("<tbody>")[2].partition("</tbody>")[0]
    for query, message in (
        ({"by": "soon"}, "<span>Duration: “soon” is not a duration such as 90m, 12h or 10d"),
        ({"to": "the Feast of the Moon"}, "<span>World time: "),
        ({"to": "1 June 1001", "by": "1d"}, "<span>Enter a world time or a duration, not both."),
        ({"to": "1 May 1001"}, "must be after"),
    ):
        assert message in page(admin_client, WHAT_IF, **query)


def test_pages_say_why_they_cannot_look_ahead(client: Client, redis: Redis, sandbox: SandboxApi) -> None:
    """The main API is away, does not know the campaign, or has it inactive. A viewer may look."""
    recalculate(redis)
    viewer = member(client, "Viewer")
    CampaignClock.objects.create(campaign_id="gone", name="Gone")
    CampaignClock.objects.create(campaign_id="campaign-3", name="Asleep")
    for end, query in (("forecast/", {}), ("what-if/", {"by": "1d"})):
        assert "there is no campaign gone" in page(viewer, f"/admin/jobs/campaignclock/gone/{end}", **query)
        assert "nothing will happen" in page(viewer, f"/admin/jobs/campaignclock/campaign-3/{end}", **query)
    assert "is not the cursor of a page" in page(viewer, FORECAST, after="x")
    with override_settings(API_URL="http://127.0.0.1:1/graphql"):
        main_api.cache_clear()
        assert "The main API cannot be read now" in page(viewer, FORECAST)
        assert "The main API cannot be read now" in page(viewer, WHAT_IF, by="1d")
    main_api.cache_clear()


def test_a_map_changes_key_by_key() -> None:
    found = values_of({"resources": {"food": 3, "gold": 5}, "health": 20}, {"resources": {"food": 13, "gold": 5}})
    assert found == [Value("resources.food", 3, 13), Value("health", 20, None)]
