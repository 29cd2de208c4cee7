"""What a new job can be about: the settlements, structures, events and effects that are known, by name.

From the service's own tables, and from the main API for at most WAIT_FOR_API_S: while it is away, its part is left out.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from typing import Any, Final, NamedTuple

import structlog
from django.db.models import Q
from django.utils.translation import gettext_lazy

from jobs.errors import JobError, NotFound
from jobs.main_api.client import main_api
from jobs.main_api.listing import Listing
from jobs.models import CampaignClock, EventQuestion, Job, ScheduleRow, TriggerStep
from scheduler_project.text import StrOrPromise

log = structlog.get_logger(__name__)
OFFERED: Final = 50  #: of a list
WAIT_FOR_API_S: Final = 1.5
KEPT_S: Final = 60.0  #: how long an answer of the main API counts, its absence too
READ: Final = 1000  #: newest jobs of a campaign that are searched for effects
_MOST_KEPT: Final = 200
_threads: Final = ThreadPoolExecutor(max_workers=2, thread_name_prefix="subjects")
kept: Final[dict[tuple[str, str], tuple[float, Any]]] = {}  #: the main API's answers, and when they came


class Known(NamedTuple):
    """Something that a job can be about."""

    id: str
    name: str
    campaign_id: str


def find_settlements(campaign_id: str) -> Iterator[Known]:
    return _find_entities("Settlement", campaign_id)


def find_structures(campaign_id: str) -> Iterator[Known]:
    return _find_entities("Structure", campaign_id)


def find_events(campaign_id: str) -> Iterator[Known]:
    """Those that are not completed, or that operators were asked about."""
    listed: Listing[Any] | None = _ask("events", campaign_id, lambda: _read_events(campaign_id))
    for event in listed or ():
        if not event.is_completed:
            yield Known(event.id, event.name, campaign_id)
    asked = EventQuestion.objects.filter(campaign_id=campaign_id).values_list("event_id", "event_name")
    yield from (Known(pk, name, campaign_id) for pk, name in asked[:READ])


def find_effects(campaign_id: str) -> Iterator[Known]:
    """Those of events that jobs have executed, and of the campaign's newest jobs."""
    jobs = list(Job.objects.filter(campaign_id=campaign_id).order_by("-id").defer("traceback")[:READ])
    steps = TriggerStep.objects.filter(job_id__in=[job.pk for job in jobs]).exclude(effect_id="")
    yield from (Known(pk, name, campaign_id) for pk, name in steps.values_list("effect_id", "name")[:READ])
    for job in jobs:
        effect = job.payload.get("effectId") if isinstance(job.payload, dict) else None
        if isinstance(effect, str):
            name = job.result.get("entity") if isinstance(job.result, dict) else ""
            yield Known(effect, str(name or ""), campaign_id)


class Kind(NamedTuple):
    """What a field of a payload names."""

    noun: str  #: in logs and keys
    find: Callable[[str], Iterator[Known]]  #: by campaign
    read: Callable[[str], object | None]  #: from the main API, by ID; None: it has none. Raises JobError
    elsewhere: StrOrPromise  #: what to say of one of another `campaign`
    unknown: StrOrPromise  #: what to say of one that nobody knows


#: By the field's name in JSON.
KINDS: Final[Mapping[str, Kind]] = {
    "settlementId": Kind(
        "settlement",
        find_settlements,
        lambda pk: main_api().settlements([pk])[pk],
        gettext_lazy("This settlement belongs to campaign %(campaign)s. Correct or confirm it."),
        gettext_lazy("No settlement with this ID is known. Correct or confirm it."),
    ),
    "structureId": Kind(
        "structure",
        find_structures,
        lambda pk: main_api().structures([pk])[pk],
        gettext_lazy("This structure belongs to campaign %(campaign)s. Correct or confirm it."),
        gettext_lazy("No structure with this ID is known. Correct or confirm it."),
    ),
    "eventId": Kind(
        "event",
        find_events,
        lambda pk: main_api().event(pk),
        gettext_lazy("This event belongs to campaign %(campaign)s. Correct or confirm it."),
        gettext_lazy("No event with this ID is known. Correct or confirm it."),
    ),
    "effectId": Kind(
        "effect",
        find_effects,
        lambda pk: main_api().effect(pk),
        gettext_lazy("This effect belongs to campaign %(campaign)s. Correct or confirm it."),
        gettext_lazy(
            "No effect with this ID is known (the main API does not find effects of settlements and structures). "
            "Correct or confirm it."
        ),
    ),
}


