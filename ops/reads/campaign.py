"""A campaign's page: its clock, what is due next, and what blocks it.

It reads only the service's own tables (clocks, schedule rows, jobs), not the main API.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Case, Q, QuerySet, Value, When
from django.utils.translation import gettext, gettext_noop

from jobs.models import CampaignClock, Job, ScheduleRow
from jobs.states import ENDED, State
from jobs.world.calendars.calendar import Calendar
from jobs.world.calendars.examples import GREGORIAN
from jobs.world.clock import Moment, WorldTime, sortable
from jobs.world.occurrences import ORDER, rank_of
from ops.humanize import duration
from ops.labels import STATES, name_event
from ops.reads.campaign_blockers import Blocker
from ops.reads.campaign_clock import format_moment, format_time, read_clock, read_due
from ops.reads.campaign_jobs import Newest
from ops.reads.households import explain_waiting

PAGE: Final = 60  #: schedule rows of a page
_RANK: Final = Case(
    *[When(event_type=event, then=Value(rank_of(event))) for event in ORDER], default=Value(rank_of(""))
)  #: of the event among those due at the same moment


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
        return format_moment(self.due, self.calendar) if self.due else gettext("never: past the year 9999")

    @property
    def how_long(self) -> str:
        """The time until then."""
        if self.due_in is None:
            return ""
        if self.row.clock == "world":
            text = (
                gettext("overdue by %(duration)s of world time")
                if self.overdue
                else gettext("in %(duration)s of world time")
            )
        else:
            text = gettext("overdue by %(duration)s") if self.overdue else gettext("in %(duration)s")
        return text % {"duration": duration(self.due_in)}

    @property
    def what(self) -> str:
        return name_event(self.row)

    @property
    def dead_explanation(self) -> str:
        """Empty without a dead letter."""
        if self.dead is None:
            return ""
        said = {"time": format_time(self.dead.due_at), "error": self.dead.error[:120]}
        return gettext("Its job of %(time)s is a dead letter (%(error)s). Retry it.") % said

    @property
    def queued(self) -> Job | None:
        """Its job, or what makes it, if that waits for a worker."""
        return self.maker or (self.job if self.job and self.job.state == State.QUEUED else None)

    @property
    def backlog(self) -> str:
        """Where the queued jobs stand; empty without any."""
        if not self.queued:
            return ""
        if self.maker:
            text = gettext("%(what)s is due; a recalculation that waits for a worker makes its job.")
        else:
            text = gettext("%(what)s has a job that waits for a worker.")
        return " ".join([text % {"what": self.what}, *self.place])

    @property
    def why(self) -> str:
        """Why it has not happened yet, as a sentence."""
        said = {"what": self.what}
        if self.blockers:
            causes = " ".join(blocker.explanation for blocker in self.blockers)
            return gettext("%(what)s is blocked: %(causes)s") % {**said, "causes": causes}
        if self.due_in is None:
            return gettext("%(what)s lies past the year 9999 and is never due.") % said
        if self.job and State(self.job.state) not in ENDED:
            state = STATES[State(self.job.state)]
            return self.backlog or gettext("%(what)s has a job that is now %(state)s.") % {**said, "state": state}
        if self.overdue and self.maker:
            return self.backlog
        return self._explain_due(self.due_in)

    def _explain_due(self, due_in: timedelta) -> str:
        said = {"what": self.what, "when": self.how_long, "time": self.when, "duration": duration(due_in)}
        if self.overdue:
            text = gettext("%(what)s is due; its job is made with the next recalculation, or when the clock moves on.")
            return text % said
        if self.row.clock == "world":
            text = gettext(
                "%(what)s is due at world time %(time)s. World time must advance by %(duration)s: only the game "
                "master, a job or the campaign's world clock moves it."
            )
            return text % said
        return gettext("%(what)s is not due yet: %(when)s.") % said


def find_rows(
    clock: CampaignClock, *, search: str, after: tuple[str, int, int] | None, since: WorldTime | None = None
) -> QuerySet[Any]:
    """The schedule rows with their `rank`, next due first, those due at one time in the order of things.

    `after` is the (next_due, rank, id) of the last row of the page before.
    """
    every = ScheduleRow.objects.filter(campaign_id=clock.campaign_id, next_due__gt="").annotate(rank=_RANK)
    found = every.order_by("next_due", "rank", "id")
    if search:
        found = found.filter(Q(entity_name__icontains=search) | Q(entity_id=search))
    if since:
        found = found.filter(clock="world", next_due__gte=sortable(since))
    if after:
        due, rank, number = after
        later = Q(rank__gt=rank) | Q(rank=rank, id__gt=number)
        found = found.filter(Q(next_due__gt=due) | Q(next_due=due) & later)
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
        one.blockers = [blocker for blocker in blocked_by if blocker.blocks(row, overdue=one.overdue)]
        if one.overdue and row.entity_id in waiting:
            one.blockers.append(Blocker(gettext_noop("structures first"), waiting[row.entity_id]))
        if one.dead:
            one.blockers.append(Blocker(gettext_noop("dead job"), one.dead_explanation))
        described.append(one)
    return described


def _read_due(row: ScheduleRow, read: Moment, now: datetime) -> tuple[Moment | None, timedelta | None]:
    due = read_due(row.clock, row.next_due)
    if due is None:
        return None, None
    at = read.at if row.clock == "world" and isinstance(read, WorldTime) else now
    return due, due.at - at
