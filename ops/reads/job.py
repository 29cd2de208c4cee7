"""What a job's page shows: its title, why it is in its state, its timeline, and what it changed."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache, partial
from itertools import chain
from typing import Any, Final
from uuid import UUID

from django.db.models import Q, QuerySet, Subquery, UUIDField, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext, gettext_noop, ngettext

from jobs import calendars, claims, pauses
from jobs.errors import InvalidJob
from jobs.models import CampaignClock, CronTask, Job, ScheduleRow
from jobs.registry import all_types
from jobs.states import WAITING, State
from jobs.stops import waits_for_world_time
from jobs.world.calendars.calendar import Calendar
from jobs.world.clock import parse_moment
from ops.humanize import naturaltime
from ops.labels import label
from ops.reads import attempts, blockers, event_steps, stops
from ops.reads.job_why import explain
from ops.reads.moves import read_timeline
from ops.reads.world_times import write_in_calendar
from ops.verbs import VERBS, Verb

_BY: Final = {
    "user": gettext_noop("submitted by %(name)s"),
    "token": gettext_noop("submitted by API token %(name)s"),
    "cron": gettext_noop("created by the cron task %(name)s"),
    "job": gettext_noop("submitted by another job"),
    "listener": gettext_noop("triggered by a message from the main API"),
    "scheduler": gettext_noop("created by a due schedule"),
    "rescuer": gettext_noop("created by the rescuer"),
    "worker": gettext_noop("created by the worker %(name)s"),
    "command": gettext_noop("created by a command"),
    "world-clock": gettext_noop("created by the campaign's world clock"),
}

TONES: Final[Mapping[State, tuple[str, str]]] = {
    State.SCHEDULED: ("event", "calm"),
    State.QUEUED: ("hourglass_empty", "calm"),
    State.RUNNING: ("autorenew", "busy"),
    State.RETRYING: ("replay", "warn"),
    State.SUCCEEDED: ("check_circle", "good"),
    State.SKIPPED: ("skip_next", "muted"),
    State.DEAD: ("error", "bad"),
    State.CANCELLED: ("block", "muted"),
}  #: icon and tone of each state: colour is never the only sign


def write_title(job: Job, entity: ScheduleRow | None, campaign: CampaignClock | None) -> str:
    """The job as a title: "Grow population of Riverton (Northmarch), 3 occurrences"."""
    return sentence(job, entity.entity_name if entity else "", campaign.name if campaign else "")


def name_all(
    jobs: Sequence[Job], campaigns: Mapping[str, str] | None = None, known: Mapping[str, str] | None = None
) -> None:
    """Set `task` (the title without the campaign), `campaign_name` and `world_due` of each job.

    One query for the names of entities that are not in `known`, and one for the campaigns unless they are given; one
    for each campaign whose titles have world times.
    """
    names = dict(known or {})
    entities = {job.subject.partition(":")[0] for job in jobs} - {"", "cron", "heard", *names}
    if entities:
        names |= dict(ScheduleRow.objects.filter(entity_id__in=entities).values_list("entity_id", "entity_name"))
    if campaigns is None:
        wanted = {job.campaign_id for job in jobs}
        campaigns = dict(CampaignClock.objects.filter(pk__in=wanted).values_list("pk", "name"))
    calendar_of = cache(calendars.of)
    for job in jobs:
        job.task = sentence(job, names.get(job.subject.partition(":")[0], ""), calendar_of=calendar_of)
        job.campaign_name = campaigns.get(job.campaign_id) or job.campaign_id
        job.world_due = stops.write_due(job, calendar_of(job.campaign_id)) if job.clock_due else ""


def sentence(
    job: Job, entity: str, campaign: str | None = None, *, calendar_of: Callable[[str], Calendar] = calendars.of
) -> str:
    """As `write_title`, from the names of the entity and the campaign; `campaign=None` leaves the campaign out."""
    about, _, event = job.subject.partition(":")
    reported = job.result.get("entity") if isinstance(job.result, dict) else None
    text = _task(job, partial(calendar_of, job.campaign_id)).format(entity or reported or about) if about else ""
    if not text and about == "cron":
        text = gettext("%(type)s: cron task %(name)s") % {"type": label(job.type), "name": event}
    text = text or label(job.type)
    if job.campaign_id and campaign is not None:
        text += f" ({campaign or job.campaign_id})"
    if job.occurrences <= 1:
        return text
    times = ngettext("%(task)s, %(count)s occurrence", "%(task)s, %(count)s occurrences", job.occurrences)
    return times % {"task": text, "count": job.occurrences}


def _task(job: Job, calendar: Callable[[], Calendar]) -> str:
    """The payload's own description; empty for a payload that this release cannot parse."""
    declared = all_types().get(job.type)
    try:
        payload = declared.parse(job.payload, job.payload_version) if declared else None
    except InvalidJob:
        return ""
    return write_in_calendar(payload.task(), payload, calendar) if payload else ""


def describe_origin(job: Job) -> str:
    kind, _, name = job.source.partition(":")
    return gettext(_BY.get(kind, "created by %(name)s")) % {"name": name if kind in _BY else job.source}


def find_verbs(job: Job) -> list[Verb]:
    state, applied = State(job.state), job.may_have_been_applied
    allowed = [verb for verb in VERBS.values() if verb.allows(state, may_have_been_applied=applied)]
    return [verb for verb in allowed if verb.of_world_time or not waits_for_world_time(job)]


