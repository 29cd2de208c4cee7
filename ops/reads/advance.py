"""What the pages of a campaign's advances show: what moved world time, how far its jobs are, and what they changed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final
from uuid import UUID

from django.db.models import Count, Q
from django.utils.translation import gettext

from jobs import calendars, pauses, stops
from jobs.models import AdvanceSource, Job, Pause, ScheduleRow, WorldAdvance, WorldStop, first_id
from jobs.schedules import predictions
from jobs.schedules.predictions import Prediction
from jobs.states import State
from jobs.world.clock import Moment, WorldTime, parse_moment, sortable
from ops.labels import waiting_for
from ops.reads.advance_counts import LIVE, ByState
from ops.reads.advance_report import AdvanceReport
from ops.reads.advance_towns import Towns, of_town
from ops.reads.job import describe_origin, find_changes, name_all
from ops.reads.reasons import typed_reason

MOST_JOBS: Final = 20_000  #: of the campaign, since the advance, that are searched for its own
MOST_ROWS: Final = 1000  #: due times left that are counted
PAGE: Final = 50
GROUPS: Final[Mapping[str, tuple[State, ...]]] = {"": tuple(State), "live": LIVE, "failed": (State.DEAD,)}


@dataclass(frozen=True, slots=True)
class AdvanceJob:
    """A job of the advance."""

    job: Job
    due: Moment | None
    summary: str
    changes: Sequence[tuple[str, Any, Any]]


class Advance(ByState):
    """One advance, read for its page."""

    def __init__(
        self, row: WorldAdvance, *, most_jobs: int | None = None, jobs: Mapping[UUID, Job] | None = None
    ) -> None:
        """`jobs` that move time, by ID, if they have been read."""
        self.row = row
        self._jobs = jobs
        self.most_jobs = most_jobs or MOST_JOBS
        self.was = WorldTime.parse(row.from_time) if row.from_time else None
        self.to = WorldTime.parse(row.to_time)

    @cached_property
    def job(self) -> Job | None:
        """The job that moved time."""
        if not self.row.job_id:
            return None
        if self._jobs is not None:
            return self._jobs.get(self.row.job_id)
        return Job.objects.filter(pk=self.row.job_id).first()

    @property
    def who(self) -> str:
        if self.job:
            return gettext("A job %(origin)s") % {"origin": describe_origin(self.job)}
        if self.row.job_id:
            return gettext("A job that retention has deleted")
        if self.row.source == AdvanceSource.MESSAGE:
            return gettext("Somebody in the main API: its message was received")
        return gettext("Somebody in the main API: the clock was read")

    @property
    def cause(self) -> str:
        payload = self.job.payload if self.job else None
        return str(payload.get("cause", "")) if isinstance(payload, dict) else ""

    @cached_property
    def reason(self) -> str:
        first = self.job.audit_trail.order_by("id").first() if self.job else None
        return typed_reason(first.actor, first.reason) if first else ""

    @cached_property
    def ceiling(self) -> UUID | None:
        """The first job of the campaign that is not searched."""
        jobs = Job.objects.filter(campaign_id=self.row.campaign_id, pk__gte=self.floor).order_by("pk")
        return jobs.values_list("pk", flat=True)[self.most_jobs : self.most_jobs + 1].first()

    @property
    def floor(self) -> UUID:
        """The first job that is searched."""
        return first_id(self.row.created_at)

    @property
    def condition(self) -> Q:
        """Selects its jobs: those of its request, and those that others have found due in its stretch of time."""
        own = Q(request_id=self.row.request_id)
        if self.row.from_time:
            own |= Q(clock="world", clock_due__gt=self.row.from_time, clock_due__lte=self.row.to_time)
        searched = Q(campaign_id=self.row.campaign_id, pk__gte=self.floor)
        return searched & own & (Q(pk__lt=self.ceiling) if self.ceiling else Q())

    @cached_property
    def counted(self) -> list[tuple[State, str, int, int]]:
        """State, type, priority and number of its jobs."""
        groups = Job.objects.filter(self.condition).order_by().values_list("state", "type", "priority")
        return [(State(state), kind, priority, n) for state, kind, priority, n in groups.annotate(n=Count("id"))]

    @cached_property
    def counts(self) -> Counter[State]:
        counts: Counter[State] = Counter()
        for state, _, _, n in self.counted:
            counts[state] += n
        return counts

    @cached_property
    def paused(self) -> list[Pause]:
        """All that is paused now."""
        return pauses.active()

    @cached_property
    def held(self) -> int:
        """Its waiting jobs that a pause holds back."""
        campaign_id = self.row.campaign_id
        return sum(
            n
            for state, kind, priority, n in self.counted
            if state in LIVE
            and state is not State.RUNNING
            and pauses.blocking_pauses(Job(type=kind, campaign_id=campaign_id, priority=priority), self.paused)
        )

    @cached_property
    def rows_left(self) -> int:
        """Schedule rows that are still due by its end, counted up to MOST_ROWS + 1."""
        rows = ScheduleRow.objects.filter(campaign_id=self.row.campaign_id, clock="world", next_due__gt="")
        return rows.filter(next_due__lte=sortable(self.to)).order_by()[: MOST_ROWS + 1].count()

    @cached_property
    def stop(self) -> WorldStop | None:
        """At which the world stands on the way: it goes on once the stop's job has ended."""
        stop = stops.first_reached(self.row.campaign_id, self.to) if self.row.processed_at else None
        return stop if stop and self.is_on_the_way(stop.at) else None

    def is_on_the_way(self, at: str) -> bool:
        """Whether it is this advance that reached the campaign's first stop; `at` is sortable."""
        return self.row.processed_at is not None and (self.was is None or at > sortable(self.was))

    @cached_property
    def stands(self) -> bool:
        """Whether the world stands at a stop on the way."""
        return self.stop is not None

    @cached_property
    def has_rows_left(self) -> bool:
        return bool(self.rows_left)

    @property
    def is_live(self) -> bool:
        return bool(self.live or self.stands or not self.row.processed_at)

    @property
    def phase(self) -> tuple[str, str, str]:
        """What it is doing, with an icon and a tone."""
        if not self.row.processed_at:
            moving = self.job is not None and State(self.job.state) in LIVE
            if moving:
                return gettext("Moving time"), "autorenew", "busy"
            return gettext("Time has not moved"), "error", "bad"
        if self.live:
            is_held = self.held == self.live
            return gettext("In progress"), *(("pause_circle", "warn") if is_held else ("autorenew", "busy"))
        if self.stands:
            return gettext("Waiting at a stop"), "hourglass_empty", "busy"
        if self.failed:
            return gettext("Ended, with failures"), "error", "bad"
        if self.has_rows_left:
            return gettext("Ended, some are left for later"), "hourglass_empty", "warn"
        return gettext("Done"), "check_circle", "good"

    @cached_property
    def towns(self) -> Towns:
        return Towns(self.row.campaign_id, Job.objects.filter(self.condition))

    @cached_property
    def prediction(self) -> Prediction | None:
        """What was said of it; None if it was not submitted from a what-if."""
        return predictions.find(self.row.job_id) if self.row.job_id else None

    @cached_property
    def report(self) -> AdvanceReport | None:
        """Where it came out otherwise; None while it goes on, or if nothing was said."""
        if self.is_live or self.prediction is None:
            return None
        return AdvanceReport(self.row, self.prediction, self.ceiling, calendars.of(self.row.campaign_id))

    def steps(
        self, group: str, town: str, after: tuple[str, UUID] | None
    ) -> tuple[list[AdvanceJob], AdvanceJob | None]:
        """A page of its jobs, or of those of a town, in the order of world time; the last one if there are more."""
        jobs = Job.objects.filter(self.condition, state__in=[s.value for s in GROUPS[group]])
        if town:
            jobs = jobs.filter(of_town(town))
        if after:
            jobs = jobs.filter(Q(clock_due__gt=after[0]) | Q(clock_due=after[0], pk__gt=after[1]))
        found = list(jobs.defer("traceback").order_by("clock_due", "pk")[: PAGE + 1])
        name_all(found[:PAGE])
        steps = [_step(job) for job in found[:PAGE]]
        return steps, steps[-1] if len(found) > PAGE else None


def advance_of(job: Job) -> WorldAdvance | None:
    """The advance that a job is, or that it belongs to."""
    wanted = Q(job_id=job.pk)
    if job.request_id and job.campaign_id:
        wanted |= Q(request_id=job.request_id, campaign_id=job.campaign_id)
    return WorldAdvance.objects.filter(wanted).order_by("id").first()


def _step(job: Job) -> AdvanceJob:
    summary = job.result.get("summary") if isinstance(job.result, dict) else ""
    if State(job.state) in (State.DEAD, State.RETRYING):
        summary = waiting_for(job.error) or job.error
    due = parse_moment(job.clock, job.clock_due) if job.clock and job.clock_due else None
    return AdvanceJob(job, due, str(summary or ""), find_changes(job.result))
