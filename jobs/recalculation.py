"""Recalculating the schedules of one campaign, or of all: what both RECALCULATE_ job types have in common."""

from collections.abc import Callable
from typing import Any

from jobs.errors import Skip
from jobs.run import Followup, Run, Wanted


def recalculate(run: Run, job_type: str, entity_type: str, wanted: Callable[[Run], list[Wanted]]) -> dict[str, Any]:
    """Make the schedule rows of a campaign what its entities ask for, and submit the jobs that are due.

    Without a campaign: one job of `job_type` for each active campaign. Raises Skip for a campaign that is gone or
    inactive, whose rows are removed.
    """
    if not run.campaign_id:
        active = [campaign.id for campaign in run.api.campaigns(fresh=True) if campaign.is_active]
        submitted = run.submit(
            [Followup(type=job_type, campaign_id=c, payload={}, subject=f"job:{run.job_id}") for c in active]
        )
        return {"campaigns": len(active), "submitted": submitted}
    campaign = run.api.campaign(run.campaign_id)
    if campaign is None or not campaign.is_active:
        run.schedules.clear(run.campaign_id, entity_type)
        raise Skip(f"campaign {run.campaign_id} is {'gone' if campaign is None else 'inactive'}")
    rows = wanted(run)
    due = run.schedules.sync(campaign, entity_type, rows)
    return {"rows": len(rows), "due": len(due), "submitted": run.submit(due)}