def find_changes(result: Any) -> list[tuple[str, Any, Any]]:
    """The changes in a job's result as (field, before, after); nested fields by their path."""
    before, after = (result.get("before"), result.get("after")) if isinstance(result, dict) else (None, None)
    if not isinstance(before, dict) or not isinstance(after, dict):
        return []
    was, now = _flat(before), _flat(after)
    return [(k, was.get(k), now.get(k)) for k in sorted({*was, *now}) if was.get(k) != now.get(k)]


def _flat(fields: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """{"resources": {"gold": 1}} as {"resources.gold": 1}."""
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{path}{name}.")
        else:
            flat[f"{path}{name}"] = value
    return flat


NEAR: Final = 500  #: jobs of the campaign before and after it that are searched for relatives


def find_relatives(job: Job) -> dict[str, list[Job]]:
    """Jobs created near it that it submitted (`children`), or that share its entity or type (`related`)."""
    about, _, event = job.subject.partition(":")
    same = Q(subject__startswith=f"{about}:") if event and about not in ("cron", "heard") else Q(type=job.type)
    found = find_near(job).filter(same | Q(source=f"job:{job.pk}")).order_by("-pk")
    near = list(found.defer("traceback")[:30])
    children = [one for one in near if one.source == f"job:{job.pk}"]
    others = [one for one in near if one.source != f"job:{job.pk}"]
    others.sort(key=lambda one: abs(one.pk.int - job.pk.int))
    return {"children": children[:10], "related": sorted(others[:8], key=lambda one: one.pk, reverse=True)}


def find_near(job: Job) -> QuerySet[Job]:
    """The NEAR jobs of its campaign before it, and as many after it.

    Selected by the first and the last id: for a union of two lists PostgreSQL scans the whole table.
    """
    others = Job.objects.filter(campaign_id=job.campaign_id)
    first = others.filter(pk__lt=job.pk).order_by("-pk").values("pk")[NEAR - 1 : NEAR]
    last = others.filter(pk__gt=job.pk).order_by("pk").values("pk")[NEAR - 1 : NEAR]
    return others.exclude(pk=job.pk).filter(
        pk__gte=Coalesce(Subquery(first), Value(UUID(int=0), UUIDField())),
        pk__lte=Coalesce(Subquery(last), Value(UUID(int=2**128 - 1), UUIDField())),
    )


def read_page(job: Job, now: datetime) -> dict[str, Any]:
    """The template's context: twelve queries, three more for a world time, two for a type that is not idempotent."""
    trail = attempts.read_trail(job)
    made, handed_back = attempts.read_attempts(trail), attempts.count_handed_back(trail)
    about = job.subject.partition(":")[0]
    entity = ScheduleRow.objects.filter(entity_id=about).first() if about and about != "cron" else None
    campaign = CampaignClock.objects.filter(pk=job.campaign_id).first() if job.campaign_id else None
    kind, _, name = job.source.partition(":")
    declared = all_types().get(job.type)
    idempotent = declared is None or declared.idempotent
    paused_by = pauses.blocking_pauses(job, pauses.active()) if State(job.state) in (*WAITING, State.QUEUED) else []
    calendar = calendars.of(job.campaign_id)
    world_due = stops.write_due(job, calendar)
    campaign_name = campaign.name if campaign else ""
    return {
        "job": job,
        "sentence": write_title(job, entity, campaign),
        "why": explain(
            job,
            trail[-1] if trail else None,
            now,
            paused_by,
            campaign_name,
            world_due=world_due,
            next_call=blockers.find_next_call(),
        ),
        "world_due": world_due,
        "is_passed_over": stops.is_passed_over(job),
        "holds_world": bool(job.clock_due) and not world_due and stops.holds_world(job),
        "paused_by": paused_by,
        "blockers": [*(stops.explain_wait(job, calendar) if world_due else []), *blockers.find_blockers(job, now)],
        "origin": describe_origin(job),
        "origin_job": name if kind == "job" else "",
        "cron_task": CronTask.objects.filter(name=name).first() if kind == "cron" else None,
        "steps": read_timeline(trail, now),
        "last": trail[-1] if trail else None,
        "attempts": made,
        "handed_back": handed_back,
        "waits": max(0, job.waits - handed_back),
        "started": claims.started_of(job),
        "clock_due": parse_moment(job.clock, job.clock_due) if job.clock_due else None,
        "calendar": calendar,
        "entity": entity,
        "campaign": campaign,
        **_find_others(job, {about: entity.entity_name if entity else ""}),
        "changes": find_changes(job.result),
        "idempotent": idempotent,
        **({} if idempotent else event_steps.read_steps(job)),
        "due_relative": naturaltime(job.due_at, now),
    }


def _find_others(job: Job, names: dict[str, str]) -> dict[str, Any]:
    """The jobs that the page names: relatives, the original, copies."""
    copies = Job.objects.order_by().filter(copy_of=job.pk)
    linked = list(copies.union(Job.objects.order_by().filter(pk=job.copy_of)) if job.copy_of else copies)
    near = find_relatives(job)
    name_all([*linked, *chain(*near.values())], {}, names)
    original = next((one for one in linked if one.pk == job.copy_of), None)
    return {**near, "original": original, "copies": [one for one in linked if one.pk != job.copy_of]}
