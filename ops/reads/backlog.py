"""The jobs that wait for a worker: a job's place among them, and when its turn comes at the present rate.

The cost does not grow with the backlog: the MOST_READ oldest jobs are read, and Redis knows how long the queues are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from django.db.models import Sum
from django.utils.translation import gettext, ngettext
from redis import Redis

from jobs.broker import depths
from jobs.broker.depths import Depth
from jobs.broker.scripts import FAIR_SHARE
from jobs.models import Job, OutcomeMinute
from jobs.states import OUTCOMES, Priority, State
from ops.humanize import duration, format_count

MOST_READ: Final = 5000  #: queued jobs
RATE_OVER: Final = timedelta(minutes=5)
Bound = Literal["", "at least", "at most"]


@dataclass(frozen=True, slots=True)
class Place:
    """What goes before a queued job."""

    queue: str
    before: int  #: jobs of its queue that were queued earlier
    bound: Bound  #: of `before`, if the job is not among those that are read
    urgent: int  #: jobs of more urgent queues
    per_minute: float  #: attempts that end

    @property
    def turn_in(self) -> timedelta | None:
        """When its turn comes, if all that is before it goes first; None if no attempt ends at present."""
        return timedelta(minutes=(self.before + self.urgent) / self.per_minute) if self.per_minute else None

    def explain(self) -> list[str]:
        """Sentences; none if nothing is before it."""
        if not self.before + self.urgent:
            return []
        says = []
        if self.before:
            says.append(self._explain_before())
        if self.urgent:
            text = ngettext(
                "%(count)s more urgent job goes first.", "%(count)s more urgent jobs go first.", self.urgent
            )
            says.append(text % {"count": format_count(self.urgent)})
        return [*says, self._explain_turn()]

    def _explain_before(self) -> str:
        if self.bound == "at least":
            text = ngettext(
                "At least %(count)s job of the queue %(queue)s came before it; campaigns take turns of %(share)s.",
                "At least %(count)s jobs of the queue %(queue)s came before it; campaigns take turns of %(share)s.",
                self.before,
            )
        elif self.bound:
            text = ngettext(
                "At most %(count)s job of the queue %(queue)s came before it; campaigns take turns of %(share)s.",
                "At most %(count)s jobs of the queue %(queue)s came before it; campaigns take turns of %(share)s.",
                self.before,
            )
        else:
            text = ngettext(
                "%(count)s job of the queue %(queue)s came before it; campaigns take turns of %(share)s.",
                "%(count)s jobs of the queue %(queue)s came before it; campaigns take turns of %(share)s.",
                self.before,
            )
        return text % {"count": format_count(self.before), "queue": self.queue, "share": FAIR_SHARE}

    def _explain_turn(self) -> str:
        if self.turn_in is None:
            text = gettext("No attempt has ended for %(duration)s, so when its turn comes is not known.")
            return text % {"duration": duration(RATE_OVER)}
        if self.bound == "at least":
            text = gettext("At %(rate)s, as at present, its turn comes after more than %(duration)s.")
        elif self.before > FAIR_SHARE:
            text = gettext(
                "At %(rate)s, as at present, its turn comes within %(duration)s, or sooner: campaigns take turns."
            )
        else:
            text = gettext("At %(rate)s, as at present, its turn comes within %(duration)s.")
        return text % {"rate": self._write_rate(), "duration": duration(self.turn_in)}

    def _write_rate(self) -> str:
        if self.per_minute < 1:
            return gettext("less than 1 attempt a minute")
        number = round(self.per_minute)
        text = ngettext("%(count)s attempt a minute", "%(count)s attempts a minute", number)
        return text % {"count": format_count(number)}


@dataclass(slots=True)
class Backlog:
    """What waits at one moment; it is read as far as it is asked for."""

    connection: Redis
    now: datetime
    _depths: Mapping[str, Depth] = field(default_factory=dict)
    _places: dict[int, dict[UUID, int]] = field(default_factory=dict)
    _per_minute: float | None = None

    def find_place(self, job: Job) -> Place:
        """The place of a QUEUED job; two queries for any number of jobs. Raises redis.RedisError."""
        priority = Priority(job.priority)
        self._depths = self._depths or depths.read(self.connection)
        before, bound = self._count_before(job, self._depths[priority.queue].waiting - 1)
        return Place(
            queue=priority.queue,
            before=before,
            bound=bound,
            urgent=sum(self._depths[other.queue].waiting for other in Priority if other > priority),
            per_minute=self._read_rate(),
        )

    def _count_before(self, job: Job, others: int) -> tuple[int, Bound]:
        """How many of its queue were queued before it; `others` are all that wait in it."""
        if not self._places:
            queued = Job.objects.in_state(State.QUEUED).order_by("moved_at", "id")
            for pk, priority in queued.values_list("id", "priority")[:MOST_READ]:
                places = self._places.setdefault(priority, {})
                places[pk] = len(places)
        read = self._places.get(job.priority, {})
        if job.pk in read:
            return read[job.pk], ""
        return (len(read), "at least") if others > MOST_READ else (max(0, others), "at most")

    def _read_rate(self) -> float:
        if self._per_minute is None:
            recent = OutcomeMinute.objects.filter(minute__gt=self.now - RATE_OVER, outcome__in=OUTCOMES)
            self._per_minute = (recent.aggregate(n=Sum("jobs"))["n"] or 0) / (RATE_OVER / timedelta(minutes=1))
        return self._per_minute
