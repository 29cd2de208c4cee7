"""Names of constants as pages write them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext, gettext_lazy, gettext_noop, pgettext_lazy

from jobs.models import ScheduleRow
from jobs.registry import label_of as label
from jobs.states import State
from jobs.waits import Wait, wait_in

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

NAMES: Final = (
    gettext_noop("Population growth"),
    gettext_noop("Resource generation"),
    gettext_noop("Level up check"),
    gettext_noop("Construction complete"),
    gettext_noop("Maintenance due"),
    gettext_noop("Upgrade available"),
    gettext_noop("Event asked"),
    gettext_noop("Event expired"),
    gettext_noop("Event triggered"),
    gettext_noop("Low"),
    gettext_noop("Normal"),
    gettext_noop("High"),
    gettext_noop("Critical"),
    gettext_noop("Again"),
    gettext_noop("By minutes"),
    gettext_noop("By policy"),
    gettext_noop("By seconds"),
    gettext_noop("Cause"),
    gettext_noop("Effect ID"),
    gettext_noop("Event ID"),
    gettext_noop("Event type"),
    gettext_noop("Execute at"),
    gettext_noop("Execute at world time"),
    gettext_noop("Growth type"),
    gettext_noop("Next due"),
    gettext_noop("Next effect"),
    gettext_noop("Next event"),
    gettext_noop("Scheduled at"),
    gettext_noop("Settlement ID"),
    gettext_noop("Structure ID"),
    gettext_noop("Time of day"),
    gettext_noop("To"),
    gettext_noop("Until"),
)
"""What `label` makes of the names of events, priorities, and fields of payloads with their choices, for catalogues."""

WAITING: Final[Mapping[Wait, "_StrPromise"]] = {
    Wait.BREAKER: gettext_lazy("waits for the circuit breaker"),
    Wait.LIMIT: gettext_lazy("waits for the main API's limits"),
    Wait.ANSWER: gettext_lazy("waits for an operator's answer"),
    Wait.OUTAGE: gettext_lazy("waits for the database or Redis"),
    Wait.OTHER: gettext_lazy("waits for other work"),
}
"""What a job waits for whose last attempt found that it must wait."""

WITHIN: Final[Mapping[str, "_StrPromise"]] = {
    "POPULATION_GROWTH": pgettext_lazy("within a sentence", "population growth"),
    "RESOURCE_GENERATION": pgettext_lazy("within a sentence", "resource generation"),
    "LEVEL_UP_CHECK": pgettext_lazy("within a sentence", "level up check"),
    "CONSTRUCTION_COMPLETE": pgettext_lazy("within a sentence", "construction complete"),
    "MAINTENANCE_DUE": pgettext_lazy("within a sentence", "maintenance due"),
    "UPGRADE_AVAILABLE": pgettext_lazy("within a sentence", "upgrade available"),
    "EVENT_ASKED": pgettext_lazy("within a sentence", "event asked"),
    "EVENT_EXPIRED": pgettext_lazy("within a sentence", "event expired"),
    "EVENT_TRIGGERED": pgettext_lazy("within a sentence", "event triggered"),
}

STATES: Final[Mapping[State, "_StrPromise"]] = {
    State.SCHEDULED: pgettext_lazy("state of a job", "scheduled"),
    State.QUEUED: pgettext_lazy("state of a job", "queued"),
    State.RUNNING: pgettext_lazy("state of a job", "running"),
    State.RETRYING: pgettext_lazy("state of a job", "retrying"),
    State.SUCCEEDED: pgettext_lazy("state of a job", "succeeded"),
    State.SKIPPED: pgettext_lazy("state of a job", "skipped"),
    State.DEAD: pgettext_lazy("state of a job", "dead"),
    State.CANCELLED: pgettext_lazy("state of a job", "cancelled"),
}

_KINDS: Final[Mapping[str, "_StrPromise"]] = {
    "Settlement": gettext_lazy("settlement"),
    "Structure": gettext_lazy("structure"),
    "Event": gettext_lazy("event"),
    "Effect": gettext_lazy("effect"),
    "Job": gettext_lazy("job"),
}


_LEFT: Final[Mapping[str, "_StrPromise"]] = {
    "an effect on its way": gettext_lazy("an effect on its way"),
    "changed meanwhile": gettext_lazy("changed meanwhile"),
    "deleted": gettext_lazy("deleted"),
    "discarded": gettext_lazy("discarded"),
    "may have been applied": gettext_lazy("may have been applied"),
    "moved since": gettext_lazy("moved since"),
    "waits for a world time": gettext_lazy("waits for a world time"),
    **{state.value: text for state, text in STATES.items()},
}
_BY_NOW: Final = " by now"


#: What pages call the verbs that the audit trail keeps; several may be one word.
DID: Final[Mapping[str, "_StrPromise"]] = {
    "acknowledged": gettext_lazy("acknowledged"),
    "added": gettext_lazy("created"),
    "answered": gettext_lazy("answered"),
    "asked to stop": gettext_lazy("asked to stop"),
    "changed": gettext_lazy("changed"),
    "checked": gettext_lazy("checked"),
    "deleted": gettext_lazy("deleted"),
    "disabled": gettext_lazy("disabled"),
    "enabled": gettext_lazy("enabled"),
    "enqueued": gettext_lazy("enqueued"),
    "exported": gettext_lazy("exported"),
    "forced closed": gettext_lazy("forced closed"),
    "forced open": gettext_lazy("forced open"),
    "limited": gettext_lazy("changed"),
    "locked out": gettext_lazy("locked out"),
    "made": gettext_lazy("created"),
    "made automatic": gettext_lazy("made automatic"),
    "marked as unseen": gettext_lazy("marked as unseen"),
    "noted": gettext_lazy("noted"),
    "paused": gettext_lazy("paused"),
    "removed": gettext_lazy("removed"),
    "reopened": gettext_lazy("reopened"),
    "requeued": gettext_lazy("requeued"),
    "resolved": gettext_lazy("resolved"),
    "resumed": gettext_lazy("resumed"),
    "sent again": gettext_lazy("sent again"),
    "set": gettext_lazy("changed"),
    "settled": gettext_lazy("settled"),
    "started": gettext_lazy("started"),
    "stopped": gettext_lazy("stopped"),
}
_ROLES: Final[Mapping[str, "_StrPromise"]] = {
    "listener": gettext_lazy("listener"),
    "monitor": gettext_lazy("monitor"),
    "scheduler": gettext_lazy("scheduler"),
    "worker": gettext_lazy("worker"),
}


def label_of_verb(verb: str) -> str:
    """What an operator did, as the audit trail keeps it.

    >>> label_of_verb("made"), label_of_verb("forced open")
    ('created', 'forced open')
    """
    return str(DID.get(verb) or verb)


def find_stored_verbs(text: str) -> list[str]:
    """The verbs that the audit trail keeps and whose label contains `text`.

    >>> find_stored_verbs("Created")
    ['added', 'made']
    """
    return [verb for verb, word in DID.items() if text.lower() in str(word).lower()]


def label_of_role(role: str) -> str:
    """What a process does.

    >>> label_of_role("worker")
    'worker'
    """
    return str(_ROLES.get(role) or role)


def label_of_state(state: str) -> str:
    """A job's state.

    >>> label_of_state("DEAD")
    'dead'
    """
    return str(STATES[State(state)])


def label_of_left(why: str) -> str:
    """Why a command left a job as it was, as its report (jobs.service.Report) has it.

    >>> label_of_left("QUEUED, may have been applied"), label_of_left("RUNNING by now")
    ('queued, may have been applied', 'running by now')
    """
    return ", ".join(map(_label_of_one, why.split(", ")))


def _label_of_one(why: str) -> str:
    if why.endswith(_BY_NOW):
        return gettext("%(state)s by now") % {"state": _label_of_one(why.removesuffix(_BY_NOW))}
    return str(_LEFT.get(why) or why)


def label_within(event: str) -> str:
    """An event's name within a sentence.

    >>> label_within("POPULATION_GROWTH")
    'population growth'
    """
    return str(WITHIN.get(event) or event.replace("_", " ").lower())


def name_event(row: ScheduleRow) -> str:
    """What falls due by a schedule, and of what."""
    said = {"event": label(row.event_type), "entity": row.entity_name or row.entity_id}
    return gettext("%(event)s of %(entity)s") % said


def label_of_kind(entity_type: str) -> str:
    """The noun for an entity type of the main API.

    >>> label_of_kind("Settlement")
    'settlement'
    """
    return str(_KINDS.get(entity_type) or entity_type.lower())


def waiting_for(error: str) -> str:
    """What a job with this `error` waits for; empty if it failed."""
    wait = wait_in(error)
    return str(WAITING[wait]) if wait else ""
