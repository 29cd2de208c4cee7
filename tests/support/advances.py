"""Advances of a campaign's world time: submit one, run it, and what the clock shows then."""

import json
from typing import Any

from redis import Redis

from jobs import service
from jobs.listener import Listener
from jobs.models import CampaignClock, Job, WorldAdvance
from jobs.service import Submission
from tests.support.advancing import CAMPAIGN
from tests.support.dialects import let_time_move
from tests.support.servers import SandboxApi, wait_until
from tests.support.working import work

TYPE = "ADVANCE_WORLD_TIME"
NOON, TWO, NIGHT = (f"1001-06-01T{hour}:00:00.000Z" for hour in (12, 14, 22))


def submit(payload: dict[str, Any], campaign_id: str = CAMPAIGN) -> Job:
    submission = Submission(type=TYPE, campaign_id=campaign_id, payload=payload)
    return service.submit(submission, actor="user:ann", reason="a long rest")[0]


def finish(redis: Redis, job: Job) -> Job:
    """The job after a worker has done all work."""
    work(redis)
    job.refresh_from_db()
    return job


def clock(sandbox: SandboxApi) -> str:
    return str(sandbox.world()["campaigns"][CAMPAIGN]["currentWorldTime"])


def move(sandbox: SandboxApi, to: str) -> None:
    """The game master moves time, too."""
    sandbox.control("POST", "advance", {"campaignId": CAMPAIGN, "to": to})


def answer_with_clock(sandbox: SandboxApi, shown: str) -> None:
    """Let the main API move time, and answer with another clock."""
    body = json.dumps({"data": {"advanceWorldTime": {"campaignId": CAMPAIGN, "currentWorldTime": shown}}})
    sandbox.control("POST", "faults", {"operations": ["advanceWorldTime"], "replies": [{"body": body}]})


def start_anew(sandbox: SandboxApi) -> None:
    """A fixture for each step would cost more than all steps."""
    sandbox.reset()
    let_time_move(sandbox)
    for table in (Job, WorldAdvance, CampaignClock):
        table.objects.all().delete()


def await_first_reading(listener: Listener) -> None:
    """Poll until all clocks are known: what moves before is no advance. The first list may fail on a busy machine."""
    wait_until(
        lambda: listener.poll() >= 0 and CampaignClock.objects.exists() and not listener.catch_up.is_running,
        what="the clocks at the start",
    )
