"""A town does not care how time is moved: the same world afterwards, end to end with a worker and the sandbox."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from redis import Redis

from jobs import pauses, service
from jobs.models import CampaignClock, Job, ScheduleRow
from jobs.schedules import clocks
from jobs.schedules.waiting import SUBMITTED_WITHIN
from jobs.states import State
from jobs.world.clock import WorldTime
from tests.support.advancing import CAMPAIGN, advance, entities, recalculate
from tests.support.environment import DIALECT
from tests.support.servers import SandboxApi
from tests.support.working import work

pytestmark = pytest.mark.django_db(transaction=True)
SIZE = {"campaigns": 1, "kingdoms": 1, "settlements": 5, "structures": 3, "events": 0, "effects": 0}
STEPS = (3, 1, 20, 48, 7, 60, 100, 1)  #: hours, ten days in all
BROKEN = {"health": 25, "maintenanceIntervalMinutes": 180}


@pytest.fixture
def world(redis: Redis, sandbox: SandboxApi) -> Callable[[], dict[str, Any]]:
    """A world as it was made, with the schedules of its first sight. Returns what reads it."""

    def begin() -> dict[str, Any]:
        redis.flushall()
        for table in (Job, ScheduleRow, CampaignClock):
            table.objects.all().delete()
        sandbox.control("POST", "reset", SIZE)
        for n in (1, 2):  # markets that fail on the way, so that levels stop
            sandbox.control("POST", "structures", {"id": f"structure-1-1-{n}-1", "variables": BROKEN})
        recalculate(redis)
        made: dict[str, Any] = sandbox.world()
        return made

    return begin


def test_ten_days_at_once_are_ten_days_in_steps(
    world: Callable[[], dict[str, Any]], redis: Redis, sandbox: SandboxApi
) -> None:
    before = world()
    advance(sandbox, sum(STEPS))
    recalculate(redis)
    at_once = entities(sandbox)
    assert world() == before
    for hours in STEPS:
        advance(sandbox, hours)
        recalculate(redis)
    assert entities(sandbox) == at_once
    assert any(
        level > before["settlements"][i]["level"] for i, (level, _) in at_once.items() if i in before["settlements"]
    )
    assert not Job.objects.filter(state__in=[State.DEAD, State.RETRYING]).exists()


@pytest.mark.parametrize("held", ["STRUCTURE_MAINTENANCE", "SETTLEMENT_GROWTH", "RECALCULATE_STRUCTURE_SCHEDULES"])
def test_ten_days_are_the_same_if_jobs_of_one_type_run_later(
    world: Callable[[], dict[str, Any]], redis: Redis, sandbox: SandboxApi, held: str
) -> None:
    """One type is paused during every second step."""
    world()
    advance(sandbox, sum(STEPS))
    recalculate(redis)
    at_once = entities(sandbox)
    world()
    for n, hours in enumerate([3, 21, 55, sum(STEPS[5:])]):
        advance(sandbox, hours)
        if n % 2:
            pauses.resume("type", held, actor="user:ann", reason="go on")
        else:
            pauses.pause("type", held, actor="user:ann", reason="wait")
        recalculate(redis)
    assert entities(sandbox) == at_once


def test_a_settlement_waits_for_its_structures_but_not_for_dead_letters(
    world: Callable[[], dict[str, Any]], redis: Redis, sandbox: SandboxApi
) -> None:
    world()
    pauses.pause("type", "STRUCTURE_MAINTENANCE", actor="user:ann", reason="wait")
    advance(sandbox, 8)
    recalculate(redis)
    growth = Job.objects.filter(type="SETTLEMENT_GROWTH")
    assert not growth.exists()
    for job in Job.objects.filter(type="STRUCTURE_MAINTENANCE"):
        service.cancel([job], actor="user:ann", reason="never mind")
    ScheduleRow.objects.update(updated_at=timezone.now() - SUBMITTED_WITHIN)
    recalculate(redis)
    assert {job.state for job in growth} == {State.SUCCEEDED}


def test_a_late_job_advances_a_settlement_up_to_the_clock(
    world: Callable[[], dict[str, Any]], redis: Redis, sandbox: SandboxApi
) -> None:
    """It does at once what later jobs would have done: those are skipped."""
    world()
    pauses.pause("type", "SETTLEMENT_GROWTH", actor="user:ann", reason="wait")
    for hours in (8, 16):
        advance(sandbox, hours)
        recalculate(redis)
    pauses.resume("type", "SETTLEMENT_GROWTH", actor="user:ann", reason="go on")
    work(redis)
    states = [job.state for job in Job.objects.filter(type="SETTLEMENT_GROWTH")]
    assert set(states) <= {State.SUCCEEDED, State.SKIPPED}
    marks = sandbox.world()["settlements"]["settlement-1-1-1"]["variables"]["schedulerMarks"]
    now = WorldTime.parse(clocks.world_time(CAMPAIGN))
    assert now.at - WorldTime.parse(marks["POPULATION_GROWTH"]).at < timedelta(hours=1)


@pytest.mark.skipif(DIALECT == "today", reason="its list shows the structure as it was, for 10 minutes")
def test_a_structure_that_cannot_be_read_stops_level_ups_and_nothing_else(
    world: Callable[[], dict[str, Any]], redis: Redis, sandbox: SandboxApi
) -> None:
    """Its settlement grows; the level-up check is a dead letter that names the structure."""
    world()
    people = {"population": 900, "populationCap": 5000, "requiredStructuresForLevelUp": ["market"]}
    sandbox.control("POST", "settlements", {"id": "settlement-1-1-1", "level": 1, "variables": people})
    sandbox.control("POST", "structures", {"id": "structure-1-1-1-1", "level": "one"})
    advance(sandbox, 8)
    recalculate(redis)
    growth = Job.objects.filter(type="SETTLEMENT_GROWTH")
    for _ in range(2):
        assert {job.state for job in growth if "settlement-1-1-1" in job.subject} == {State.RETRYING}
        service.run_now(growth.filter(state=State.RETRYING), actor="user:ann", reason="sooner")
        work(redis)
    after = sandbox.world()["settlements"]["settlement-1-1-1"]
    assert after["level"] == 1
    assert after["variables"]["population"] > 1000
    assert after["variables"]["resources"]["gold"] == 40
    dead = growth.filter(state=State.DEAD)
    assert [job.subject for job in dead] == ["settlement-1-1-1:LEVEL_UP_CHECK"]
    assert all("structuresBySettlement" in job.error for job in dead)
