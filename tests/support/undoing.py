"""Jobs as operators leave them, and actions that are taken back."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.utils import timezone

from jobs import actions, service, undo
from jobs.models import Job, JobAction, new_job_id
from jobs.service import CommandReport
from jobs.states import State

NEVER_APPLIED = "EVENT_EXPIRATION"
EFFECT = "DEFERRED_EFFECT"
KEPT = ("state", "due_at", "first_due_at", "failures", "attempt", "error", "finished_at", "priority")


def a_job(state: State, *, due: timedelta = timedelta(hours=1), **changes: Any) -> Job:
    """A job as a worker or an operator left it."""
    now = timezone.now()
    job = Job(
        pk=new_job_id(),
        type=NEVER_APPLIED,
        campaign_id="c-1",
        unique_key=str(new_job_id()),
        state=state,
        due_at=now + due,
        first_due_at=now - timedelta(days=1),
        attempt=2,
        failures=2 if state in (State.RETRYING, State.DEAD) else 0,
        error="HTTP 500" if state in (State.RETRYING, State.DEAD) else "",
        finished_at=now - timedelta(hours=2) if state is State.DEAD else None,
        source="test",
    )
    for name, value in changes.items():
        setattr(job, name, value)
    job.save(force_insert=True)
    return Job.objects.get(pk=job.pk)


def columns(job: Job) -> dict[str, Any]:
    stored = Job.objects.get(pk=job.pk)
    return {name: getattr(stored, name) for name in KEPT}


def act(verb: str, *jobs: Job, **more: Any) -> tuple[JobAction, CommandReport]:
    """One action of ann's, as the pages record it."""
    commands: dict[str, Callable[..., CommandReport]] = {
        "cancel": service.cancel,
        "discard": service.discard,
        "reschedule": service.reschedule,
        "retry": service.retry,
        "run_now": service.run_now,
        "restore": undo.restore,
    }
    action = actions.begin(verb, actor="user:ann")
    return action, commands[verb](list(jobs), actor="user:ann", reason="", action=action, **more)


def take_back(action: JobAction) -> CommandReport:
    by = actions.begin(action.verb, actor="user:bob", undoes=action)
    return undo.undo(action, list(action.entries.all()), actor="user:bob", reason="", action=by)
