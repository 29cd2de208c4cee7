"""The campaigns' clocks in the database: what the read shows that began last."""

from datetime import timedelta

import pytest
from django.utils import timezone
from msgspec.structs import replace

from jobs.main_api.model import Campaign
from jobs.models import CampaignClock
from jobs.schedules import clocks
from jobs.schedules.store import DatabaseSchedules

pytestmark = pytest.mark.django_db(transaction=True)
BEFORE = Campaign(id="c-1", name="Old", is_active=False, current_world_time="1001-06-01T12:00:00.000Z")
NOW = Campaign(id="c-1", name="New", is_active=True, current_world_time="1001-06-01T18:00:00.000Z")


def stored_clock() -> tuple[str, bool, str]:
    clock = CampaignClock.objects.get(pk="c-1")
    return clock.name, clock.is_active, clock.world_time


def test_a_list_from_before_a_later_read_changes_nothing() -> None:
    """A worker reads all campaigns; meanwhile the listener hears of one, reads it, and stores it first."""
    clocks.remember(BEFORE, clocks.begin_read())
    list_began = clocks.begin_read()
    clocks.remember(NOW, clocks.begin_read())
    shown = clocks.remember_all([replace(BEFORE, current_world_time="1001-06-01T15:00:00.000Z")], list_began)
    clocks.remember(BEFORE, list_began)
    DatabaseSchedules().deactivate("c-1", "Settlement", list_began)

    assert stored_clock() == ("New", True, NOW.current_world_time)
    assert shown.keys() == {"c-1"}


def test_the_later_read_counts_whoever_stores_first() -> None:
    """It began later, and is stored later."""
    first, later = clocks.begin_read(), clocks.begin_read()
    clocks.remember_all([BEFORE], first)
    clocks.remember_all([NOW], later)
    assert stored_clock() == ("New", True, NOW.current_world_time)

    DatabaseSchedules().deactivate("c-1", "Settlement", clocks.begin_read())
    assert stored_clock() == ("New", False, NOW.current_world_time)


def test_a_clock_that_was_ahead_holds_no_campaign_back() -> None:
    """A machine's, by which a release before noted when it saw the campaign."""
    clocks.remember(BEFORE, clocks.begin_read())
    CampaignClock.objects.update(seen_at=timezone.now() + timedelta(days=400))
    clocks.remember_all([NOW], clocks.begin_read())

    assert stored_clock() == ("New", True, NOW.current_world_time)
    assert CampaignClock.objects.get().seen_at < timezone.now() + timedelta(days=1)
