"""The public interface for a request whose outcome is unknown, once an operator knows that it was carried out."""

from uuid import UUID

import structlog
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from jobs import audit, service
from jobs.errors import StateConflict
from jobs.models import Job, TriggerStep
from jobs.states import State, StepState
from scheduler_project import text
from scheduler_project.links import page

log = structlog.get_logger(__name__)
_OPEN = (StepState.SENDING, StepState.UNKNOWN)


def settle(job_id: UUID, *, actor: str, reason: str = "") -> Job:
    """Count the dead letter's open step as done, and retry the job, which goes on after it.

    Raises StateConflict if the job is no dead letter, or has no step of unknown outcome.
    """
    reason = text.line(reason, text.LONGEST_REASON)
    with transaction.atomic():
        job = Job.objects.select_for_update().filter(pk=job_id, state=State.DEAD, may_have_been_applied=True).first()
        step = TriggerStep.objects.filter(job_id=job_id, state__in=_OPEN).order_by("position").first()
        if job is None or step is None:
            raise StateConflict(gettext("the job has no request of unknown outcome"))
        was, note = step.state, text.line(f"counted as executed by {actor.removeprefix('user:')}", 300)
        TriggerStep.objects.filter(pk=step.pk).update(state=StepState.DONE, note=note, moved_at=timezone.now())
        audit.record(
            actor=actor,
            verb="settled",
            target=f"{step.name or step} of job {job_id}",
            reason=reason,
            link=page("jobs_job_change", str(job_id)),
            changes={"outcome": ("unknown", "executed")},
        )
        service.retry([job], actor=actor, reason=f"{step.name or step} was executed" + (reason and f": {reason}"))
    log.warning("event_step.settled", job_id=str(job_id), position=step.position, was=was, actor=actor)
    return job
