"""What triggering an event needs: its effects in the order of their execution, and its completion."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import structlog
from msgspec.structs import replace

from jobs.errors import JobError, TransientError
from jobs.main_api import operations
from jobs.main_api.answers import Answer, Request, refusal_of
from jobs.main_api.batches import SendBatch, alias_of
from jobs.main_api.errors import error_of, says_completed
from jobs.main_api.executing import LONGEST_REASON, Ask
from jobs.main_api.listing import MOST_LOGGED, Listing, read_list
from jobs.main_api.model import Effect, Event
from jobs.sending import Sending
from scheduler_project import text

log = structlog.get_logger(__name__)
TIMINGS: Final = ("PRE", "ON_RESOLVE", "POST")
COMPLETE: Final = "completeEvent"
_EFFECTS: Final = "getEffectsForEntity"
#: How the main API may spell what effects hang on: its contract in lower case, today's answers in upper case.
_SPELLINGS: Final = ("EVENT", "event")
_SUMMARIES: Final = ("pre", "onResolve", "post")


class Completion(NamedTuple):
    """How many effects of an event the main API has run while it completed it."""

    total: int = 0
    succeeded: int = 0
    was_completed: bool = False  #: it was completed before, so that this request ran none


def effects_of(event_id: str, send: SendBatch) -> list[Effect]:
    """Read an event's effects: PRE, ON_RESOLVE, POST; within each by priority, the lowest first, then as listed.

    Each has one of these times: where it names no such time, that of the list in which it is. None is there twice.
    Raises NotServed where the main API has no such query, and the error of a list or an effect that cannot be read:
    what is missing must not be taken for what is not there.
    """
    for spelling in _SPELLINGS:
        each = [{"entityType": spelling, "entityId": event_id, "timing": timing} for timing in TIMINGS]
        if found := _read_lists(event_id, send(_EFFECTS, each), len(each)):
            return found
    return []


def _read_lists(event_id: str, answer: Answer, count: int) -> list[Effect]:
    found: dict[str, Effect] = {}
    for position in range(count):
        effects = read_list(_EFFECTS, alias_of(position, count, _EFFECTS), answer, Effect)
        if isinstance(effects, JobError):
            raise effects
        for effect in effects.whole():
            if effect.entity_id != event_id:  # executed once, it could not be taken back
                raise TransientError(f"{_EFFECTS}: effect {effect.id!r:.100} hangs on {effect.entity_id!r:.100}")
            timing = effect.timing if effect.timing in TIMINGS else TIMINGS[position]
            found.setdefault(effect.id, replace(effect, timing=timing))
    return sorted(found.values(), key=lambda effect: (TIMINGS.index(effect.timing), effect.priority))


def keep_own(name: str, campaign_id: str, found: Listing[Event] | JobError) -> Listing[Event] | JobError:
    """A campaign's events without those that say they belong to another one: their own campaign lists them."""
    if isinstance(found, JobError):
        return found
    odd = [event for event in found if event.campaign_id != campaign_id]
    if not odd:
        return found
    named = [(text.plain(event.id[:100]), text.plain(event.campaign_id[:100])) for event in odd[:MOST_LOGGED]]
    log.warning("events.of_another_campaign", operation=name, campaign_id=campaign_id, events=len(odd), first=named)
    return Listing((event for event in found if event.campaign_id == campaign_id), found.unreadable)


def complete(event_id: str, ask: Ask, *, key: str, sending: Sending) -> Completion:
    """Complete one event, as `MainApi.complete_event` says."""
    answer = ask(COMPLETE, operations.text(COMPLETE), {"id": event_id}, key=key, once=sending)
    try:
        done = read_completion(answer, event_id)
    except JobError as error:
        if not getattr(error, "may_resend", True):  # the outcome is unknown
            raise
        sending.mark_refused()
        raise
    sending.mark_done()
    return done


def read_completion(answer: Answer, event_id: str) -> Completion:
    """Interpret the response to completeEvent by the table in answers.py; it runs effects, as executeEffect does.

    That BAD_REQUEST means "completed already" is promised for expireEvent only: here the message has to say so.
    """
    done = answer.data.get(COMPLETE)
    if isinstance(done, Mapping):
        if (other := _event_id(done)) not in ("", event_id):
            raise Request.ONCE.unclear(f"{COMPLETE}: asked for {event_id}, got {text.plain(other[:100])}")
        return _sum(done)
    if refusal := refusal_of(answer, COMPLETE, about=event_id):
        if says_completed(refusal):
            return Completion(was_completed=True)
        raise error_of(COMPLETE, refusal)
    reason = str(error_of(COMPLETE, answer.errors[0])) if answer.errors else f"{COMPLETE}: the answer is {done!r}"
    raise Request.ONCE.unclear(reason[:LONGEST_REASON])


def _event_id(done: Mapping[str, Any]) -> str:
    event = done.get("event")
    found = event.get("id") if isinstance(event, Mapping) else None
    return found if isinstance(found, str) else ""


def _sum(done: Mapping[str, Any]) -> Completion:
    """Add up the summaries leniently: the event is completed, however malformed they are."""
    summaries: Sequence[Any] = [done.get(name) for name in _SUMMARIES]
    counts = [[_count(one, name) for one in summaries] for name in ("total", "succeeded")]
    return Completion(total=sum(counts[0]), succeeded=sum(counts[1]))


def _count(summary: object, name: str) -> int:
    value = summary.get(name) if isinstance(summary, Mapping) else None
    return value if type(value) is int and value >= 0 else 0
