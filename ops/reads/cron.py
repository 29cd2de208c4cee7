"""What the page of a cron task shows: a preview of its expression, and its firings."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Count, Q
from django.utils.translation import gettext

from jobs.cron import firing as cron
from jobs.models import CronFiring, CronTask, FiringOutcome, Job
from jobs.states import ENDED, ENDED_BY_ATTEMPT, State
from ops.humanize import format_percent, naturaltime
from scheduler_project.cron_expression import fires
from scheduler_project.cron_sentence import sentence
from scheduler_project.moments import read_zone

PREVIEWED: Final = 5  #: firings
SHOWN: Final = 20  #: firings of a page


@dataclass(frozen=True, slots=True)
class Match:
    at: datetime
    local: str  #: in the task's own time zone
    naturaltime: str


@dataclass(frozen=True, slots=True)
class Preview:
    """The meaning and next matches of an expression, or what is wrong with it."""

    sentence: str = ""
    firings: tuple[Match, ...] = ()
    fault: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Firing:
    """One firing with its job, unless retention has deleted it."""

    firing: CronFiring
    job: Job | None

    @property
    def late(self) -> timedelta | None:
        """The delay; None below one second."""
        behind = self.firing.fired_at - self.firing.due_at
        return behind if behind >= timedelta(seconds=1) else None

    @property
    def duration(self) -> timedelta | None:
        """The run time of the attempt that ended the job."""
        return duration_of(self.job.state, self.job.started_at, self.job.finished_at) if self.job else None


def duration_of(state: str | None, started: datetime | None, finished: datetime | None) -> timedelta | None:
    """The run time of the attempt that ended a job; None for one that an operator has ended, or that has not."""
    return finished - started if state in ENDED_BY_ATTEMPT and started and finished else None


def preview(expression: str, time_zone: str, now: datetime) -> Preview:
    if not expression.strip():
        return Preview(
            hint=gettext("Five fields: minute, hour, day of the month, month, day of the week; or six, seconds first.")
        )
    try:
        zone = read_zone(time_zone)
    except ValueError:
        return Preview(
            fault=gettext("There is no time zone %(zone)s; names are like Europe/Berlin or UTC.")
            % {"zone": f"{time_zone!r}"}
        )
    if not fires(expression):
        return Preview(
            fault=gettext("%(expression)s is not a cron expression of five or six fields that ever matches.")
            % {"expression": f"{expression!r}"}
        )
    task = CronTask(expression=expression, time_zone=time_zone)
    moments = cron.next_firings(task, now, PREVIEWED)
    shown = tuple(Match(at, f"{at.astimezone(zone):%a %Y-%m-%d %H:%M:%S %Z}", naturaltime(at, now)) for at in moments)
    return Preview(sentence(expression), shown)


def is_overdue(task: CronTask, now: datetime) -> bool:
    """Whether it should have fired by now and has not."""
    return bool(task.enabled and task.next_fire_at and now - task.next_fire_at > cron.LATE)


@dataclass(frozen=True, slots=True)
class History:
    """A page of the firings that are kept, newest first, and how all of these ended."""

    firings: list[Firing]
    older: int | None  #: the id before which the next page starts; None on the last page
    kept: int
    ended: int  #: their jobs that have ended and that retention has not removed
    succeeded: int
    missed: int

    @property
    def success_rate(self) -> str:
        """The share of jobs that did their work or had none to do; empty if none has ended."""
        return format_percent(100 * self.succeeded / self.ended) if self.ended else ""


def read_history(task: CronTask, before: int | None = None) -> History:
    """The firings before an id; four queries."""
    page = task.firings.filter(id__lt=before) if before else task.firings.all()
    rows = list(page.order_by("-id")[: SHOWN + 1])
    jobs = Job.objects.defer("payload", "traceback").in_bulk([row.job_id for row in rows if row.job_id])
    shown = [Firing(row, jobs.get(row.job_id) if row.job_id else None) for row in rows[:SHOWN]]
    kept = task.firings.aggregate(kept=Count("pk"), missed=Count("pk", filter=Q(outcome=FiringOutcome.MISSED)))
    states = Job.objects.filter(pk__in=task.firings.filter(job_id__isnull=False).values("job_id"))
    ended = Counter(dict(states.filter(state__in=ENDED).order_by().values_list("state").annotate(n=Count("pk"))))
    return History(
        firings=shown,
        older=shown[-1].firing.pk if len(rows) > SHOWN else None,
        ended=ended.total(),
        succeeded=ended[State.SUCCEEDED] + ended[State.SKIPPED],
        **kept,
    )
