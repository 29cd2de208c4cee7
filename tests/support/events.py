"""Events of the sandbox, their policies, and jobs that trigger them."""

from datetime import timedelta
from typing import Any

from jobs import service
from jobs.main_api.model import Event
from jobs.models import EventPolicy, Job, TriggerStep
from jobs.service import Submission
from jobs.triggers import policies
from jobs.world.event_policies import EventAction, Policy, type_key
from tests.support.effects import run
from tests.support.servers import SandboxApi

CAMPAIGN = "campaign-1"
EVENT = "event-1-2"  #: at noon, the clock's time when the sandbox starts
AT = "1001-06-01T12:00:00.000Z"


def set_policy(action: str, campaign_id: str = "", event_type: str = "", **more: Any) -> EventPolicy:
    """Set a policy. Returns its row."""
    minutes = more.pop("minutes", 60 if action == "ask" else 0)
    policy = Policy(
        EventAction(action), campaign_id, event_type, timedelta(minutes=minutes), more.pop("default", False)
    )
    policies.set_policy(policy, actor="user:ann", reason="a test")
    return EventPolicy.objects.get(campaign_id=campaign_id, event_type=type_key(event_type))


def plant_effects(sandbox: SandboxApi, *timings: str, event_id: str = EVENT, **changes: Any) -> list[str]:
    """Give the event an effect for each of these times. Returns their IDs."""
    ids = [f"{event_id}:{number}" for number, _ in enumerate(timings)]
    for effect_id, timing in zip(ids, timings, strict=True):
        record = {"id": effect_id, "entityId": event_id, "timing": timing, **changes}
        sandbox.control("POST", "effects", record)
    return ids


def trigger_job(event_id: str = EVENT, at: str = AT, **payload: Any) -> Job:
    """A job that triggers the event, released as when world time has reached it."""
    fields = {"eventId": event_id, "scheduledAt": at, **payload}
    job, _ = service.submit(Submission(type="TRIGGER_EVENT", campaign_id=CAMPAIGN, payload=fields), actor="test")
    service.run_now([job], actor="test", reason="world time has reached it")
    job.refresh_from_db()
    return job


def ask_operator(sandbox: SandboxApi, **policy: Any) -> Job:
    """A job that has asked an operator, on the main API of today."""
    sandbox.control("POST", "dialect", {"dialect": "today"})
    plant_effects(sandbox, "PRE", "POST")
    set_policy("ask", CAMPAIGN, **policy)
    return run(trigger_job(byPolicy=True))


def event_named(event_id: str, campaign_id: str = CAMPAIGN, **changes: Any) -> Event:
    """An event as the main API lists it; at noon unless `scheduled_at` says otherwise."""
    fields = {"name": event_id[:20], "event_type": "story", "is_completed": False, "scheduled_at": AT, **changes}
    return Event(id=event_id, campaign_id=campaign_id, **fields)


def executions(sandbox: SandboxApi) -> list[str]:
    """The effects that were executed, in order."""
    return [one["effectId"] for one in sandbox.world()["executions"]]


def is_completed(sandbox: SandboxApi, event_id: str = EVENT) -> bool:
    return bool(sandbox.world()["events"][event_id]["isCompleted"])


def states_of(job: Job) -> list[str]:
    """The states of the job's steps."""
    return list(TriggerStep.objects.filter(job_id=job.pk).order_by("position").values_list("state", flat=True))
