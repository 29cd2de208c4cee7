"""Jobs that execute an effect."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

from django.utils import timezone

from jobs import policies, service
from jobs.engine.worker import attempt
from jobs.main_api.model import Effect
from jobs.models import Job
from jobs.service import Submission
from jobs.states import State
from tests.support.servers import SandboxApi

EFFECT: Final = Effect(
    id="effect-1",
    name="old",
    effect_type="",
    entity_type="EVENT",
    entity_id="event-1",
    timing="",
    priority=1,
    is_active=True,
    version=1,
)


def effect_job(effect_id: str = "effect-1-1") -> Job:
    due = (timezone.now() - timedelta(seconds=5)).isoformat()
    payload = {"effectId": effect_id, "executeAt": due}
    return service.submit(Submission(type="DEFERRED_EFFECT", campaign_id="campaign-1", payload=payload), actor="t")[0]


def claim(job: Job) -> attempt.Claimed:
    (claimed,) = attempt.claim([str(job.pk)], worker="w", now=timezone.now())
    return claimed


def run(job: Job) -> Job:
    """Run and record one attempt as a worker does."""
    attempt.record(attempt.run_handler([claim(job)]), actor="worker:w", worker="w")
    job.refresh_from_db()
    return job


def run_with_reply(sandbox: SandboxApi, reply: dict[str, Any]) -> Job:
    """An effect's job after `reply` to every request, once nothing more happens by itself; keys are ignored."""
    faults = {"operations": ["executeEffect"], "replies": [reply] * 4, "ignoreKeys": True}
    sandbox.control("POST", "faults", faults)
    job = run(effect_job())
    while job.state == State.RETRYING and not job.may_have_been_applied:
        service.run_now([job], actor="t", reason="its time has come")
        job = run(job)
    return job


@contextmanager
def unknown_outcome(settings: Any, policy: str) -> Iterator[None]:
    """Set EFFECT_UNKNOWN_OUTCOME within the block."""
    before, settings.EFFECT_UNKNOWN_OUTCOME = settings.EFFECT_UNKNOWN_OUTCOME, policy
    policies.cached_policy.cache_clear()
    try:
        yield
    finally:
        settings.EFFECT_UNKNOWN_OUTCOME = before
        policies.cached_policy.cache_clear()
