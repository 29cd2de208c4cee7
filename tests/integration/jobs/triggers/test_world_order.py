"""Events are triggered in the order of the world, however time gets to them: with a worker and the sandbox."""

from typing import Any

import pytest
from django.utils import timezone
from redis import Redis

from jobs.engine.scheduler.world_stops import WorldStops
from jobs.models import AdvanceSource, CampaignClock, EventQuestion, Job, ScheduleRow, WorldAdvance, WorldStop
from jobs.schedules.advances import react
from jobs.states import State
from jobs.triggers import questions
from jobs.world.clock import WorldTime
from tests.support.advancing import advance, entities
from tests.support.events import CAMPAIGN, executions, is_completed, set_policy
from tests.support.servers import SandboxApi
from tests.support.stops import clock, go_on
from tests.support.working import work

pytestmark = pytest.mark.django_db(transaction=True)
SIZE = {"campaigns": 1, "kingdoms": 1, "settlements": 2, "structures": 2, "events": 0, "effects": 0}
TOWN, MARKET = "settlement-1-1-1", "structure-1-1-1-1"
#: By event: when it is scheduled, what its effect changes, and how. The clock begins at noon of June 1.
EVENTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "fair": ("1001-06-02T00:30:00.000Z", TOWN, {"populationGrowthIntervalMinutes": 20, "population": 700}),
    "works": ("1001-06-02T01:00:00.000Z", MARKET, {"constructionDurationMinutes": 300, "isOperational": False}),
}


def begin(redis: Redis, sandbox: SandboxApi) -> None:
    """The same world anew, with the schedules of its first sight."""
    redis.flushall()
    for table in (Job, ScheduleRow, CampaignClock, WorldAdvance, WorldStop, EventQuestion):
        table.objects.all().delete()
    sandbox.control("POST", "reset", SIZE)
    sandbox.control("POST", "dialect", {"dialect": "today"})
    for event_id, (at, entity_id, variables) in EVENTS.items():
        sandbox.control("POST", "events", {"id": event_id, "campaignId": CAMPAIGN, "scheduledAt": at})
        patch = [{"op": "replace", "path": f"/variables/{name}", "value": value} for name, value in variables.items()]
        target = {"entityType": entity_id.partition("-")[0], "entityId": entity_id}
        effect = {"id": f"{event_id}:0", "entityId": event_id, "patch": patch, "target": target}
        sandbox.control("POST", "effects", effect)
    go_on(redis, sandbox)


def test_the_world_does_not_depend_on_how_time_got_over_events(redis: Redis, sandbox: SandboxApi) -> None:
    """Effects that change growth, people and structures, between due times and exactly at one."""
    set_policy("trigger", CAMPAIGN)
    ends = []
    for steps in ([15], [12, 0.6, 0.5, 1.9]):
        begin(redis, sandbox)
        for hours in steps:
            advance(sandbox, hours)
            go_on(redis, sandbox)
        ends.append(entities(sandbox))

        assert executions(sandbox) == ["fair:0", "works:0"]
        assert all(is_completed(sandbox, event_id) for event_id in EVENTS)
        assert not WorldStop.objects.exists()
        assert not Job.objects.filter(state__in=[State.DEAD, State.RETRYING]).exists()

    assert ends[0] == ends[1]


def test_world_time_waits_for_an_answer(redis: Redis, sandbox: SandboxApi) -> None:
    """Nothing later is applied until then; afterwards the world is as if it had been triggered at once."""
    set_policy("ask", CAMPAIGN, event_type="story")
    begin(redis, sandbox)
    sandbox.control("POST", "events", {"id": "works", "eventType": "party"})
    advance(sandbox, 15)
    react(CAMPAIGN, clock(sandbox), source=AdvanceSource.MESSAGE, actor="test")
    while not (asked := questions.find_open(9)):
        work(redis)
        WorldStops().poll(timezone.now())

    (question,) = asked
    assert question.event_id == "fair"
    standing = WorldTime.parse(EVENTS["fair"][0])
    assert all(WorldTime.parse(row.anchor) <= standing for row in ScheduleRow.objects.exclude(anchor=""))
    questions.answer(question.job_id, yes=True, actor="user:olga")
    go_on(redis, sandbox)
    assert max(row.anchor for row in ScheduleRow.objects.all()) > question.scheduled_at
    assert (executions(sandbox), is_completed(sandbox, "fair")) == (["fair:0"], True)
