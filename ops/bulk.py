"""Many jobs at once: first what would happen, then the same in steps that each keep the database free.

Everything is done by jobs/service.py; here is only the table of verbs, the counting beforehand and the stepping.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db.models import Count, QuerySet

from jobs import service
from jobs.models import Job, new_job_id
from jobs.service import Report
from jobs.states import CANCELLABLE, DISCARDABLE, RESCHEDULABLE, RETRYABLE, WAITING, State

STEP = 500  #: jobs one step looks at: a transaction of a fraction of a second


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """Something a person may do to jobs."""

    name: str
    """In the address, and in the permission `<name>_job`."""
    label: str
    """On the button."""
    past: str
    """After "will be"."""
    icon: str
    allowed: tuple[State, ...]
    """The states it is possible in, from jobs/states.py."""
    consequence: str
    """What follows, said before it is done."""
    applied: bool | None = None
    """False: not jobs that may have been applied; True: outside of DEAD only those; None: whatever they are."""

    def allows(self, state: State, *, may_have_been_applied: bool) -> bool:
        """Whether it can be done to a job in that state."""
        if state not in self.allowed or (self.applied is False and may_have_been_applied):
            return False
        return not self.applied or may_have_been_applied or state is State.DEAD


VERBS: Final[Mapping[str, Verb]] = {
    verb.name: verb
    for verb in (
        Verb(
            name="retry", label="Retry", past="retried", icon="replay", allowed=RETRYABLE,
            consequence="They go back into their queue at once, with all their attempts.",
        ),
        Verb(
            name="run_now", label="Run now", past="queued", icon="play_arrow", allowed=WAITING,
            consequence="They no longer wait for their due time or backoff.",
        ),
        Verb(
            name="reschedule", label="Reschedule", past="rescheduled", icon="event_repeat", allowed=RESCHEDULABLE,
            consequence="They wait for the new due time; jobs that are queued leave their queue.",
        ),
        Verb(
            name="cancel", label="Cancel", past="cancelled", icon="block", allowed=CANCELLABLE,
            consequence="They will not run unless somebody retries them. Jobs that may have been applied are left: "
            "discard those.",
            applied=False,
        ),
        Verb(
            name="discard", label="Discard", past="discarded", icon="delete", allowed=DISCARDABLE,
            consequence="Dead letters are given up and purged with retention. Nothing that ran already is undone.",
            applied=True,
        ),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a verb would do to some jobs now, having done nothing."""

    verb: Verb
    will: Mapping[str, int]
    skipped: Mapping[str, int]
    applied: int
    """Jobs among `will` whose work may have been done already: retrying may do it twice."""
    until: UUID
    """Jobs made after the preview have greater ids: they are left out of what follows it."""

    @property
    def count(self) -> int:
        """How many jobs it would move."""
        return sum(self.will.values())

    @property
    def total(self) -> int:
        """How many jobs it looked at."""
        return self.count + sum(self.skipped.values())

    def __str__(self) -> str:
        text = f"{self.count:,} will be {self.verb.past}"
        if self.skipped:
            text += f", {sum(self.skipped.values()):,} will not: {_states(self.skipped)}"
        return f"{text}."


@dataclass(slots=True)
class Progress:
    """What the steps so far have done."""

    done: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    after: UUID | None = None
    """Where the next step begins; None: there is none."""

    def sentence(self, verb: Verb) -> str:
        """What happened, counted from what happened."""
        text = f"{self.done:,} job{'' if self.done == 1 else 's'} {verb.past}."
        return (
            f"{text} {sum(self.skipped.values()):,} left as before: {_states(self.skipped)}." if self.skipped else text
        )


def preview(verb: Verb, jobs: QuerySet[Job]) -> Preview:
    """Count what `verb` would do to `jobs`."""
    will, left, twice = Counter[str](), Counter[str](), 0
    for row in jobs.order_by().values("state", "may_have_been_applied").annotate(n=Count("pk")):
        state, applied, count = State(row["state"]), row["may_have_been_applied"], row["n"]
        if verb.allows(state, may_have_been_applied=applied):
            will[state.value] += count
            twice += count * applied
        else:
            left[state.value] += count
    return Preview(verb=verb, will=dict(will), skipped=dict(left), applied=twice, until=new_job_id())


def step(
    verb: Verb,
    jobs: QuerySet[Job],
    *,
    after: UUID | None,
    until: UUID,
    actor: str,
    reason: str,
    due_at: datetime | None,
) -> Progress:
    """Do `verb` to the next STEP of `jobs` in order of their ids.

    Raises InvalidJob when `due_at` is wanted and wrong.
    """
    some = jobs.filter(pk__lt=until).order_by("pk")
    if after:
        some = some.filter(pk__gt=after)
    batch = list(some[:STEP])
    report = _act(verb, due_at)(batch, actor, reason)
    return Progress(len(report.done), report.skipped, batch[-1].pk if len(batch) == STEP else None)


def run(
    verb: Verb, jobs: QuerySet[Job], *, until: UUID, actor: str, reason: str, due_at: datetime | None = None
) -> Progress:
    """All steps one after the other. Raises as `step` does."""
    total = Progress()
    while True:
        one = step(verb, jobs, after=total.after, until=until, actor=actor, reason=reason, due_at=due_at)
        total = Progress(total.done + one.done, total.skipped + one.skipped, one.after)
        if total.after is None:
            return total


def _act(verb: Verb, due_at: datetime | None) -> Callable[[list[Job], str, str], Report]:
    match verb.name:
        case "retry":
            return lambda jobs, actor, reason: service.retry(jobs, actor=actor, reason=reason)
        case "discard":
            return lambda jobs, actor, reason: service.discard(jobs, actor=actor, reason=reason)
        case "cancel":
            return lambda jobs, actor, reason: service.cancel(jobs, actor=actor, reason=reason)
        case "run_now":
            return lambda jobs, actor, reason: service.run_now(jobs, actor=actor, reason=reason)
    if due_at is None:
        raise service.InvalidJob("due_at", "name the new due time")
    return lambda jobs, actor, reason: service.reschedule(jobs, due_at=due_at, actor=actor, reason=reason)


def _states(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n:,} {state}" for state, n in sorted(counts.items(), key=lambda item: -item[1]))
