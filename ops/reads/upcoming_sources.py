"""What will run by itself at a time of day, by source, each in order of time and up to a limit.

Waiting jobs come from the ledger; firings of cron tasks, schedules on the wall clock and steps of world clocks, which
have no job yet, are computed. Jobs that wait for a world time have no time of day and are not among them.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import Any, Final, NamedTuple

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce

from jobs.cron.firing import next_fire
from jobs.models import ClockState, CronTask, EventQuestion, Job, ScheduleRow, WorldClock
from jobs.registry import all_types, type_moving_world_time, type_on_event
from jobs.schedules.firing import wall_rows
from jobs.states import Priority, State
from jobs.world.clock import WallTime, sortable

MOST: Final = 5_000  #: planned runs of one source that are read
SCANNED: Final = 50_000  #: waiting jobs of a state that are searched for a type or a campaign
SHORTEST: Final = timedelta(minutes=1)  #: interval of a schedule that is repeated


class RunSource(StrEnum):
    """Where a planned run comes from."""

    JOB = "job"  #: a job that waits for its due time, effects and events among them
    RETRY = "retry"  #: a job that waits for its next attempt
    CRON = "cron"
    SCHEDULE = "schedule"
    CLOCK = "clock"
    QUESTION = "question"  #: an operator is asked; at the deadline the default answer counts


_QUEUES: Final = {priority.value: priority.queue for priority in Priority}
STATES: Final = {RunSource.JOB: State.SCHEDULED, RunSource.RETRY: State.RETRYING}


class PlannedRun(NamedTuple):
    """One planned run; `key` names its job, cron task, schedule or campaign."""

    at: datetime
    source: RunSource
    type: str
    campaign_id: str
    queue: str
    key: Any


@dataclass(frozen=True, slots=True)
class RunQuery:
    """What to look for; empty texts: everything."""

    since: datetime | None  #: None: from the first that is overdue
    until: datetime  #: before this
    type: str = ""
    campaign_id: str = ""
    source: str = ""

    def matches(self, job_type: str, campaign_id: str) -> bool:
        return self.type in ("", job_type) and self.campaign_id in ("", campaign_id)

    @property
    def is_narrowed(self) -> bool:
        return bool(self.type or self.campaign_id)


@dataclass(frozen=True, slots=True)
class FoundRuns:
    """The first planned runs of a source; all those before `until`."""

    planned: list[PlannedRun]
    until: datetime
    is_complete: bool  #: whether there are no more within the time that was wanted
    scanned_until: datetime | None = None  #: where a search for a type or a campaign stopped; None: nowhere


def find(source: RunSource, wanted: RunQuery, now: datetime) -> FoundRuns:
    """The first MOST planned runs of a source; at most three queries."""
    if wanted.source not in ("", source):
        return FoundRuns([], wanted.until, is_complete=True)
    if source is RunSource.RETRY:
        return _without_asking(_find_jobs(source, wanted), wanted)
    if source in STATES:
        return _find_jobs(source, wanted)
    if source is RunSource.SCHEDULE:
        return _find_schedules(wanted, now)
    return _limit(islice(_GENERATORS[source](wanted), MOST + 1), wanted)


def waiting_jobs(source: RunSource, wanted: RunQuery) -> QuerySet[Job]:
    """The waiting jobs of a source, to be read in order of their due times.

    Coalesce keeps the database from another index than that of due times, which alone bounds what is read.
    """
    jobs = Job.objects.in_state(STATES[source]).filter(due_at__lt=wanted.until)
    jobs = jobs.filter(due_at__gte=wanted.since) if wanted.since else jobs
    for name, value in (("type", wanted.type), ("campaign_id", wanted.campaign_id)):
        if value:
            jobs = jobs.alias(**{f"_{name}": Coalesce(F(name), F(name))}).filter(**{f"_{name}": value})
    return jobs


def bound_scan(source: RunSource, wanted: RunQuery) -> RunQuery:
    """The same, ending where a search for a type or a campaign would have scanned SCANNED jobs; one query."""
    if not wanted.is_narrowed:
        return wanted
    every = waiting_jobs(source, replace(wanted, type="", campaign_id=""))
    last = every.order_by("due_at").values_list("due_at", flat=True)[SCANNED : SCANNED + 1].first()
    return replace(wanted, until=last) if last else wanted


def _find_jobs(source: RunSource, wanted: RunQuery) -> FoundRuns:
    scanned = bound_scan(source, wanted)
    rows = waiting_jobs(source, scanned).order_by("due_at")
    fields = rows.values_list("due_at", "type", "campaign_id", "priority", "pk")[: MOST + 1]
    planned = (PlannedRun(at, source, kind, of, _QUEUES[priority], pk) for at, kind, of, priority, pk in fields)
    found = _limit(planned, scanned)
    if scanned is wanted:
        return found
    return replace(found, is_complete=False, scanned_until=scanned.until)


def _limit(planned: Iterable[PlannedRun], wanted: RunQuery) -> FoundRuns:
    found = list(planned)
    if len(found) <= MOST:
        return FoundRuns(found, wanted.until, is_complete=True)
    return FoundRuns(found[:MOST], found[MOST].at, is_complete=False)


def _generate_firings(wanted: RunQuery) -> Iterator[PlannedRun]:
    """Firings of enabled tasks, and of those that are enabled again by then."""
    again = Q(enabled=False, disabled_until__lt=wanted.until)
    tasks = CronTask.objects.filter(Q(enabled=True, next_fire_at__lt=wanted.until) | again)
    return heapq.merge(*(_firings(task, wanted) for task in tasks if wanted.matches(task.type, task.campaign_id)))


def _firings(task: CronTask, wanted: RunQuery) -> Iterator[PlannedRun]:
    at = task.next_fire_at if task.enabled else None
    first = at or task.disabled_until
    if first is None:
        return
    if at is None or (wanted.since and at < wanted.since):
        try:
            at = next_fire(task, max(first, wanted.since) - timedelta(microseconds=1) if wanted.since else first)
        except ValueError:  # a row edited directly in the database
            return
    while at < wanted.until:
        yield PlannedRun(at, RunSource.CRON, task.type, task.campaign_id, Priority(task.priority).queue, task.pk)
        at = next_fire(task, at)


def _find_schedules(wanted: RunQuery, now: datetime) -> FoundRuns:
    """Due times of the first MOST schedules on the wall clock, and their repetitions until the next schedule's."""
    rows = wall_rows().filter(fire_at__lt=sortable(WallTime(wanted.until)))
    rows = rows.filter(job_type=wanted.type) if wanted.type else rows
    rows = rows.filter(campaign_id=wanted.campaign_id) if wanted.campaign_id else rows
    read = list(rows.only("fire_at", "interval", "job_type", "campaign_id").order_by("fire_at")[: MOST + 1])
    known = replace(wanted, until=_fires_at(read[MOST])) if len(read) > MOST else wanted
    kinds = all_types()
    queues = {name: kind.priority.queue for name, kind in kinds.items()}
    planned = heapq.merge(
        *(_repetitions(row, queues.get(row.job_type, Priority.NORMAL.queue), known, now) for row in read[:MOST])
    )
    found = _limit(islice(planned, MOST + 1), known)
    return found if known is wanted else replace(found, is_complete=False)


