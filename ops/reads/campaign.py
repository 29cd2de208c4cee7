"""A campaign's page: its clock, what is due next, and what blocks it.

It reads only the service's own tables (clocks, schedule rows, jobs), not the main API.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Q, QuerySet
from django.utils import timezone
from redis import RedisError

from jobs import control
from jobs.broker import keys
from jobs.main_api import traffic
from jobs.models import CampaignClock, Job, Pause, PauseKind, ScheduleRow
from jobs.registry import all_types
from jobs.states import ENDED, Priority, State
from jobs.stops import Due
from jobs.triggers import questions
from jobs.world.calendars.calendar import Calendar
from jobs.world.calendars.examples import GREGORIAN
from jobs.world.calendars.text import format_world_time
from jobs.world.clock import Moment, WallTime, WorldTime, parse_moment, sortable
from ops.humanize import label, naturaltime
from ops.reads import blockers
from ops.reads.campaign_jobs import Newest
from ops.reads.households import explain_waiting
from scheduler_project.durations import duration

PAGE: Final = 60  #: schedule rows of a page


@dataclass(frozen=True, slots=True)
class Blocker:
    """Something that stops schedule rows from making jobs, or their jobs from running."""

    name: str  #: a word or two
    explanation: str  #: the cause and what ends it
    clocks: tuple[str, ...] = ("world", "wall")  #: blocks only rows on these clocks
    job_types: frozenset[str] | None = None  #: blocks only rows that make jobs of these types; None: all
    overdue_of: str = ""  #: blocks only overdue rows of entities of this type; empty: all rows
    after: str = ""  #: blocks only rows that are due after this, as text that sorts by time; empty: all rows
    job: Job | None = None  #: the job that causes it

    def blocks(self, one: "Row") -> bool:
        """Whether it applies to the row."""
        row = one.row
        made = self.job_types is None or row.job_type in self.job_types
        due = not self.overdue_of or (one.overdue and self.overdue_of == row.entity_type)
        held = not self.after or (one.overdue and row.next_due > self.after)
        return row.clock in self.clocks and made and due and held

    @property
    def limited_to(self) -> str:
        """The names of the job types that it blocks; empty: all."""
        return ", ".join(sorted(label(name).lower() for name in self.job_types or ()))


@dataclass(slots=True)
class Row:
    """A schedule row with its jobs and what blocks it."""

    row: ScheduleRow
    due: Moment | None
    due_in: timedelta | None  #: on the row's own clock; negative: overdue
    job: Job | None = None  #: the row's newest job
    dead: Job | None = None
    blockers: list[Blocker] = field(default_factory=list)
    maker: Job | None = None  #: a queued recalculation, which makes its job
    place: list[str] = field(default_factory=list)  #: what goes before its queued job, or its maker
    calendar: Calendar = GREGORIAN

    @property
    def overdue(self) -> bool:
        return self.due_in is not None and self.due_in <= timedelta(0)

    @property
    def when(self) -> str:
        """The due time on its own clock."""
        return format_moment(self.due, self.calendar) if self.due else "never: past the year 9999"

    @property
    def how_long(self) -> str:
        """The time until then."""
        if self.due_in is None:
            return ""
        clock = " of world time" if self.row.clock == "world" else ""
        return f"overdue by {duration(self.due_in)}{clock}" if self.overdue else f"in {duration(self.due_in)}{clock}"

    @property
    def what(self) -> str:
        return f"{label(self.row.event_type)} of {self.row.entity_name or self.row.entity_id}"

    @property
    def dead_explanation(self) -> str:
        """Empty without a dead letter."""
        if self.dead is None:
            return ""
        due = timezone.localtime(self.dead.due_at)
        return f"Its job of {due:%Y-%m-%d %H:%M %Z} is a dead letter ({self.dead.error[:120]}): retry it."

    @property
    def queued(self) -> Job | None:
        """Its job, or what makes it, if that waits for a worker."""
        return self.maker or (self.job if self.job and self.job.state == State.QUEUED else None)

    @property
    def backlog(self) -> str:
        """How it stands with what is queued; empty if nothing is."""
        by = (
            "is due; a recalculation that waits for a worker makes its job"
            if self.maker
            else "has a job that waits for a worker"
        )
        return " ".join([f"{self.what} {by}.", *self.place]) if self.queued else ""

    @property
    def why(self) -> str:
        """Why it has not happened yet, as a sentence."""
        what = self.what
        if self.blockers:
            return f"{what} is blocked: {' '.join(blocker.explanation for blocker in self.blockers)}"
        if self.due_in is None:
            return f"{what} lies past the year 9999 and is never due."
        if self.job and State(self.job.state) not in ENDED:
            return self.backlog or f"{what} has a job that is {self.job.state} right now."
        if self.overdue and self.maker:
            return self.backlog
        if self.overdue:
            return f"{what} is due; its job is made with the next recalculation, or when the clock moves on."
        if self.row.clock == "world":
            return (
                f"{what} is due at world time {self.when}. World time must move on by {duration(self.due_in)}: only "
                "the game master, a job or the campaign's world clock moves it."
            )
        return f"{what} is not due yet: {self.how_long}."


def read_clock(clock: CampaignClock, now: datetime) -> Moment:
    """The last known world time, or the current time for a campaign on the wall clock."""
    return WorldTime.parse(clock.world_time) if clock.world_time else WallTime(now)


def format_moment(moment: Moment, calendar: Calendar = GREGORIAN) -> str:
    """To the minute; world time in the campaign's calendar (jobs/calendars.py), wall-clock time in the user's zone."""
    if isinstance(moment, WallTime):
        return f"{timezone.localtime(moment.at):%Y-%m-%d %H:%M %Z}"
    return format_world_time(calendar, moment)


def read_due(clock: str, text: str) -> Moment | None:
    """A time that a row or a job keeps as text, on its clock ("wall" or "world"); None for never."""
    return parse_moment(clock, text) if text else None


def is_behind(clock: CampaignClock) -> bool:
    """Whether an active campaign's world time has not been processed yet."""
    return clock.is_active and bool(clock.world_time) and clock.world_time != clock.processed_world_time


