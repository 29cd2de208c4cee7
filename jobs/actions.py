"""Operators' actions on jobs: one record each, to which the audit entries of its jobs belong."""

import json
from datetime import datetime
from uuid import UUID, uuid5

from django.db.models import F

from jobs.models import JobAction, new_job_id
from scheduler_project import request_origin, text


def begin(
    verb: str,
    *,
    actor: str,
    reason: str = "",
    step_of: UUID | None = None,
    selection: str = "",
    due_at: datetime | None = None,
    undoes: JobAction | None = None,
) -> JobAction:
    """Record an action. Steps with the same `step_of` and arguments are one action: the first records it.

    `reason` is what the operator typed, and `selection` the filter in words.
    """
    origin = request_origin.current()
    same = {
        "verb": verb,
        "actor": text.line(actor, 120),
        "reason": text.line(reason, text.LONGEST_REASON),
        "selection": text.line(selection, text.LONGEST_REASON),
        "due_at": due_at,
    }
    key = uuid5(step_of, json.dumps(same, default=str)) if step_of else new_job_id()
    action, _ = JobAction.objects.get_or_create(
        key=key, defaults={**same, "undoes": undoes, "ip": origin.ip, "request_id": origin.request_id}
    )
    return action


def count(action: JobAction, *, moved: int, skipped: int) -> None:
    """Add the jobs that one step moved and skipped. Call it in the transaction of the step."""
    if moved or skipped:
        JobAction.objects.filter(pk=action.pk).update(jobs=F("jobs") + moved, skipped=F("skipped") + skipped)