def _fires_at(row: ScheduleRow) -> datetime:
    return WallTime.parse(row.fire_at).at.astimezone(UTC)


def _repetitions(row: ScheduleRow, queue: str, wanted: RunQuery, now: datetime) -> Iterator[PlannedRun]:
    """An overdue row fires at once, and after that at its own times."""
    at, interval = _fires_at(row), max(row.interval, SHORTEST)
    if at < now:
        if wanted.since is None or at >= wanted.since:
            yield PlannedRun(at, RunSource.SCHEDULE, row.job_type, row.campaign_id, queue, row.pk)
        at += interval * -((at - now) // interval)
    if wanted.since and at < wanted.since:
        at += interval * -((at - wanted.since) // interval)
    while at < wanted.until:
        yield PlannedRun(at, RunSource.SCHEDULE, row.job_type, row.campaign_id, queue, row.pk)
        at += interval


def _generate_steps(wanted: RunQuery) -> Iterator[PlannedRun]:
    """The next step of each world clock."""
    kind = type_moving_world_time()
    clocks = WorldClock.objects.filter(state=ClockState.RUNNING, next_at__lt=wanted.until)
    clocks = clocks.filter(next_at__gte=wanted.since) if wanted.since else clocks
    for clock in clocks.order_by("next_at")[: MOST + 1]:
        if clock.next_at and wanted.matches(kind.name, clock.campaign_id):
            yield PlannedRun(
                clock.next_at, RunSource.CLOCK, kind.name, clock.campaign_id, kind.priority.queue, clock.pk
            )


def _generate_deadlines(wanted: RunQuery) -> Iterator[PlannedRun]:
    """The deadlines of questions without an answer."""
    kind = all_types()[type_on_event()]
    for row in _open_questions(wanted)[: MOST + 1]:
        if wanted.matches(kind.name, row.campaign_id):
            yield PlannedRun(
                row.deadline, RunSource.QUESTION, kind.name, row.campaign_id, kind.priority.queue, row.job_id
            )


def _open_questions(wanted: RunQuery) -> QuerySet[EventQuestion]:
    found = EventQuestion.objects.open().filter(deadline__lt=wanted.until)
    return found.filter(deadline__gte=wanted.since) if wanted.since else found


def _without_asking(found: FoundRuns, wanted: RunQuery) -> FoundRuns:
    """Without the jobs that look for their answers at the deadlines, which are a source of their own."""
    asking = set(EventQuestion.objects.open().values_list("job_id", flat=True)[:MOST]) if found.planned else set()
    return replace(found, planned=[one for one in found.planned if one.key not in asking])


_GENERATORS: Final[Mapping[RunSource, Callable[[RunQuery], Iterator[PlannedRun]]]] = {
    RunSource.CRON: _generate_firings,
    RunSource.CLOCK: _generate_steps,
    RunSource.QUESTION: _generate_deadlines,
}
