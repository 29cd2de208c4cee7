"""Submits the jobs of schedules that have fired."""

from collections.abc import Callable, Sequence

import structlog

from jobs.errors import Refused
from jobs.run import Followup

log = structlog.get_logger(__name__)


def submit_due(submit: Callable[[Sequence[Followup]], int], due: Sequence[Followup]) -> int:
    """Submit all of them, or those that are not refused. Returns how many are new.

    Call it in the transaction that moves their schedules: a failure between two would skip an interval, and leave
    settlements waiting for jobs that nobody submits.
    """
    if not due:
        return 0
    try:
        return submit(due)
    except Refused:
        new = 0
        for one in due:
            try:
                new += submit([one])
            except Refused as refused:
                log.error("schedules.row_rejected", job_type=one.type, campaign_id=one.campaign_id, error=str(refused))
        return new