def find_campaign_blockers(
    clock: CampaignClock,
    paused: Sequence[Pause],
    now: datetime,
    calendar: Calendar = GREGORIAN,
    due: Sequence[Due] = (),
) -> list[Blocker]:
    """What blocks the campaign's rows now, stuck recalculations apart; `due` are its jobs at world times, in order."""
    found = []
    if not clock.is_active:
        found.append(Blocker("inactive", "The campaign is inactive in the main API; activating it there ends this."))
    found += [blocker for pause in paused if (blocker := _find_pause_blocker(pause, clock))]
    try:
        found += _find_process_blockers()
        found += _find_breaker_blocker(now)
        held_back = blockers.explain_traffic(traffic.read(keys.redis()), clock.campaign_id)
        found += [Blocker("main API's limit", one) for one in held_back]
    except RedisError as error:
        found.append(Blocker("Redis away", blockers.explain_redis(error)))
    if clock.world_time and due and due[0].at.at <= read_clock(clock, now).at:
        found.append(_explain_stop(due[0], calendar, now))
    if is_behind(clock):
        seen = format_moment(read_clock(clock, now), calendar)
        says = f"World time {seen} has been seen and not been processed yet; the listener catches up with it."
        found.append(Blocker("not processed", says, clocks=("world",)))
    return found


def _explain_stop(due: Due, calendar: Calendar, now: datetime) -> Blocker:
    says = (
        f"The world stands at {format_moment(due.at, calendar)} until this job has ended and the schedules have been "
        "recalculated. What is due later follows."
    )
    question = questions.of_job(due.job.pk)
    if question and question.answered_at is None and State(due.job.state) not in ENDED:
        default = "yes" if question.default_answer else "no"
        says += (
            f" An operator is asked whether to trigger event {question.event_name}; the answer counts as {default} "
            f"if nobody gives one by {timezone.localtime(question.deadline):%Y-%m-%d %H:%M %Z} "
            f"({naturaltime(question.deadline, now)})."
        )
    return Blocker("world time", says, clocks=("world",), after=sortable(due.at), job=due.job)


