"""Submits the jobs of schedules that have fired."""

from collections.abc import Sequence

import structlog

from jobs import actor as actors
from jobs import service
from jobs.errors import Refused
from jobs.run import Followup

log = structlog.get_logger(__name__)


def submit_due(due: Sequence[Followup], *, reason: str, request_id: str = "") -> int:
    """Submit all of them, or those that are not refused. Returns how many are new."""
    if not due:
        return 0
    try:
        return service.submit_followups(due, actor=actors.SCHEDULER, reason=reason, request_id=request_id)
    except Refused:
        new = 0
        for one in due:
            try:
                new += service.submit_followups([one], actor=actors.SCHEDULER, reason=reason, request_id=request_id)
            except Refused as refused:
                log.error("scheduler.row_rejected", job_type=one.type, campaign_id=one.campaign_id, error=str(refused))
        return new
