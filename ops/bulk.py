"""Bulk actions: the verbs, the dry run, and steps that are short transactions each.

jobs/service.py does the work.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Count, QuerySet

from jobs import actions, service, undo
from jobs.errors import InvalidJob
from jobs.models import Job, JobAction, new_job_id
from jobs.service import Report
from jobs.states import CANCELLABLE, DISCARDABLE, RESCHEDULABLE, RETRYABLE, WAITING, State
from jobs.stops import AT_WORLD_TIME
from ops.humanize import format_count, format_jobs

STEP = 500  #: jobs a step: a transaction of a fraction of a second


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """An action on jobs."""

    name: str
    """In URLs, and in the permission `<name>_job` unless `permitted_as` names another verb."""
    label: str
    """On the button."""
    past: str
    """After "will be"."""
    icon: str
    allowed: tuple[State, ...]
    """The states that allow it, from jobs/states.py."""
    consequence: str
    """The effect, shown before confirmation."""
    applied: bool | None = None
    """False: refused for jobs that may have been applied; True: outside DEAD, allowed only for those; None: ignored."""
    of_world_time: bool = True
    """Whether it is allowed for jobs that wait for a world time."""
    permitted_as: str = ""

    @property
    def permission(self) -> str:
        return f"jobs.{self.permitted_as or self.name}_job"

    def allows(self, state: State, *, may_have_been_applied: bool) -> bool:
        if state not in self.allowed or (self.applied is False and may_have_been_applied):
            return False
        return not self.applied or may_have_been_applied or state is State.DEAD


VERBS: Final[Mapping[str, Verb]] = {
    verb.name: verb
    for verb in (
        Verb(
            name="retry",
            label="Retry",
            past="retried",
            icon="replay",
            allowed=RETRYABLE,
            consequence="They go back into their queue at once, with no failures counted against them.",
        ),
        Verb(
            name="run_now",
            label="Run now",
            past="queued",
            icon="play_arrow",
            allowed=WAITING,
            consequence="They no longer wait for their due time or backoff.",
        ),
        Verb(
            name="reschedule",
            label="Reschedule",
            past="rescheduled",
            icon="event_repeat",
            allowed=RESCHEDULABLE,
            consequence="They wait for the new due time; jobs that are queued leave their queue. Jobs that wait for a "
            "world time are left: cancel those, and submit copies.",
            of_world_time=False,
        ),
        Verb(
            name="cancel",
            label="Cancel",
            past="cancelled",
            icon="block",
            allowed=CANCELLABLE,
            consequence="They will not run unless somebody restores or retries them. Jobs that may have been applied "
            "are left: discard those.",
            applied=False,
        ),
        Verb(
            name="discard",
            label="Discard",
            past="discarded",
            icon="delete",
            allowed=DISCARDABLE,
            consequence="Dead letters are given up and purged with retention. Nothing that ran already is undone.",
            applied=True,
        ),
        Verb(
            name="restore",
            label="Restore",
            past="restored",
            icon="undo",
            allowed=(State.CANCELLED,),
            consequence="They are again as they were before they were cancelled, with the due time they had. Those "
            "that are due by now start as soon as a worker is free. Dead letters are dead letters again.",
            permitted_as="cancel",
        ),
    )
}

_COMMANDS: Final[Mapping[str, Callable[..., Report]]] = {
    "retry": service.retry,
    "run_now": service.run_now,
    "cancel": service.cancel,
    "discard": service.discard,
}
"""Those that need no more than the jobs, the actor and the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The dry run: what a verb would do to some jobs now."""

    verb: Verb
    will: Mapping[str, int]
    skipped: Mapping[str, int]
    applied: int
    """Jobs among `will` that may have been applied: retrying could apply them twice."""
    until: UUID
    """Jobs created after the preview have greater ids and are left out."""

    @property
    def count(self) -> int:
        """Jobs it would change."""
        return sum(self.will.values())

    @property
    def total(self) -> int:
        """Jobs in the selection."""
        return self.count + sum(self.skipped.values())

    def __str__(self) -> str:
        text = f"{format_count(self.count)} will be {self.verb.past}"
        if self.skipped:
            text += f", {format_count(sum(self.skipped.values()))} will not: {_states(self.skipped)}"
        return f"{text}."


@dataclass(slots=True)
class Progress:
    done: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    due: int = 0
    """Jobs among `done` that wait again although their due time has passed."""
    after: UUID | None = None
    """The id after which the next step starts; None after the last."""

    def sentence(self, verb: Verb) -> str:
        """The result, from the jobs that were changed, not from the preview."""
        text = f"{format_jobs(self.done)} {verb.past}."
        if self.due:
            text += f" {format_count(self.due)} due by now: as soon as a worker is free."
        if self.skipped:
            text += f" {format_count(self.skipped.total())} left as before: {_states(self.skipped)}."
        return text


def preview(verb: Verb, jobs: QuerySet[Job]) -> Preview:
    will, left, twice = Counter[str](), Counter[str](), 0
    for row in jobs.order_by().values("state", "may_have_been_applied").annotate(n=Count("pk")):
        state, applied, count = State(row["state"]), row["may_have_been_applied"], row["n"]
        if verb.allows(state, may_have_been_applied=applied):
            will[state.value] += count
            twice += count * applied
        else:
            left[state.value] += count
    if not verb.of_world_time and (waiting := jobs.filter(state=State.SCHEDULED, due_at=AT_WORLD_TIME).count()):
        will[State.SCHEDULED.value] -= waiting
        left[f"{State.SCHEDULED}, waits for a world time"] = waiting
    return Preview(verb=verb, will=dict(+will), skipped=dict(left), applied=twice, until=new_job_id())


def step(
    action: JobAction, jobs: QuerySet[Job], *, after: UUID | None, until: UUID, may_discard: bool = True
) -> Progress:
    """Do the next STEP of `jobs`, by id, as part of the action. Raises InvalidJob if its due time is not valid.

    Without `may_discard` no discarded jobs are restored.
    """
    some = jobs.filter(pk__lt=until).order_by("pk")
    if after:
        some = some.filter(pk__gt=after)
    batch = list(some[:STEP])
    with transaction.atomic():
        command = _choose_command(action, may_discard)
        report = command(batch, actor=action.actor, reason=action.reason, action=action)
        actions.count(action, moved=len(report.done), skipped=report.skipped.total())
    return Progress(len(report.done), report.skipped, report.due, batch[-1].pk if len(batch) == STEP else None)


def run(action: JobAction, jobs: QuerySet[Job], *, until: UUID, may_discard: bool = True) -> Progress:
    """Run all steps. Raises as `step` does."""
    total = Progress()
    while True:
        one = step(action, jobs, after=total.after, until=until, may_discard=may_discard)
        total = Progress(total.done + one.done, total.skipped + one.skipped, total.due + one.due, one.after)
        if total.after is None:
            return total


def _choose_command(action: JobAction, may_discard: bool) -> Callable[..., Report]:
    if action.verb == "restore":
        return partial(undo.restore, discarded=may_discard)
    if action.verb in _COMMANDS:
        return _COMMANDS[action.verb]
    if action.due_at is None:
        raise InvalidJob("due_at", "name the new due time")
    return partial(service.reschedule, due_at=action.due_at)


def _states(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{format_count(n)} {state}" for state, n in sorted(counts.items(), key=lambda item: -item[1]))
