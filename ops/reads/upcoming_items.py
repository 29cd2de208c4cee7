"""The items of one minute of the upcoming page, each with its name and its page."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from django.utils.translation import gettext

from jobs import pauses
from jobs.models import CampaignClock, CronTask, EventQuestion, Job, Pause, ScheduleRow
from ops.labels import label, name_event
from ops.reads.job import name_all
from ops.reads.upcoming import ICONS, MINUTE, Count, find_pause
from ops.reads.upcoming_sources import MOST, Planned, Source, Wanted, find

ITEMS: Final = 25  #: of one source that an open minute shows


@dataclass(frozen=True, slots=True)
class Item:
    """One planned run as an open minute shows it."""

    planned: Planned
    name: str
    campaign: str
    page: str  #: the name of its page's address
    pk: Any
    note: str
    pause: Pause | None

    @property
    def icon(self) -> str:
        return ICONS[self.planned.source]


@dataclass(frozen=True, slots=True)
class Open:
    """The items of one minute, and how many of each source are left out."""

    items: list[Item]
    left_out: list[Count]


def read_minute(wanted: Wanted, at: datetime, now: datetime, *, overdue: bool) -> Open:
    """The first ITEMS of each source within the minute, or what is overdue; at most a dozen queries."""
    own = replace(wanted, since=None if overdue else max(at, now), until=now if overdue else at + MINUTE)
    found = {source: find(source, own, now).planned for source in Source}
    planned = [one for part in found.values() for one in part[:ITEMS]]
    left = [Count(s, len(part) - ITEMS, len(part) >= MOST) for s, part in found.items() if len(part) > ITEMS]
    active = pauses.active()
    return Open([_describe(*pair, find_pause(pair[0], active)) for pair in _with_rows(sorted(planned))], left)


def _with_rows(planned: Sequence[Planned]) -> list[tuple[Planned, Any, str]]:
    """Each with what it was read from and its campaign's name; those that are gone by now are left out."""
    keys = {source: [one.key for one in planned if one.source is source] for source in Source}
    jobs = Job.objects.defer("traceback").in_bulk([*keys[Source.JOB], *keys[Source.RETRY]])
    name_all(list(jobs.values()))
    tasks = CronTask.objects.in_bulk(keys[Source.CRON])
    rows = ScheduleRow.objects.in_bulk(keys[Source.SCHEDULE])
    names = dict(CampaignClock.objects.filter(pk__in={one.campaign_id for one in planned}).values_list("pk", "name"))
    rows_of: dict[Source, Any] = {
        Source.JOB: jobs,
        Source.RETRY: jobs,
        Source.CRON: tasks,
        Source.SCHEDULE: rows,
        Source.CLOCK: {key: key for key in keys[Source.CLOCK]},
        Source.QUESTION: EventQuestion.objects.in_bulk(keys[Source.QUESTION]),
    }
    return [
        (one, row, names.get(one.campaign_id) or one.campaign_id)
        for one in planned
        if (row := rows_of[one.source].get(one.key)) is not None
    ]


def _describe(planned: Planned, row: Any, campaign: str, pause: Pause | None) -> Item:
    match planned.source:
        case Source.JOB | Source.RETRY:
            is_retry = planned.source is Source.RETRY
            note = gettext("attempt %(number)s") % {"number": row.attempts + 1} if is_retry else ""
            shown = (row.task, "admin:jobs_job_change", row.pk, note)
        case Source.CRON:
            name = gettext("Cron task %(name)s") % {"name": row.name}
            shown = (name, "admin:jobs_crontask_change", row.pk, label(row.type))
        case Source.SCHEDULE:
            name = name_event(row)
            shown = (name, "admin:jobs_campaignclock_change", row.campaign_id, "")
        case Source.CLOCK:
            shown = (
                gettext("Step of the world clock"),
                "admin:jobs_campaignclock_world_clock",
                planned.campaign_id,
                "",
            )
        case Source.QUESTION:
            name = gettext("The answer whether to trigger %(event)s") % {"event": row.event_name}
            triggered, not_triggered = (
                gettext("without one, it is triggered"),
                gettext("without one, it is not triggered"),
            )
            shown = (name, "admin:jobs_job_change", row.pk, triggered if row.default_answer else not_triggered)
    name, page, pk, note = shown
    return Item(planned, name, campaign, page, pk, note, pause)
