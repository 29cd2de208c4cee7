"""A main API that was restored from a backup: the world of its time goes on as if nothing had been lost."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from redis import Redis

from jobs import service
from jobs.models import AdvanceSource, Job, ScheduleRow
from jobs.schedules.advances import react
from jobs.schedules.firing import fire_wall_rows
from jobs.states import State
from jobs.world.clock import WorldTime
from jobs.world.growth import GrowthType
from jobs.world.maintenance import StructureEvent
from tests.support.advancing import CAMPAIGN, advance, entities, recalculate
from tests.support.servers import SandboxApi
from tests.support.working import work

pytestmark = pytest.mark.django_db(transaction=True)


def hear(sandbox: SandboxApi, redis: Redis) -> None:
    """What the listener does when it finds another world time."""
    clock = sandbox.world()["campaigns"][CAMPAIGN]["currentWorldTime"]
    react(CAMPAIGN, WorldTime.parse(clock), source=AdvanceSource.CLOCK, actor="listener")
    work(redis)


def mine(sandbox: SandboxApi) -> dict[str, Any]:
    return {i: one for i, one in entities(sandbox).items() if i.startswith(("settlement-1-", "structure-1-"))}


def restore(sandbox: SandboxApi, backup: dict[str, Any]) -> None:
    for table in ("settlements", "structures"):
        for one in backup[table].values():
            sandbox.control("POST", table, one)
    clock = backup["campaigns"][CAMPAIGN]["currentWorldTime"]
    sandbox.control("POST", "campaigns", {"id": CAMPAIGN, "currentWorldTime": clock})


@pytest.mark.parametrize("steps", [(10,), (3, 7)], ids=["at once", "in steps"])
def test_what_was_lost_is_applied_again(redis: Redis, sandbox: SandboxApi, steps: tuple[int, ...]) -> None:
    """Restored twice: the same world each time."""
    recalculate(redis)
    advance(sandbox, 2)
    hear(sandbox, redis)
    backup = sandbox.world()
    advance(sandbox, sum(steps))
    hear(sandbox, redis)
    was = mine(sandbox)

    for _ in range(2):
        restore(sandbox, backup)
        Job.objects.update(finished_at=timezone.now() - timedelta(minutes=5))  # a restore takes its time
        hear(sandbox, redis)
        assert mine(sandbox) != was
        for hours in steps:
            advance(sandbox, hours)
            hear(sandbox, redis)
        assert mine(sandbox) == was
    assert not Job.objects.exclude(state__in=[State.SUCCEEDED, State.SKIPPED]).exists()


def test_on_the_wall_clock_the_next_job_applies_what_was_lost(redis: Redis, sandbox: SandboxApi) -> None:
    """That clock does not go back. The marks show it: the world is soon the same as without the restore."""
    begun = (timezone.now() - timedelta(hours=5, minutes=30)).isoformat()
    marks = {"clock": "wall", **dict.fromkeys([*GrowthType, *StructureEvent], begun)}
    backup = sandbox.world()
    backup["campaigns"][CAMPAIGN]["currentWorldTime"] = None
    for one in [*backup["settlements"].values(), *backup["structures"].values()]:
        one["variables"] = {**one["variables"], "constructionDurationMinutes": 0, "schedulerMarks": marks}
    worlds = []
    for is_restored in (False, True):
        ScheduleRow.objects.all().delete()
        Job.objects.all().delete()
        restore(sandbox, backup)
        recalculate(redis)
        if is_restored:
            restore(sandbox, backup)
            restored = mine(sandbox)
            recalculate(redis)
            assert mine(sandbox) == restored
        while due := fire_wall_rows(timezone.now() + timedelta(hours=2)):
            service.submit_followups(due, actor="scheduler", reason="due")
            work(redis)
        worlds.append(mine(sandbox))

    assert worlds[0] == worlds[1]


def test_a_clock_that_went_back_for_a_moment_changes_nothing(redis: Redis, sandbox: SandboxApi) -> None:
    """What was applied stays applied: its marks say so. A construction that has begun before goes on."""
    variables = {"isOperational": False, "constructionDurationMinutes": 60 * 24}
    sandbox.control("POST", "structures", {"id": "structure-1-1-1-1", "variables": variables})
    recalculate(redis)
    advance(sandbox, 10)
    hear(sandbox, redis)
    was, rows = mine(sandbox), set(ScheduleRow.objects.values_list("entity_id", "event_type", "anchor", "next_due"))
    clock = WorldTime.parse(sandbox.world()["campaigns"][CAMPAIGN]["currentWorldTime"])

    for at in (WorldTime(clock.at - timedelta(hours=5)), clock):
        sandbox.control("POST", "campaigns", {"id": CAMPAIGN, "currentWorldTime": at.isoformat()})
        hear(sandbox, redis)

    assert mine(sandbox) == was
    assert set(ScheduleRow.objects.values_list("entity_id", "event_type", "anchor", "next_due")) == rows
