"""Effects at world times, and a scheduler and a worker in this process that take a campaign over its stops."""

from typing import Any

from django.utils import timezone
from redis import Redis

from jobs import service, stops
from jobs.engine.scheduler.world_stops import WorldStops
from jobs.models import AdvanceSource, Job
from jobs.schedules.advances import react
from jobs.service import Submission
from jobs.world.clock import WorldTime
from tests.support.advancing import CAMPAIGN
from tests.support.servers import SandboxApi
from tests.support.working import work

ROUNDS = 60  #: more than any test needs


def plant(sandbox: SandboxApi, effect_id: str, entity_type: str, entity_id: str, **variables: Any) -> None:
    """An effect that sets variables of a settlement or structure."""
    patch = [{"op": "replace", "path": f"/variables/{name}", "value": value} for name, value in variables.items()]
    effect = {"id": effect_id, "entityType": entity_type, "entityId": entity_id, "patch": patch}
    sandbox.control("POST", "effects", effect)


def submit_at(world_time: str, effect_id: str = "effect-1-1", campaign_id: str = CAMPAIGN) -> Job:
    payload = {"effectId": effect_id, "executeAtWorldTime": world_time}
    return service.submit(Submission(type="DEFERRED_EFFECT", campaign_id=campaign_id, payload=payload), actor="test")[0]


def clock(sandbox: SandboxApi) -> WorldTime:
    return WorldTime.parse(sandbox.world()["campaigns"][CAMPAIGN]["currentWorldTime"])


def go_on(redis: Redis, sandbox: SandboxApi, *, rounds: int = ROUNDS) -> None:
    """React to the campaign's clock as the listener does; schedule and work until nothing is left to do."""
    react(CAMPAIGN, clock(sandbox), source=AdvanceSource.MESSAGE, actor="test")
    for _ in range(rounds):
        work(redis)
        if not stops.in_work().exists():
            return
        while WorldStops().poll(timezone.now()):
            pass
    raise AssertionError("the campaign stands at a stop")
