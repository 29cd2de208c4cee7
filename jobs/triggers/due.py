"""The jobs of events that are triggered: one per event and time at which it is scheduled."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import structlog

from jobs.main_api.model import Event
from jobs.models import Job, unique_key_of
from jobs.registry import type_on_event
from jobs.run import Followup
from jobs.states import State
from jobs.triggers.open_events import scheduled_at
from jobs.world.clock import WorldTime

log = structlog.get_logger(__name__)
_MOST_AGAIN: Final = 100  #: times that an event may be moved away and back to one time


class _Work(NamedTuple):
    """What a job is to do, and the key by which it is found."""

    key: str
    event: Event
    at: WorldTime
    again: int


def jobs_for(events: Sequence[Event]) -> list[Followup]:
    """A job for each event that is scheduled; the same one whenever it is asked for. Their IDs can be those of jobs.

    A job that was skipped says that its event had been moved away. If the event is back, it gets another.
    """
    return [_job(work) for work in _find_work(events)]


def given_up(events: Sequence[Event]) -> set[str]:
    """The IDs of the events whose job an operator has cancelled or discarded."""
    work = _find_work(events)
    cancelled = _in_state(State.CANCELLED, [one.key for one in work])
    return {one.event.id for one in work if one.key in cancelled}


def without_job(events: Sequence[Event]) -> list[Event]:
    """The scheduled events that have no job yet, or only jobs that found them moved away."""
    work = _find_work(events)
    known = set(Job.objects.filter(unique_key__in=[one.key for one in work]).values_list("unique_key", flat=True))
    return [one.event for one in work if one.key not in known]


def _find_work(events: Sequence[Event]) -> list[_Work]:
    left = [(event, at) for event in events if (at := time_of(event)) is not None]
    found: list[_Work] = []
    for again in range(_MOST_AGAIN):
        wanted = [_Work(_key(event, at, again), event, at, again) for event, at in left]
        skipped = _in_state(State.SKIPPED, [one.key for one in wanted])
        found += [one for one in wanted if one.key not in skipped]
        left = [(one.event, one.at) for one in wanted if one.key in skipped]
        if not left:
            break
    return found


def time_of(event: Event) -> WorldTime | None:
    """When the event is scheduled; None if at no time that can be read."""
    at = scheduled_at(event)
    if at is None and event.scheduled_at:
        log.warning("events.time_rejected", event_id=event.id, time=event.scheduled_at[:100], next="it is left alone")
    return at


def subject_of(event_id: str, again: int) -> str:
    """What a job is about; its due time is the rest of its identity."""
    return f"{event_id}:{again}" if again else event_id


def _job(work: _Work) -> Followup:
    payload: dict[str, Any] = {"eventId": work.event.id, "scheduledAt": work.at.isoformat(), "byPolicy": True}
    if work.again:
        payload["again"] = work.again
    return Followup(type=type_on_event(), campaign_id=work.event.campaign_id, payload=payload)


def _key(event: Event, at: WorldTime, again: int) -> str:
    return unique_key_of(type_on_event(), event.campaign_id, subject_of(event.id, again), at.isoformat())


def _in_state(state: State, keys: Sequence[str]) -> set[str]:
    return set(Job.objects.filter(unique_key__in=keys, state=state).values_list("unique_key", flat=True))
