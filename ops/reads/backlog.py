"""The jobs that wait for a worker: a job's place among them, and when its turn comes at the present rate.

The cost does not grow with the backlog: the MOST_READ oldest jobs are read, and Redis knows how long the queues are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from django.db.models import Sum
from redis import Redis

from jobs.broker import depths
from jobs.broker.depths import Depth
from jobs.broker.scripts import FAIR_SHARE
from jobs.models import Job, OutcomeMinute
from jobs.states import MOVES, Priority, State
from ops.humanize import format_count, format_jobs
from scheduler_project.durations import duration

MOST_READ: Final = 5000  #: queued jobs
RATE_OVER: Final = timedelta(minutes=5)
Bound = Literal["", "at least", "at most"]
_ENDS: Final = tuple(state.value for state in State if state in MOVES[State.RUNNING])


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
            came = f"{self.bound} {format_jobs(self.before)} of the queue {self.queue} came before it".strip()
            says.append(f"{came[0].upper()}{came[1:]}; campaigns take turns of {FAIR_SHARE}.")
        if self.urgent:
            says.append(
                "1 more urgent job goes first."
                if self.urgent == 1
                else f"{format_count(self.urgent)} more urgent jobs go first."
            )
        return [*says, self._explain_turn()]

    def _explain_turn(self) -> str:
        if self.turn_in is None:
            return f"No attempt has ended for {duration(RATE_OVER)}, so when its turn comes is not known."
        within = "after more than" if self.bound == "at least" else "within"
        rate = f"{self.per_minute:,.0f} attempts a minute" if self.per_minute >= 1 else "less than 1 attempt a minute"
        sooner = ", or sooner: campaigns take turns" if self.before > FAIR_SHARE else ""
        return f"At {rate}, as at present, its turn comes {within} {duration(self.turn_in)}{sooner}."


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
            recent = OutcomeMinute.objects.filter(minute__gt=self.now - RATE_OVER, outcome__in=_ENDS)
            self._per_minute = (recent.aggregate(n=Sum("jobs"))["n"] or 0) / (RATE_OVER / timedelta(minutes=1))
        return self._per_minute
