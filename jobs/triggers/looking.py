"""Looks for a campaign's events that are triggered, so that world time stops at each of them."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import structlog

from jobs.errors import JobError, NotAuthorized, PermanentError
from jobs.main_api.model import Campaign, Event
from jobs.run import Run, Triggers
from jobs.slices import stop_at
from jobs.triggers.due import without_job
from jobs.triggers.open_events import read_open, read_open_each, scheduled_at
from jobs.world.clock import WorldTime
from jobs.world.event_policies import EventAction, Policies
from scheduler_project.text import is_id

log = structlog.get_logger(__name__)
MOST_AHEAD: Final = 100  #: events to come whose jobs are submitted, the next ones first
MOST_DUE: Final = 500  #: the same for due events; the next look takes the rest


class Coming(NamedTuple):
    """An event that is triggered, or asked about, and has no job yet."""

    at: WorldTime
    event: Event
    asks: bool


def submit_triggers(run: Run, campaign: Campaign) -> None:
    """Submit a job for each event of the campaign that a policy says to trigger, or to ask about.

    Call it before schedules are brought up to the campaign's clock, which must not pass these events. Costs no request
    while every event expires. Events that can never be read hold up nothing else: EVENT_EXPIRATION names them. Raises
    JobError if they may be readable later.
    """
    policies = run.triggers.policies([campaign.id])
    if not campaign.current_world_time or policies.only_expire:
        return
    now = _clock_of(campaign.current_world_time)
    try:
        found = read_open(run.api, campaign.id).events
    except NotAuthorized:
        raise
    except PermanentError as error:
        log.warning(
            "events.unreadable", campaign_id=campaign.id, error=str(error)[:300], next="they are looked for again"
        )
        return
    due, ahead = _in_order(choose(found, policies), now)
    run.submit([*run.triggers.jobs_for(due)[:MOST_DUE], *run.triggers.jobs_for(ahead[:MOST_AHEAD])])


def find_to_trigger(run: Run, campaigns: Sequence[Campaign]) -> set[str]:
    """The IDs of the campaigns for which `submit_triggers` would submit a job, or fail; many are read in a request.

    Their clocks must be readable. Raises an error after which no other request would work either.
    """
    timed = {campaign.id: campaign.current_world_time for campaign in campaigns if campaign.current_world_time}
    policies = run.triggers.policies(list(timed))
    if policies.only_expire:
        return set()
    opened = read_open_each(run.api, [one for one in timed if not policies.only_expire_in(one)])
    stop_at(opened.values())
    failed: set[str] = set()
    events: list[Event] = []
    for campaign_id, found in opened.items():
        if isinstance(found, JobError):
            failed.add(campaign_id)
            continue
        due, ahead = _in_order(choose(found.events, policies), _clock_of(timed[campaign_id]))
        events += [*due, *ahead[:MOST_AHEAD]]
    return failed | {job.campaign_id for job in run.triggers.jobs_for(events)}


def choose(events: Sequence[Event], policies: Policies) -> list[Event]:
    """The events that are not completed and do not simply expire, but for IDs and times that no job can have."""
    return [
        event
        for event in events
        if not event.is_completed
        and policies.of(event.campaign_id, event.event_type).action is not EventAction.EXPIRE
        and is_id(event.id)
        and is_id(event.campaign_id)
        and scheduled_at(event) is not None
    ]


def split(events: Sequence[Event], triggers: Triggers) -> tuple[Sequence[Event], Sequence[Event]]:
    """The events that expire, those whose job was cancelled too, and the others, which their policy triggers."""
    if not events:
        return events, []
    campaigns = {event.campaign_id for event in events if is_id(event.campaign_id)}
    chosen = choose(events, triggers.policies(list(campaigns)))
    triggered = {event.id for event in chosen} - set(triggers.find_given_up(chosen)) if chosen else set()
    return [e for e in events if e.id not in triggered], [e for e in chosen if e.id in triggered]


def find_coming(triggered: Sequence[Event], triggers: Triggers) -> list[Coming]:
    """Those of the events that are triggered which have no job yet, in order: only the next MOST_AHEAD have one."""
    events = without_job(triggered)
    if not events:
        return []
    policies = triggers.policies(list({event.campaign_id for event in events}))
    found = [
        Coming(at, event, policies.of(event.campaign_id, event.event_type).action is EventAction.ASK)
        for event in events
        if (at := scheduled_at(event)) is not None
    ]
    return sorted(found, key=lambda one: (one.at, one.event.id))


def _in_order(events: list[Event], now: WorldTime) -> tuple[list[Event], list[Event]]:
    """The events that are due by now, and those ahead."""
    times: list[tuple[WorldTime, str, Event]] = []
    times += ((at, event.id, event) for event in events if (at := scheduled_at(event)) is not None)
    times.sort(key=lambda one: one[:2])
    return [event for at, _, event in times if at <= now], [event for at, _, event in times if at > now]


def _clock_of(world_time: str) -> WorldTime:
    try:
        return WorldTime.parse(world_time)
    except ValueError as error:
        raise PermanentError(f"currentWorldTime: {str(error)[:300]}") from None