def find_known(field: str, campaign: str, text: str = "") -> list[Known]:
    """What the field can name in a campaign, by its ID or name, at most OFFERED; `text` is a part of an ID or name."""
    if not (campaign_id := find_campaign(campaign)):
        return []
    wanted, found = text.casefold(), dict[str, Known]()
    for known in KINDS[field].find(campaign_id):
        if wanted in known.name.casefold() or wanted in known.id.casefold():
            found.setdefault(known.id, known)
            if len(found) >= OFFERED:
                break
    return sorted(found.values(), key=lambda known: (known.name.casefold(), known.id))


def find_campaign(given: str) -> str:
    """The ID of the campaign with this ID or, if it is the only one, name; empty if there is none."""
    known = list(CampaignClock.objects.filter(Q(pk=given) | Q(name=given)).values_list("pk", flat=True)[:3])
    return given if given in known else known[0] if len(known) == 1 else ""


def find_doubt(field: str, campaign_id: str, given: str) -> str:
    """What speaks against an ID, as a sentence; empty if it is known, or if nobody can tell."""
    kind = KINDS[field]
    elsewhere = _find_campaign_of(given)
    if elsewhere:
        return "" if elsewhere == campaign_id else kind.elsewhere % {"campaign": elsewhere}
    known = {known.id for known in kind.find(campaign_id)}
    if given in known:
        return ""
    is_there = _ask(kind.noun, given, lambda: _is_there(kind, given))
    if is_there is None:  # only of these all are known
        is_there = not (known and field in ("settlementId", "structureId"))
    return "" if is_there else str(kind.unknown)


def find_named(field: str, campaign_id: str, given: str) -> str:
    """The ID of the only one with this name; what was given if that is an ID, or if there is none, or several."""
    named: set[str] = set()
    for known in KINDS[field].find(campaign_id):
        if known.id == given:
            return given
        if known.name == given:
            named.add(known.id)
    return named.pop() if len(named) == 1 else given


def _find_entities(entity_type: str, campaign_id: str) -> Iterator[Known]:
    rows = ScheduleRow.objects.filter(campaign_id=campaign_id, entity_type=entity_type).order_by()
    for pk, name in rows.values_list("entity_id", "entity_name").distinct().iterator():
        yield Known(pk, name, campaign_id)


def _is_there(kind: Kind, given: str) -> bool:
    """Whether the main API has it. Raises JobError if it cannot tell."""
    try:
        found = kind.read(given)
    except NotFound:
        return False
    if isinstance(found, NotFound):
        return False
    if isinstance(found, JobError):
        raise found
    return found is not None


def _find_campaign_of(entity_id: str) -> str:
    """The campaign of a settlement or structure; empty if it has no schedule."""
    return ScheduleRow.objects.filter(entity_id=entity_id).values_list("campaign_id", flat=True).first() or ""


def _read_events(campaign_id: str) -> Sequence[Any]:
    listed = main_api().events_by_campaign([campaign_id])[campaign_id]
    if isinstance(listed, JobError):
        raise listed
    return list(listed)


def _ask(what: str, of: str, read: Callable[[], Any]) -> Any:
    """The main API's answer, from now or the last minute; None if it has not answered in time, or with an error."""
    at, answer = kept.get((what, of), (float("-inf"), None))
    if time.monotonic() - at < KEPT_S:
        return answer
    try:
        answer = _threads.submit(read).result(timeout=WAIT_FOR_API_S)
    except (JobError, NotInTime) as error:
        log.info("subjects.main_api_away", what=what, error=str(error), next="its part is left out")
        answer = None
    if len(kept) >= _MOST_KEPT:
        kept.clear()
    kept[what, of] = (time.monotonic(), answer)
    return answer
