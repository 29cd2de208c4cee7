"""Effects at world times fire in the order of the world, however time gets there: with a worker and the sandbox."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from redis import Redis

from jobs.main_api.client import main_api
from jobs.models import CampaignClock, Job, ScheduleRow, WorldAdvance, WorldStop
from jobs.schedules.towns import read_world
from jobs.states import State
from jobs.world.clock import WorldTime, later
from jobs.world.household import Household, entity_after
from jobs.world.household import advance as advance_household
from tests.support.advancing import CAMPAIGN, advance, entities
from tests.support.servers import SandboxApi
from tests.support.stops import clock, go_on, plant, submit_at

pytestmark = pytest.mark.django_db(transaction=True)
SIZE = {"campaigns": 1, "kingdoms": 1, "settlements": 3, "structures": 3, "events": 0, "effects": 2}
TOWN, MARKET = "settlement-1-1-1", "structure-1-1-1-1"


@pytest.fixture
def begin(redis: Redis, sandbox: SandboxApi) -> Callable[[], WorldTime]:
    """Makes the same world anew, with the schedules of its first sight, and returns its clock."""

    def begin() -> WorldTime:
        redis.flushall()
        for table in (Job, ScheduleRow, CampaignClock, WorldAdvance, WorldStop):
            table.objects.all().delete()
        sandbox.control("POST", "reset", SIZE)
        plant(sandbox, "boom", "settlement", TOWN, populationGrowthIntervalMinutes=20, population=700)
        plant(sandbox, "works", "structure", MARKET, constructionDurationMinutes=300, isOperational=False)
        plant(sandbox, "plague", "settlement", TOWN, population=150, populationGrowthRate=0.01)
        go_on(redis, sandbox)
        return clock(sandbox)

    return begin


def at(start: WorldTime, **after: int) -> str:
    moment = later(start, timedelta(**after))
    assert moment
    return moment.isoformat()


def executed(sandbox: SandboxApi) -> list[str]:
    return [execution["effectId"] for execution in sandbox.world()["executions"]]


def test_the_world_does_not_depend_on_how_time_got_over_effects(
    begin: Callable[[], WorldTime], redis: Redis, sandbox: SandboxApi
) -> None:
    """Effects that change growth, people and structures, between due times and exactly at one."""
    ends = []
    for steps in ([30], [26, 4], [*[2] * 6, 0.6, 0.5, 16.9]):
        start = begin()
        submit_at(at(start, hours=26), "plague")
        submit_at(at(start, hours=12, minutes=30), "boom")
        submit_at(at(start, hours=13), "works")
        for hours in steps:
            advance(sandbox, hours)
            go_on(redis, sandbox)
        ends.append(entities(sandbox))

        assert executed(sandbox) == ["boom", "works", "plague"]
        assert not WorldStop.objects.exists()
        assert not Job.objects.filter(state__in=[State.DEAD, State.RETRYING]).exists()

    assert ends[0] == ends[1] == ends[2]


def test_an_effect_sees_the_world_of_its_time(
    begin: Callable[[], WorldTime], redis: Redis, sandbox: SandboxApi
) -> None:
    """As the rules of the world advance a town to the effect's time, and from there on with what it has changed."""
    start = begin()
    town = read_world(main_api(), CAMPAIGN, town=TOWN).towns[0].household
    submit_at(at(start, hours=12), "boom")  # people grow at this time, too
    advance(sandbox, 20)
    go_on(redis, sandbox)

    noon, end = WorldTime.parse(at(start, hours=12)), WorldTime.parse(at(start, hours=20))
    until_noon = after(town, noon)
    assert until_noon.settlement
    boom = {"populationGrowthIntervalMinutes": 20, "population": 700}
    changed = replace(until_noon.settlement, variables={**until_noon.settlement.variables, **boom})
    expected = after(replace(until_noon, settlement=changed), end).settlement
    assert expected
    level, variables = entities(sandbox)[TOWN]
    assert (level, variables["population"]) == (expected.level, expected.variables["population"])
    assert variables["resources"] == expected.variables["resources"]


def after(household: Household[WorldTime], until: WorldTime) -> Household[WorldTime]:
    settlement, structures = advance_household(household, until)
    assert household.settlement
    assert settlement
    changed = {i: entity_after(household.structures[i], one, until) for i, one in structures.items()}
    return replace(
        household,
        settlement=entity_after(household.settlement, settlement, until),
        structures={**household.structures, **changed},
    )
