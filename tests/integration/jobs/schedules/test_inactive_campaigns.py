"""Schedules of campaigns that are inactive for a while, or show no world time: they stay as they are."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone
from redis import Redis

from jobs import service
from jobs.main_api.client import MainApi
from jobs.models import CampaignClock, Job, ScheduleRow
from jobs.schedules.firing import fire_wall_rows
from jobs.schedules.recalculate import LOOKS
from jobs.schedules.store import DatabaseSchedules
from jobs.world.clock import WorldTime, sortable
from tests.support.advancing import CAMPAIGN, advance, entities, hear, recalculate
from tests.support.servers import SandboxApi
from tests.support.working import work

pytestmark = pytest.mark.django_db(transaction=True)
BUILDING, TOWN = "structure-1-1-1-1", "settlement-1-1-1"
MONTH = 24 * 30


def change(sandbox: SandboxApi, **changes: Any) -> None:
    sandbox.control("POST", "campaigns", {"id": CAMPAIGN, **changes})


def test_a_construction_goes_on_after_its_campaign_was_inactive(redis: Redis, sandbox: SandboxApi) -> None:
    """When it began is known by its schedule only."""
    variables = {"isOperational": False, "constructionDurationMinutes": 60 * MONTH}
    sandbox.control("POST", "structures", {"id": BUILDING, "variables": variables})
    recalculate(redis)
    was = list(ScheduleRow.objects.filter(entity_id=BUILDING).values("anchor", "next_due", "fire_at"))
    advance(sandbox, MONTH * 2 / 3)
    recalculate(redis)
    change(sandbox, isActive=False)
    recalculate(redis)
    change(sandbox, isActive=True)
    recalculate(redis)

    assert list(ScheduleRow.objects.filter(entity_id=BUILDING).values("anchor", "next_due", "fire_at")) == was


def test_a_construction_goes_on_after_reads_without_world_time(redis: Redis, sandbox: SandboxApi) -> None:
    """A campaign that has really lost it runs on the wall clock once it was read some times.

    Once it shows world time again, its constructions go on from where they were: the time meanwhile counts.
    """
    variables = {"isOperational": False, "constructionDurationMinutes": 60 * MONTH}
    sandbox.control("POST", "structures", {"id": BUILDING, "variables": variables})
    recalculate(redis)
    row = ScheduleRow.objects.filter(entity_id=BUILDING)
    was = row.values("clock", "anchor", "next_due").get()
    time = sandbox.world()["campaigns"][CAMPAIGN]["currentWorldTime"]
    change(sandbox, currentWorldTime=None)
    recalculate(redis)
    waiting = Job.objects.filter(state="RETRYING", failures=0)
    assert waiting.count() == 2
    change(sandbox, currentWorldTime=time)
    service.run_now(waiting.all(), actor="test", reason="sooner")
    work(redis)
    assert row.values("clock", "anchor", "next_due").get() == was

    change(sandbox, currentWorldTime=None)
    recalculate(redis)
    for _ in range(LOOKS):
        service.run_now(waiting.all(), actor="test", reason="sooner")
        work(redis)
    assert set(ScheduleRow.objects.filter(campaign_id=CAMPAIGN).values_list("clock", flat=True)) == {"wall"}
    assert row.get().anchor > "2020"
    recalculate(redis)
    later = WorldTime(WorldTime.parse(time).at + timedelta(hours=10))
    change(sandbox, currentWorldTime=later.isoformat())
    recalculate(redis)

    assert row.values("clock", "anchor", "next_due").get() == was
    growth = ScheduleRow.objects.get(entity_id=TOWN, event_type="POPULATION_GROWTH")
    assert growth.anchor == sortable(later)


def test_a_construction_begins_anew_where_world_time_is_before_it(redis: Redis, sandbox: SandboxApi) -> None:
    """As after a restore from an old backup: it had not begun then."""
    variables = {"isOperational": False, "constructionDurationMinutes": 60}
    sandbox.control("POST", "structures", {"id": BUILDING, "variables": variables})
    recalculate(redis)
    ScheduleRow.objects.filter(campaign_id=CAMPAIGN).update(clock="wall", world_anchor=F("anchor"))
    change(sandbox, currentWorldTime="0900-01-01T00:00:00.000Z")
    recalculate(redis)

    assert ScheduleRow.objects.get(entity_id=BUILDING).anchor == "0900-01-01T00:00:00.000000Z"


def test_on_the_wall_clock_time_of_inactivity_is_made_up_for(redis: Redis, sandbox: SandboxApi, api: MainApi) -> None:
    """Nothing of an inactive campaign is looked through by who looks for what fires."""
    change(sandbox, currentWorldTime=None)
    recalculate(redis)
    hours_ago = timezone.now() - timedelta(hours=5, minutes=30)
    marks = {event: hours_ago.isoformat() for event in ("POPULATION_GROWTH", "RESOURCE_GENERATION", "LEVEL_UP_CHECK")}
    variables = {**entities(sandbox)[TOWN][1], "schedulerMarks": {"clock": "wall", **marks}, "resources": {}}
    sandbox.control("POST", "settlements", {"id": TOWN, "variables": variables})
    hear(sandbox, api)
    ScheduleRow.objects.filter(entity_id=TOWN).delete()
    change(sandbox, isActive=False)
    recalculate(redis)
    stopped = ScheduleRow.objects.filter(campaign_id=CAMPAIGN)
    assert set(stopped.values_list("clock", "fire_at")) == {("wall", "")}
    assert DatabaseSchedules().find_campaigns("Settlement", after="", most=9) == []
    change(sandbox, isActive=True)
    recalculate(redis)

    generated = Job.objects.get(subject=f"{TOWN}:RESOURCE_GENERATION")
    assert (generated.state, generated.occurrences >= 5) == ("SUCCEEDED", True)
    assert not stopped.filter(fire_at="").exists()
    assert fire_wall_rows(timezone.now()) == []


def test_schedules_of_a_campaign_that_went_while_it_was_inactive_are_removed(redis: Redis) -> None:
    """It is read again once no list has shown it for a while."""
    idle = {"entity_type": "Settlement", "clock": "world", "interval": timedelta(hours=1), "job_type": "X"}
    for name, seen in (("gone", timedelta(hours=2)), ("idle", timedelta(minutes=20))):
        CampaignClock.objects.create(pk=name, is_active=False, seen_at=timezone.now() - seen)
        ScheduleRow.objects.create(campaign_id=name, entity_id=f"s-{name}", event_type="POPULATION_GROWTH", **idle)
    assert DatabaseSchedules().find_campaigns("Settlement", after="", most=9) == ["gone"]
