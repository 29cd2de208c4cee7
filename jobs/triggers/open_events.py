"""The events of a campaign that are not completed: when they are scheduled, and which comes next."""

from collections.abc import Sequence
from typing import NamedTuple

from jobs.errors import JobError, NotServed, TransientError
from jobs.main_api.client import MainApi
from jobs.main_api.listing import Listing, Unreadable
from jobs.main_api.model import Event
from jobs.world.clock import WorldTime


class OpenEvents(NamedTuple):
    """The events that are not completed."""

    events: Listing[Event]
    is_whole: bool  #: False: the main API lists those that are overdue only


def read_open(api: MainApi, campaign_id: str) -> OpenEvents:
    """Read them. Raises the main API's errors."""
    found = read_open_each(api, [campaign_id])[campaign_id]
    if isinstance(found, JobError):
        raise found
    return found


def read_open_each(api: MainApi, campaign_ids: Sequence[str]) -> dict[str, OpenEvents | JobError]:
    """Read those of each campaign, many campaigns in a request, or that campaign's own error."""
    found = api.events_by_campaign(campaign_ids)
    unserved = [one for one, events in found.items() if isinstance(events, NotServed)]
    overdue = api.overdue_events(unserved) if unserved else {}
    opened: dict[str, OpenEvents | JobError] = {}
    for one, events in {**found, **overdue}.items():
        if isinstance(events, JobError):
            opened[one] = events
        elif one in overdue:
            opened[one] = OpenEvents(events, is_whole=False)
        else:
            opened[one] = OpenEvents(_keep_scheduled(events), is_whole=True)
    return opened


def find_next(api: MainApi, campaign_id: str, after: WorldTime) -> WorldTime | None:
    """When the first event after a world time is scheduled; None if there is none.

    Raises NotServed if the main API lists no events to come, and an unreadable event's error: it may be the first.
    """
    found = _keep_scheduled(api.events_by_campaign([campaign_id])[campaign_id]).whole()
    return min((at for event in found if (at := scheduled_at(event)) and at > after), default=None)


def scheduled_at(event: Event) -> WorldTime | None:
    """None if it is not scheduled, or its time cannot be read."""
    try:
        return WorldTime.parse(event.scheduled_at) if event.scheduled_at else None
    except ValueError:
        return None


def _keep_scheduled(found: Listing[Event] | JobError) -> Listing[Event]:
    """Those that are scheduled and not completed. Raises `found` if it is an error."""
    if isinstance(found, JobError):
        raise found
    left = [event for event in found if event.scheduled_at and not event.is_completed]
    odd = [
        Unreadable(one.id, TransientError(f"scheduledAt: {one.scheduled_at!r:.100}"))
        for one in left
        if not scheduled_at(one)
    ]
    return Listing((event for event in left if scheduled_at(event)), [*found.unreadable, *odd])
