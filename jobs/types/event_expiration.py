"""EVENT_EXPIRATION: mark the overdue events of one campaign, or of all, as expired."""

from typing import Any

from jobs.errors import CircuitOpen, JobError, NotAuthorized, PermanentError, TransientError
from jobs.registry import Cron, NoPayload, job_type
from jobs.run import Run

NAME = "EVENT_EXPIRATION"
MOST_NAMED = 50  #: expired events that the result names


@job_type(
    NAME,
    payload=NoPayload,
    all_campaigns=True,
    cron=Cron("event-expiration", "CRON_EVENT_EXPIRATION"),
    on_world_time=True,
)
def expire(payload: NoPayload, run: Run) -> dict[str, Any]:
    """Expire what is overdue; what failed is named in the error, after everything else was done.

    The events of a paused campaign are left for the first round after its pause.

    Raises PermanentError when nothing that failed can ever work, TransientError when some of it may.
    """
    if run.campaign_id:
        campaign_ids = [run.campaign_id]
    else:
        paused = run.paused_campaigns()
        campaign_ids = [c.id for c in run.api.campaigns() if c.is_active and c.id not in paused]
    failed: dict[str, JobError] = {}
    overdue: dict[str, str] = {}  #: name by id
    for campaign_id, events in run.api.overdue_events(campaign_ids).items():
        if isinstance(events, JobError):
            failed[f"campaign {campaign_id}"] = events
        else:
            overdue |= {event.id: event.name for event in events}
    for event_id, error in run.api.expire_events(list(overdue), key=run.job_id).items():
        if error is not None:
            failed[f"event {event_id}"] = error
    if failed:
        raise _sum_of(failed, expired=len(overdue) - sum(name.startswith("event ") for name in failed))
    named = list(overdue.values())[:MOST_NAMED]
    changed = {"before": dict.fromkeys(named, "overdue"), "after": dict.fromkeys(named, "expired")} if named else {}
    return {"campaigns": len(campaign_ids), "expired": len(overdue), **changed}


def _sum_of(failed: dict[str, JobError], *, expired: int) -> JobError:
    """One error for many: the one that decides most about what comes next."""
    for error in failed.values():
        if isinstance(error, CircuitOpen | NotAuthorized):
            return error
    first = "; ".join(f"{name}: {error}" for name, error in list(failed.items())[:5])
    text = f"{expired} expired, {len(failed)} failed: {first}"
    if all(isinstance(error, PermanentError) for error in failed.values()):
        return PermanentError(text)
    waits = [error.retry_after for error in failed.values() if isinstance(error, TransientError) and error.retry_after]
    return TransientError(text, retry_after=max(waits, default=None))
