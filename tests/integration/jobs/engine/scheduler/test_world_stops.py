"""Effects at world times fire in the order of the world, however time gets there: with a worker and the sandbox."""

from collections.abc import Callable
from datetime import timedelta
from itertools import count
from types import SimpleNamespace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from redis import Redis

from jobs import pauses, stops
from jobs.engine.scheduler import world_stops
from jobs.engine.scheduler.world_stops import WorldStops
from jobs.main_api.client import main_api
from jobs.models import AdvanceSource, CampaignClock, Job, ScheduleRow, StopPhase, WorldAdvance, WorldStop, new_job_id
from jobs.schedules.advances import react
from jobs.schedules.towns import read_world
from jobs.states import State
from jobs.world.clock import WorldTime, later
from tests.support.advancing import CAMPAIGN, advance, entities
from tests.support.events import executions
from tests.support.households import carry, patch
from tests.support.servers import SandboxApi
from tests.support.stops import clock, go_on, plant, submit_at
from tests.support.working import work

pytestmark = pytest.mark.django_db(transaction=True)
SIZE = {"campaigns": 1, "kingdoms": 1, "settlements": 3, "structures": 3, "events": 0, "effects": 2}
NOON, ONE, TWO = (f"1001-06-01T{hour}:00:00.000Z" for hour in (12, 13, 14))
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


def test_the_world_does_not_depend_on_how_time_got_over_effects(
    begin: Callable[[], WorldTime], redis: Redis, sandbox: SandboxApi
) -> None:
    """Effects that change growth, people and structures, between due times and exactly at one."""
    ends = []
    for steps in ([30], [12.6, 0.4, 17]):
        start = begin()
        submit_at(at(start, hours=26), "plague")
        submit_at(at(start, hours=12, minutes=30), "boom")
        submit_at(at(start, hours=13), "works")
        for hours in steps:
            advance(sandbox, hours)
            go_on(redis, sandbox)
        ends.append(entities(sandbox))

        assert executions(sandbox) == ["boom", "works", "plague"]
        assert not WorldStop.objects.exists()
        assert not Job.objects.filter(state__in=[State.DEAD, State.RETRYING]).exists()

    assert ends[0] == ends[1]


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
    boom = {"populationGrowthIntervalMinutes": 20, "population": 700}
    expected = carry(patch(carry(town, noon), TOWN, boom), end).settlement
    assert expected
    level, variables = entities(sandbox)[TOWN]
    assert (level, variables["population"]) == (expected.level, expected.variables["population"])
    assert variables["resources"] == expected.variables["resources"]


def test_effects_at_the_same_time_follow_each_other_and_dead_ones_are_not_waited_for(
    begin: Callable[[], WorldTime], redis: Redis, sandbox: SandboxApi
) -> None:
    """In the order in which they were submitted; each in a world that knows the one before."""
    noon = at(begin(), hours=2)
    sandbox.control("POST", "effects", {"id": "boom", "isActive": False})
    jobs = [submit_at(noon, effect_id) for effect_id in ("plague", "no-such", "boom", "works")]
    advance(sandbox, 3)
    go_on(redis, sandbox)

    ended = [Job.objects.get(pk=job.pk) for job in jobs]
    assert [job.state for job in ended] == [State.SUCCEEDED, State.SKIPPED, State.SKIPPED, State.SUCCEEDED]
    assert ended == sorted(ended, key=lambda job: job.finished_at or timezone.now())
    assert executions(sandbox) == ["plague", "works"]


