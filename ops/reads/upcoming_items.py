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
from ops.reads.upcoming import ICONS, MINUTE, RunCount, find_pause
from ops.reads.upcoming_sources import MOST, PlannedRun, RunQuery, RunSource, find

ITEMS: Final = 25  #: of one source that an open minute shows


@dataclass(frozen=True, slots=True)
class OpenItem:
    """One planned run as an open minute shows it."""

    planned: PlannedRun
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
class OpenMinute:
    """The items of one minute, and how many of each source are left out."""

    items: list[OpenItem]
    left_out: list[RunCount]


def read_minute(wanted: RunQuery, at: datetime, now: datetime, *, overdue: bool) -> OpenMinute:
    """The first ITEMS of each source within the minute, or what is overdue; at most a dozen queries."""
    own = replace(wanted, since=None if overdue else max(at, now), until=now if overdue else at + MINUTE)
    found = {source: find(source, own, now).planned for source in RunSource}
    planned = [one for part in found.values() for one in part[:ITEMS]]
    left = [RunCount(s, len(part) - ITEMS, len(part) >= MOST) for s, part in found.items() if len(part) > ITEMS]
    active = pauses.active()
    return OpenMinute([_describe(*pair, find_pause(pair[0], active)) for pair in _with_rows(sorted(planned))], left)


def _with_rows(planned: Sequence[PlannedRun]) -> list[tuple[PlannedRun, Any, str]]:
    """Each with what it was read from and its campaign's name; those that are gone by now are left out."""
    keys = {source: [one.key for one in planned if one.source is source] for source in RunSource}
    jobs = Job.objects.defer("traceback").in_bulk([*keys[RunSource.JOB], *keys[RunSource.RETRY]])
    name_all(list(jobs.values()))
    tasks = CronTask.objects.in_bulk(keys[RunSource.CRON])
    rows = ScheduleRow.objects.in_bulk(keys[RunSource.SCHEDULE])
    names = dict(CampaignClock.objects.filter(pk__in={one.campaign_id for one in planned}).values_list("pk", "name"))
    rows_of: dict[RunSource, Any] = {
        RunSource.JOB: jobs,
        RunSource.RETRY: jobs,
        RunSource.CRON: tasks,
        RunSource.SCHEDULE: rows,
        RunSource.CLOCK: {key: key for key in keys[RunSource.CLOCK]},
        RunSource.QUESTION: EventQuestion.objects.in_bulk(keys[RunSource.QUESTION]),
    }
    return [
        (one, row, names.get(one.campaign_id) or one.campaign_id)
        for one in planned
        if (row := rows_of[one.source].get(one.key)) is not None
    ]


def _describe(planned: PlannedRun, row: Any, campaign: str, pause: Pause | None) -> OpenItem:
    match planned.source:
        case RunSource.JOB | RunSource.RETRY:
            is_retry = planned.source is RunSource.RETRY
            note = gettext("attempt %(number)s") % {"number": row.attempts + 1} if is_retry else ""
            shown = (row.task, "admin:jobs_job_change", row.pk, note)
        case RunSource.CRON:
            name = gettext("Cron task %(name)s") % {"name": row.name}
            shown = (name, "admin:jobs_crontask_change", row.pk, label(row.type))
        case RunSource.SCHEDULE:
            name = name_event(row)
            shown = (name, "admin:jobs_campaignclock_change", row.campaign_id, "")
        case RunSource.CLOCK:
            shown = (
                gettext("Step of the world clock"),
                "admin:jobs_campaignclock_world_clock",
                planned.campaign_id,
                "",
            )
        case RunSource.QUESTION:
            name = gettext("The answer whether to trigger %(event)s") % {"event": row.event_name}
            triggered, not_triggered = (
                gettext("without one, it is triggered"),
                gettext("without one, it is not triggered"),
            )
            shown = (name, "admin:jobs_job_change", row.pk, triggered if row.default_answer else not_triggered)
    name, page, pk, note = shown
    return OpenItem(planned, name, campaign, page, pk, note, pause)