def _find_pause_blocker(pause: Pause, clock: CampaignClock) -> Blocker | None:
    says = blockers.explain_pause(pause, clock.name)
    if pause.kind == PauseKind.CAMPAIGN:
        return Blocker("paused", says) if pause.name == clock.campaign_id else None
    if pause.kind == PauseKind.TYPE:
        return Blocker("paused", says, job_types=frozenset({pause.name}))
    types = frozenset(name for name, t in all_types().items() if Priority(t.priority).queue == pause.name)
    return Blocker("paused", says, job_types=types)


def _find_process_blockers() -> list[Blocker]:
    alive = [process for process in control.processes() if not process.lost]
    found = []
    if not any(process.role == "worker" for process in alive):
        found.append(Blocker("no worker", blockers.NO_WORKER))
    elif all(process.state == "suspended" for process in alive if process.role == "worker"):
        found.append(Blocker("suspended", blockers.SUSPENDED))
    if not any(process.role == "listener" and process.leads for process in alive):
        says = "No listener is running, so world time updates are not received: start manage.py pubsub_listener."
        found.append(Blocker("listener down", says, clocks=("world",)))
    if not any(process.role == "scheduler" and process.leads for process in alive):
        says = "No scheduler is running: start manage.py rqscheduler."
        found.append(Blocker("scheduler down", says, clocks=("wall",)))
    return found


def _find_breaker_blocker(now: datetime) -> list[Blocker]:
    explained = blockers.explain_breaker(now)
    return [Blocker("breaker", explained)] if explained else []


def find_rows(
    clock: CampaignClock, *, search: str, after: tuple[str, int] | None, since: WorldTime | None = None
) -> QuerySet[ScheduleRow]:
    """The schedule rows, next due first; `after` is the (next_due, id) of the last row of the page before."""
    found = ScheduleRow.objects.filter(campaign_id=clock.campaign_id, next_due__gt="").order_by("next_due", "id")
    if search:
        found = found.filter(Q(entity_name__icontains=search) | Q(entity_id=search))
    if since:
        found = found.filter(clock="world", next_due__gte=sortable(since))
    if after:
        found = found.filter(Q(next_due__gt=after[0]) | Q(next_due=after[0], id__gt=after[1]))
    return found


def find_stuck_recalculations(clock: CampaignClock, jobs: Newest, now: datetime) -> list[Blocker]:
    """Stuck recalculations: they create the jobs of world time, and the rows of new entities on any clock.

    None for an inactive campaign, which has no schedules.
    """
    waits = "Due work waits for it." if clock.world_time else "What is new has no schedule until it succeeds."
    found = []
    for entity_type, job in jobs.find_stuck_recalculations().items() if clock.is_active else ():
        if job.state == State.DEAD:
            due = timezone.localtime(job.due_at)
            then = f"of {due:%Y-%m-%d %H:%M %Z} is a dead letter ({job.error[:120]}): retry it, or recalculate anew"
        else:
            then = f"has failed ({job.error[:120]}) and is tried again {naturaltime(job.due_at, now)}"
        says = f"The recalculation of its {entity_type.lower()}s' schedules {then}. {waits}"
        found.append(Blocker("recalculation", says, clocks=("world",), overdue_of=entity_type, job=job))
    return found


def describe(
    clock: CampaignClock,
    found: Sequence[ScheduleRow],
    blocked_by: Sequence[Blocker],
    jobs: Newest,
    now: datetime,
    calendar: Calendar = GREGORIAN,
) -> list[Row]:
    """The rows with their due times, their jobs and what blocks them."""
    read = read_clock(clock, now)
    waiting = explain_waiting(found, read, now)
    described = []
    for row in found:
        due, due_in = _read_due(row, read, now)
        one = Row(row, due, due_in, *jobs.find_for(row), calendar=calendar)
        one.blockers = [blocker for blocker in blocked_by if blocker.blocks(one)]
        if one.overdue and row.entity_id in waiting:
            one.blockers.append(Blocker("structures first", waiting[row.entity_id]))
        if one.dead:
            one.blockers.append(Blocker("dead job", one.dead_explanation))
        described.append(one)
    return described


def _read_due(row: ScheduleRow, read: Moment, now: datetime) -> tuple[Moment | None, timedelta | None]:
    due = read_due(row.clock, row.next_due)
    if due is None:
        return None, None
    at = read.at if row.clock == "world" and isinstance(read, WorldTime) else now
    return due, due.at - at