def test_what_a_pause_holds_back_holds_back_the_effect_and_what_follows(
    begin: Callable[[], WorldTime], redis: Redis, sandbox: SandboxApi
) -> None:
    """Neither the effect nor anything after it is applied before the structures; then all is, under the movement."""
    effect = submit_at(at(begin(), hours=5), "plague")
    pauses.pause("type", "STRUCTURE_MAINTENANCE", actor="user:ann", reason="wait")
    advance(sandbox, 9)
    with pytest.raises(AssertionError, match="stands at a stop"):
        go_on(redis, sandbox, rounds=3)

    assert executions(sandbox) == []
    assert not Job.objects.filter(clock="world", clock_due__gt=effect.clock_due).exists()
    (due,) = stops.find_due(CAMPAIGN, most=9)
    assert due.job.pk == effect.pk

    pauses.resume("type", "STRUCTURE_MAINTENANCE", actor="user:ann", reason="go on")
    go_on(redis, sandbox)

    assert executions(sandbox) == ["plague"]
    later_jobs = Job.objects.filter(clock="world", clock_due__gt=effect.clock_due)
    assert {job.request_id for job in later_jobs} == {WorldAdvance.objects.latest("pk").request_id}


def test_more_occurrences_than_a_job_applies_do_not_keep_the_scheduler_busy(
    begin: Callable[[], WorldTime], redis: Redis, sandbox: SandboxApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left of them is due again at once, but its job is there already: the scheduler waits for that."""
    start = begin()
    for module in ("due", "settlements"):
        monkeypatch.setattr(f"jobs.world.{module}.MOST_OCCURRENCES", 2)
    submit_at(at(start, hours=5), "plague")
    pauses.pause("type", "STRUCTURE_MAINTENANCE", actor="user:ann", reason="wait")
    advance(sandbox, 9)
    react(CAMPAIGN, clock(sandbox), source=AdvanceSource.MESSAGE, actor="test")
    work(redis)

    with CaptureQueriesContext(connection) as asked:
        WorldStops().poll(timezone.now())
    pauses.resume("type", "STRUCTURE_MAINTENANCE", actor="user:ann", reason="go on")
    go_on(redis, sandbox)

    assert len(asked) < 150
    assert executions(sandbox) == ["plague"]


def test_a_stop_waits_again_where_the_clock_no_longer_shows_its_time(redis: Redis) -> None:
    """The campaign was set back, has lost its world time or is inactive. What is wrong with one harms no other."""
    CampaignClock.objects.create(pk=CAMPAIGN, world_time=TWO, processed_world_time=TWO)
    job = submit_at(ONE)

    for changes, phase in (
        ({"is_active": False}, StopPhase.WAITING),
        ({"is_active": True, "processed_world_time": NOON}, StopPhase.OPEN),
        ({"world_time": NOON}, StopPhase.WAITING),
        ({"world_time": ""}, StopPhase.WAITING),
    ):
        CampaignClock.objects.update(**changes)
        WorldStop.objects.update(phase=StopPhase.OPEN)
        WorldStops().poll(timezone.now())
        job.refresh_from_db()
        assert (WorldStop.objects.get().phase, job.state) == (phase, State.SCHEDULED)

    CampaignClock.objects.update(world_time=TWO, processed_world_time=TWO)
    stops.open_first(CAMPAIGN, WorldTime.parse(TWO))
    WorldStop.objects.create(campaign_id="a", at="never", job_id=new_job_id(), phase=StopPhase.OPEN)
    WorldStops().poll(timezone.now())
    job.refresh_from_db()
    assert job.state == State.QUEUED


def test_rounds_that_take_too_long_reach_every_campaign(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever order the database has them in: a collation may not compare as Python does. Each has work again."""
    ids, reached, in_work = ["B", "D", "a", "c"], list[str](), stops.in_work
    monkeypatch.setattr(stops, "in_work", lambda: in_work().order_by("-campaign_id"))
    monkeypatch.setattr(world_stops, "time", SimpleNamespace(monotonic=count(1, 0.3).__next__))
    scheduler = WorldStops()
    for _ in ids:
        for campaign_id in ids:
            WorldStop.objects.get_or_create(
                campaign_id=campaign_id, at=NOON, phase=StopPhase.LIFTED, defaults={"job_id": new_job_id()}
            )
        scheduler.poll(timezone.now())
        reached += set(ids) - set(WorldStop.objects.values_list("campaign_id", flat=True))

    assert sorted(reached) == ids
