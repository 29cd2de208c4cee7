"""Submits the jobs of schedules that the scheduler has fired."""

from collections.abc import Sequence
from functools import partial

from jobs import actor as actors
from jobs import service
from jobs.run import Followup
from jobs.schedules import submitting


def submit_due(due: Sequence[Followup], *, reason: str, request_id: str = "") -> int:
    submit = partial(service.submit_followups, actor=actors.SCHEDULER, reason=reason, request_id=request_id)
    return submitting.submit_due(submit, due)
