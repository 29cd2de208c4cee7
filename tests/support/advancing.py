"""Moves a campaign's clock in the sandbox, and reacts to it in this process."""

from typing import Any

from redis import Redis

from jobs import service
from jobs.main_api.client import MainApi
from jobs.models import Job
from jobs.service import Submission
from tests.support.servers import SandboxApi
from tests.support.working import work

RECALCULATIONS = ("RECALCULATE_SETTLEMENT_SCHEDULES", "RECALCULATE_STRUCTURE_SCHEDULES")
CAMPAIGN = "campaign-1"


def recalculate(redis: Redis, *types: str) -> None:
    """React to the campaign's clock as the listener does, and work until nothing is left to do."""
    for kind in types or RECALCULATIONS:
        subject = f"test {Job.objects.count()}"
        service.submit(Submission(type=kind, campaign_id=CAMPAIGN, payload={}, subject=subject), actor="test")
    work(redis)


def advance(sandbox: SandboxApi, hours: float) -> None:
    """Let time pass in the sandbox only."""
    sandbox.control("POST", "advance", {"campaignId": CAMPAIGN, "minutes": hours * 60})


def hear(sandbox: SandboxApi, api: MainApi) -> None:
    """What the listener notes of the messages about changes: a list that a main API keeps does not count then."""
    world = sandbox.world()
    api.versions.note({i: e["version"] for kind in ("settlements", "structures") for i, e in world[kind].items()})


def entities(sandbox: SandboxApi) -> dict[str, Any]:
    """Level and variables of all settlements and structures, marks included."""
    world = sandbox.world()
    return {i: (e["level"], e["variables"]) for kind in ("settlements", "structures") for i, e in world[kind].items()}
