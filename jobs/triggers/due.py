"""The jobs of events that are triggered: one per event and time at which it is scheduled."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.db.models import QuerySet
from django.utils import timezone

from jobs.backoff import pause_before_repeating
from jobs.main_api.model import Event
from jobs.models import Job, unique_key_of
from jobs.registry import type_on_event
from jobs.run import Followup
from jobs.states import State
from jobs.triggers.open_events import scheduled_at
from jobs.world.clock import WorldTime

_MOST_AGAIN: Final = 100  #: times that an event may be moved away and back to one time, or opened again
_AT_ONCE: Final = 1_000  #: keys per statement
_NUMBERED: Final = re.compile(r":\d+\Z")  #: looks like a subject with the number of its job
#: After a job that succeeded at least so long: a list that was read before, or kept, still shows its event as open.
_READ_BEFORE: Final = timedelta(minutes=1)


class _Work(NamedTuple):
    """What a job is to do, and the key by which it is found."""

    key: str
    event: Event
    at: WorldTime
    again: int


def jobs_for(events: Sequence[Event]) -> list[Followup]:
    """A job for each event that is scheduled and has none yet. Their IDs can be those of jobs.

    A job that was skipped says that its event had been moved away, one that has succeeded that it is completed. If the
    event is back, or is opened again, it gets another, each time after twice the pause: a list may show as open what is
    completed, or gone, when it is read alone.
    """
    return [_job(work) for work in _without_job(events)]


def find_given_up(events: Sequence[Event]) -> set[str]:
    """The IDs of the events whose job an operator has cancelled or discarded."""
    work = _find_work(events)
    cancelled = _in_state(State.CANCELLED, [one.key for one in work])
    return {one.event.id for one in work if one.key in cancelled}


def without_job(events: Sequence[Event]) -> list[Event]:
    """The scheduled events that have no job yet, or only jobs before they were moved back or opened again."""
    return [one.event for one in _without_job(events)]


def _without_job(events: Sequence[Event]) -> list[_Work]:
    work = _find_work(events)
    known = {key for jobs in _in_parts([one.key for one in work]) for key in jobs.values_list("unique_key", flat=True)}
    return [one for one in work if one.key not in known]


def _find_work(events: Sequence[Event]) -> list[_Work]:
    left = [(event, at) for event in events if (at := scheduled_at(event)) is not None]
    found: list[_Work] = []
    now = timezone.now()
    for again in range(_MOST_AGAIN):
        wanted = [_Work(_key(event, at, again), event, at, again) for event, at in left]
        over = _over_until([one.key for one in wanted], pause_before_repeating(again))
        found += [one for one in wanted if one.key not in over]
        left = [(one.event, one.at) for one in wanted if (until := over.get(one.key)) and now >= until]
        if not left:
            break
    return found


def subject_of(event_id: str, again: int) -> str:
    """What a job is about; its due time is the rest of its identity.

    >>> subject_of("e", 0), subject_of("e", 1), subject_of("e:1", 0)
    ('e', 'e:1', 'e:1:0')
    """
    return f"{event_id}:{again}" if again or _NUMBERED.search(event_id) else event_id


def _job(work: _Work) -> Followup:
    payload: dict[str, Any] = {"eventId": work.event.id, "scheduledAt": work.at.isoformat(), "byPolicy": True}
    if work.again:
        payload["again"] = work.again
    return Followup(type=type_on_event(), campaign_id=work.event.campaign_id, payload=payload)


def _key(event: Event, at: WorldTime, again: int) -> str:
    return unique_key_of(type_on_event(), event.campaign_id, subject_of(event.id, again), at.isoformat())


def _in_state(state: State, keys: Sequence[str]) -> set[str]:
    return {key for jobs in _in_parts(keys) for key in jobs.filter(state=state).values_list("unique_key", flat=True)}


def _over_until(keys: Sequence[str], pause: timedelta) -> dict[str, datetime | None]:
    """By key of a job that was skipped or has succeeded: when another one may follow."""
    pauses = {State.SKIPPED: pause, State.SUCCEEDED: max(pause, _READ_BEFORE)}
    found: dict[str, datetime | None] = {}
    for jobs in _in_parts(keys):
        ended = jobs.filter(state__in=pauses).values_list("unique_key", "state", "finished_at")
        found |= {key: at and at + pauses[State(state)] for key, state, at in ended}
    return found


def _in_parts(keys: Sequence[str]) -> Iterator[QuerySet[Job]]:
    """The jobs with these keys; a database takes only so many variables in a statement."""
    return (Job.objects.filter(unique_key__in=keys[i : i + _AT_ONCE]) for i in range(0, len(keys), _AT_ONCE))
