"""A world clock with a real scheduler, worker and main API."""

import signal
from datetime import timedelta
from decimal import Decimal

from django.db.models import F
from django.utils import timezone
from redis import Redis

from jobs import service
from jobs.models import Job, ScheduleRow, WorldClock
from jobs.world.clock import WorldTime
from jobs.world_clocks import control
from tests.support import world_clocks
from tests.support.dialects import let_time_move
from tests.support.ledger import state_of
from tests.support.processes import Start
from tests.support.servers import SandboxApi, wait_until

CAMPAIGN = "campaign-1"
NOON = WorldTime.parse("1001-06-01T12:00:00Z")


def reading(sandbox: SandboxApi) -> timedelta:
    """How far the campaign's time has come."""
    now = WorldTime.parse(sandbox.world()["campaigns"][CAMPAIGN]["currentWorldTime"])
    return now.at - NOON.at


def people(sandbox: SandboxApi) -> int:
    towns = sandbox.world()["settlements"]
    return sum(town["variables"]["population"] for i, town in towns.items() if i.startswith("settlement-1-"))


def let_pass(real: timedelta) -> None:
    """Let the clock believe that so much real time has passed."""
    WorldClock.objects.update(counted_until=F("counted_until") - real, next_at=F("next_at") - real)


def test_a_world_clock_moves_the_world_until_it_is_paused(start: Start, sandbox: SandboxApi, redis: Redis) -> None:
    """Ten hours a step, over a scheduler that is killed; each step once. Then time stands still."""
    let_time_move(sandbox)
    start("rqworker")
    first = start("rqscheduler")
    before = people(sandbox)
    world_clocks.start_running(
        CAMPAIGN, rate=Decimal(3600), step=10, most_per_step=36_000, most_per_day=864_000, catch_up="step"
    )
    let_pass(timedelta(seconds=20))
    wait_until(lambda: reading(sandbox) >= timedelta(hours=20), what="two steps moved time")
    first.stop(signal.SIGKILL)
    start("rqscheduler")
    let_pass(timedelta(seconds=20))
    wait_until(lambda: reading(sandbox) >= timedelta(hours=40), what="the next scheduler goes on")
    wait_until(lambda: people(sandbox) > before, what="settlements have grown")
    assert ScheduleRow.objects.filter(campaign_id=CAMPAIGN, clock="world").exists()

    control.pause(CAMPAIGN, actor="test")
    steps = Job.objects.filter(type="ADVANCE_WORLD_TIME")
    wait_until(lambda: not steps.filter(state="RUNNING").exists(), what="a step that had begun has ended")
    moved = reading(sandbox)
    assert moved == timedelta(hours=10) * steps.filter(state="SUCCEEDED").count()

    made, in_a_second = steps.count(), timezone.now() + timedelta(seconds=1)
    later = service.Submission(type="EVENT_EXPIRATION", campaign_id="campaign-2", payload={}, due_at=in_a_second)
    job, _ = service.submit(later, actor="test")
    wait_until(lambda: state_of(job) == "SUCCEEDED", what="the scheduler has looked at all clocks again")
    assert (reading(sandbox), steps.count()) == (moved, made)
