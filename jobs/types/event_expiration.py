"""EVENT_EXPIRATION: expire the overdue events of one campaign, or of all, except those that a policy triggers."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from django.utils.translation import gettext_noop

from jobs.errors import JobError
from jobs.main_api.expiring import EXPIRE_BATCH
from jobs.main_api.model import Event
from jobs.main_api.reading import READ_BATCH
from jobs.registry import Cron, job_type
from jobs.run import Run
from jobs.slices import Slice, SliceBudget, SlicedPayload, current_slice, rest_of, stop_at, sum_of
from jobs.triggers.looking import split
from scheduler_project.text import is_id

NAME = "EVENT_EXPIRATION"
MOST_NAMED = 50  #: expired events listed in the result
MOST_EVENTS = 500  #: per slice
MOST_CAMPAIGNS = 1000  #: per slice


@job_type(
    NAME,
    label=gettext_noop("Event expiration"),
    payload=SlicedPayload,
    all_campaigns=True,
    cron=Cron("event-expiration", "CRON_EVENT_EXPIRATION"),
    on_world_time=True,
)
def expire(payload: SlicedPayload, run: Run) -> dict[str, Any]:
    """Expire one slice of the overdue events and submit a job for the rest.

    A paused campaign's events are left for the first run after its pause. Events that are triggered instead, by their
    policy, get jobs of their own. If some events fail, the others are expired first and the error names the failed
    ones: PermanentError if none of them can ever work, else TransientError.
    """
    here = current_slice(run, payload.slice)
    expiring = _Expiring(run)
    if run.campaign_id:
        looked_at, going_on = _one_campaign(run, here, expiring)
    else:
        looked_at, going_on = _all_campaigns(run, here, expiring)
    if expiring.failed:
        raise sum_of(expiring.failed, done=f"{expiring.count} expired")
    named = expiring.named
    changed = {"before": dict.fromkeys(named, "overdue"), "after": dict.fromkeys(named, "expired")} if named else {}
    followed = {"restFollows": True} if going_on else {}
    return {"campaigns": looked_at, "expired": expiring.count, **followed, **changed}


class _Expiring:
    """The progress of one slice."""

    def __init__(self, run: Run) -> None:
        self.budget = SliceBudget(NAME, MOST_EVENTS)
        self.count = 0
        self.named: list[str] = []
        self.failed: dict[str, JobError] = {}
        self._run = run

    def expire(self, events: Sequence[Event]) -> int:
        """Expire events in order until the slice's budget is spent. Returns how many were tried.

        Raises an error after which no other request would work either.
        """
        tried = 0
        while tried < len(events) and not (tried and self.budget.spent):
            batch = events[tried : tried + max(1, self.budget.allows(EXPIRE_BATCH))]
            self._note(batch, self._run.api.expire_events(batch, key=self._run.job_id))
            tried += len(batch)
            self.budget.spend(len(batch))
        return tried

    def _note(self, batch: Sequence[Event], answers: Mapping[str, JobError | None]) -> None:
        stop_at(answers.values())
        for event in batch:
            error = answers[event.id]
            if error is not None:
                self.failed[f"event {event.id}"] = error
                continue
            self.count += 1
            if len(self.named) < MOST_NAMED:
                self.named.append(event.name)

    def failures_of(self, events: Sequence[Event]) -> int:
        """Count the events that could not be expired."""
        return sum(f"event {event.id}" in self.failed for event in events)


def _one_campaign(run: Run, here: Slice, expiring: _Expiring) -> tuple[int, bool]:
    events = run.api.overdue_events([run.campaign_id])[run.campaign_id]
    if isinstance(events, JobError):
        stop_at([events])
        raise sum_of({f"campaign {run.campaign_id}": events}, done="0 expired")
    expiring.failed |= events.failures("event", when=here.number == 0)
    left = _after(_leave_triggered(run, events), here)
    tried = expiring.expire(left)
    if tried == len(left):
        return 1, False
    _hand_on(run, run.campaign_id, here, left[:tried], expiring)
    return 1, True


def _leave_triggered(run: Run, events: Sequence[Event]) -> Sequence[Event]:
    """Submit jobs for the events that are triggered. Returns those that expire."""
    left, triggered = split(events, run.triggers)
    if triggered:
        run.submit(run.triggers.jobs_for(triggered))
    return left


def _after(events: Sequence[Event], here: Slice) -> Sequence[Event]:
    """The events that no earlier slice has tried: those after its last one, if that is still listed.

    Otherwise that one was expired, and the list starts with the events that failed.
    """
    last = next((n for n, event in enumerate(events, 1) if (_name_of(event.id),) == here.after[-1:]), None)
    return events[here.failed if last is None else last :]


def _name_of(event_id: str) -> str:
    """How a follow-up's payload names an event: by its ID or, if no database can store that, by its digest."""
    return event_id if is_id(event_id) else sha256(event_id.encode("utf-8", "surrogatepass")).hexdigest()


def _hand_on(run: Run, campaign_id: str, here: Slice, tried: Sequence[Event], expiring: _Expiring) -> None:
    """Submit a job for the rest of one campaign's events."""
    mine = bool(run.campaign_id)
    last = (_name_of(tried[-1].id),) if tried else here.after if mine else ()
    failed = (here.failed if mine else 0) + expiring.failures_of(tried)
    run.submit([rest_of(NAME, campaign_id, here, after=last, failed=failed)])


def _all_campaigns(run: Run, here: Slice, expiring: _Expiring) -> tuple[int, bool]:
    """Read READ_BATCH campaigns per request, and expire events of several campaigns in one request."""
    paused = run.paused_campaigns()
    campaigns = run.api.campaigns()
    expiring.failed |= campaigns.failures("campaign", when=here.number == 0)
    active = sorted(c.id for c in campaigns if c.is_active and c.id not in paused)
    left = [campaign_id for campaign_id in active if not here.after or campaign_id > here.after[0]]
    done = 0
    while done < min(len(left), MOST_CAMPAIGNS) and not expiring.budget.spent:
        chunk = left[done : done + READ_BATCH]
        done += _expire_of(run, here, chunk, expiring)
    if done == len(left):
        return done, False
    run.submit([rest_of(NAME, "", here, after=(left[done - 1],) if done else here.after)])
    return done, True


def _expire_of(run: Run, here: Slice, campaign_ids: Sequence[str], expiring: _Expiring) -> int:
    """Expire the overdue events of these campaigns. Returns how many campaigns, in order, are done or handed on."""
    overdue: list[tuple[int, Event]] = []
    found = run.api.overdue_events(campaign_ids)
    stop_at(found.values())
    for position, campaign_id in enumerate(campaign_ids):
        events = found[campaign_id]
        if isinstance(events, JobError):
            expiring.failed[f"campaign {campaign_id}"] = events
        else:
            expiring.failed |= events.failures("event")
            overdue += [(position, event) for event in events]
    kept = {event.id for event in _leave_triggered(run, [event for _, event in overdue])}
    overdue = [(position, event) for position, event in overdue if event.id in kept]
    tried = expiring.expire([event for _, event in overdue])
    if tried == len(overdue):
        return len(campaign_ids)
    last = overdue[tried][0]  # the campaign with the first event that was not tried
    own = [event for position, event in overdue[:tried] if position == last]
    if not own:
        return last
    _hand_on(run, campaign_ids[last], here, own, expiring)
    return last + 1
