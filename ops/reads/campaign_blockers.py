"""What blocks a campaign as a whole, or some of its schedules: each with its cause and what ends it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.utils.translation import gettext, gettext_noop
from redis import RedisError

from jobs import control
from jobs.broker import keys
from jobs.main_api import traffic
from jobs.models import CampaignClock, EventQuestion, Job, Pause, PauseKind, ScheduleRow
from jobs.registry import all_types
from jobs.states import ENDED, Priority, State
from jobs.stops import DueJob
from jobs.triggers import questions
from jobs.waits import wait_in
from jobs.world.calendars.calendar import Calendar
from jobs.world.calendars.examples import GREGORIAN
from jobs.world.clock import sortable
from ops.humanize import naturaltime
from ops.labels import label
from ops.reads import blockers
from ops.reads.campaign_clock import format_moment, format_time, is_behind, read_clock
from ops.reads.campaign_jobs import Newest

INACTIVE: Final = gettext_noop("inactive")
PAUSED: Final = gettext_noop("paused")


@dataclass(frozen=True, slots=True)
class Blocker:
    """Something that stops schedule rows from making jobs, or their jobs from running."""

    name: str  #: by which others know it
    explanation: str  #: the cause and what ends it
    clocks: tuple[str, ...] = ("world", "wall")  #: blocks only rows on these clocks
    job_types: frozenset[str] | None = None  #: blocks only rows that make jobs of these types; None: all
    overdue_of: str = ""  #: blocks only overdue rows of entities of this type; empty: all rows
    after: str = ""  #: blocks only rows that are due after this, as text that sorts by time; empty: all rows
    job: Job | None = None  #: the job that causes it

    def blocks(self, row: ScheduleRow, *, overdue: bool) -> bool:
        """Whether it applies to the row."""
        made = self.job_types is None or row.job_type in self.job_types
        due = not self.overdue_of or (overdue and self.overdue_of == row.entity_type)
        held = not self.after or (overdue and row.next_due > self.after)
        return row.clock in self.clocks and made and due and held

    @property
    def title(self) -> str:
        """A word or two."""
        return gettext(self.name)

    @property
    def limited_to(self) -> str:
        """The names of the job types that it blocks; empty: all."""
        return ", ".join(sorted(label(name) for name in self.job_types or ()))


def find_campaign_blockers(
    clock: CampaignClock,
    paused: Sequence[Pause],
    now: datetime,
    calendar: Calendar = GREGORIAN,
    due: Sequence[DueJob] = (),
) -> list[Blocker]:
    """What blocks the campaign's rows now, stuck recalculations apart; `due` are its jobs at world times, in order."""
    found = []
    if not clock.is_active:
        says = gettext("The campaign is inactive in the main API. Activate it there to end this.")
        found.append(Blocker(INACTIVE, says))
    found += [blocker for pause in paused if (blocker := _find_pause_blocker(pause, clock))]
    try:
        found += _find_process_blockers()
        found += _find_breaker_blocker(now)
        held_back = blockers.explain_traffic(traffic.read(keys.redis()), clock.campaign_id)
        found += [Blocker(gettext_noop("main API limit"), one) for one in held_back]
    except RedisError as error:
        found.append(Blocker(gettext_noop("Redis unreachable"), blockers.explain_redis(error)))
    if clock.world_time and due and due[0].at.at <= read_clock(clock, now).at:
        found.append(_explain_stop(due[0], calendar, now))
    if is_behind(clock):
        seen = format_moment(read_clock(clock, now), calendar)
        text = gettext("World time %(time)s is known but not processed yet; the listener catches up with it.")
        found.append(Blocker(gettext_noop("not processed"), text % {"time": seen}, clocks=("world",)))
    return found


def _explain_stop(due: DueJob, calendar: Calendar, now: datetime) -> Blocker:
    text = gettext(
        "The world stands at %(time)s until this job has ended and the schedules have been recalculated. What is due "
        "later follows."
    )
    says = text % {"time": format_moment(due.at, calendar)}
    question = questions.of_job(due.job.pk)
    if question and question.answered_at is None and State(due.job.state) not in ENDED:
        says = f"{says} {_explain_question(question, now)}"
    return Blocker(gettext_noop("world time"), says, clocks=("world",), after=sortable(due.at), job=due.job)


def _explain_question(question: EventQuestion, now: datetime) -> str:
    if question.default_answer:
        text = gettext(
            "An operator is asked whether to trigger event %(event)s; without an answer by %(time)s (%(when)s) it is "
            "triggered."
        )
    else:
        text = gettext(
            "An operator is asked whether to trigger event %(event)s; without an answer by %(time)s (%(when)s) it "
            "expires."
        )
    said = {"time": format_time(question.deadline), "when": naturaltime(question.deadline, now)}
    return text % {**said, "event": question.event_name}


def _find_pause_blocker(pause: Pause, clock: CampaignClock) -> Blocker | None:
    says = blockers.explain_pause(pause, clock.name)
    if pause.kind == PauseKind.CAMPAIGN:
        return Blocker(PAUSED, says) if pause.name == clock.campaign_id else None
    if pause.kind == PauseKind.TYPE:
        return Blocker(PAUSED, says, job_types=frozenset({pause.name}))
    types = frozenset(name for name, t in all_types().items() if Priority(t.priority).queue == pause.name)
    return Blocker(PAUSED, says, job_types=types)


def _find_process_blockers() -> list[Blocker]:
    alive = [process for process in control.processes() if not process.lost]
    found = []
    if not any(process.role == "worker" for process in alive):
        found.append(Blocker(gettext_noop("no worker"), str(blockers.NO_WORKER)))
    elif all(process.state == "suspended" for process in alive if process.role == "worker"):
        found.append(Blocker(gettext_noop("suspended"), str(blockers.SUSPENDED)))
    if not any(process.role == "listener" and process.leads for process in alive):
        says = gettext(
            "No listener is running, so world time updates are not received: start manage.py pubsub_listener."
        )
        found.append(Blocker(gettext_noop("listener down"), says, clocks=("world",)))
    if not any(process.role == "scheduler" and process.leads for process in alive):
        says = gettext("No scheduler is running: start manage.py rqscheduler.")
        found.append(Blocker(gettext_noop("scheduler down"), says, clocks=("wall",)))
    return found


def _find_breaker_blocker(now: datetime) -> list[Blocker]:
    explained = blockers.explain_breaker(now)
    return [Blocker(gettext_noop("breaker"), explained)] if explained else []


def find_stuck_recalculations(clock: CampaignClock, jobs: Newest, now: datetime) -> list[Blocker]:
    """Stuck recalculations: they create the jobs of world time, and the rows of new entities on any clock.

    None for an inactive campaign, whose schedules stand still.
    """
    if clock.world_time:
        rest = gettext("Due work waits for it.")
    else:
        rest = gettext("New entities have no schedules until it succeeds.")
    found = []
    for entity_type, job in jobs.find_stuck_recalculations().items() if clock.is_active else ():
        says = f"{_explain_stuck(entity_type, job, now)} {rest}"
        name = gettext_noop("recalculation")
        found.append(Blocker(name, says, clocks=("world",), overdue_of=entity_type, job=job))
    return found


def _explain_stuck(entity_type: str, job: Job, now: datetime) -> str:
    said = {"time": format_time(job.due_at), "when": naturaltime(job.due_at, now), "error": job.error[:120]}
    if wait_in(job.error):
        return _explain_waiting(entity_type, {**said, "cause": job.error.partition(": ")[2][:120]})
    if entity_type == "Settlement" and job.state == State.DEAD:
        text = gettext(
            "The recalculation of its settlements' schedules of %(time)s is a dead letter (%(error)s). Retry it, or "
            "recalculate again."
        )
    elif entity_type == "Settlement":
        text = gettext(
            "The recalculation of its settlements' schedules has failed (%(error)s) and is tried again %(when)s."
        )
    elif job.state == State.DEAD:
        text = gettext(
            "The recalculation of its structures' schedules of %(time)s is a dead letter (%(error)s). Retry it, or "
            "recalculate again."
        )
    else:
        text = gettext(
            "The recalculation of its structures' schedules has failed (%(error)s) and is tried again %(when)s."
        )
    return text % said


def _explain_waiting(entity_type: str, said: Mapping[str, str]) -> str:
    if entity_type == "Settlement":
        text = gettext("The recalculation of its settlements' schedules waits (%(cause)s) and is tried again %(when)s.")
    else:
        text = gettext("The recalculation of its structures' schedules waits (%(cause)s) and is tried again %(when)s.")
    return text % said
