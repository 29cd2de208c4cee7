"""Bulk actions: the dry run, and steps that are short transactions each.

The actions are in verbs.py; jobs/service.py does the work.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Count, QuerySet
from django.utils.translation import gettext, ngettext

from jobs import actions, service, undo
from jobs.errors import InvalidJob
from jobs.models import Job, JobAction, new_job_id
from jobs.service import CommandReport
from jobs.states import State
from jobs.stops import AT_WORLD_TIME
from ops.humanize import format_count
from ops.labels import label_of_left
from ops.meanwhile import CHANGED, is_decided, split_decided
from ops.verbs import VERBS, Verb, fill

STEP = 500  #: jobs a step: a transaction of a fraction of a second
_COMMANDS: Final[Mapping[str, Callable[..., CommandReport]]] = {
    "retry": service.retry,
    "run_now": service.run_now,
    "cancel": service.cancel,
    "discard": service.discard,
}
"""Those that need no more than the jobs, the actor and the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """The dry run: what a verb would do to some jobs now."""

    verb: Verb
    will: Mapping[str, int]
    skipped: Mapping[str, int]
    applied: int
    """Jobs among `will` that may have been applied: retrying could apply them twice."""
    until: UUID
    """Jobs created after the dry run have greater ids and are left out."""

    @property
    def states(self) -> str:
        """The states of the jobs it would change, as the form of the dry run carries them."""
        return ",".join(self.will)

    @property
    def count(self) -> int:
        """Jobs it would change."""
        return sum(self.will.values())

    @property
    def total(self) -> int:
        """Jobs in the selection."""
        return self.count + sum(self.skipped.values())

    def __str__(self) -> str:
        plan = fill(self.verb.plans, self.count)
        if not self.skipped:
            return plan
        left = sum(self.skipped.values())
        unchanged = ngettext("%(count)s will not: %(states)s.", "%(count)s will not: %(states)s.", left)
        return f"{plan} {unchanged % {'count': format_count(left), 'states': list_states(self.skipped)}}"


@dataclass(slots=True)
class Progress:
    done: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    due: int = 0
    """Jobs among `done` that wait again although their due time has passed."""
    unknown: int = 0
    """Jobs among `done` that may have been applied before."""
    after: UUID | None = None
    """The id after which the next step starts; None after the last."""

    def sentence(self, verb: Verb) -> str:
        """The result, from the jobs that were changed, not from the dry run."""
        return " ".join([fill(verb.reports, self.done), *explain_rest(self.due, self.skipped, self.unknown)])


def explain_rest(due: int, skipped: Mapping[str, int], unknown: int = 0) -> list[str]:
    """Sentences on jobs that are due by now, those that may have been applied, and those that were not changed."""
    found = []
    if due:
        text = ngettext(
            "%(count)s is due by now and starts as soon as a worker is free.",
            "%(count)s are due by now and start as soon as a worker is free.",
            due,
        )
        found.append(text % {"count": format_count(due)})
    if unknown:
        text = ngettext("%(count)s may have been applied before.", "%(count)s may have been applied before.", unknown)
        found.append(text % {"count": format_count(unknown)})
    if skipped:
        left = sum(skipped.values())
        text = ngettext("%(count)s was not changed: %(states)s.", "%(count)s were not changed: %(states)s.", left)
        found.append(text % {"count": format_count(left), "states": list_states(skipped)})
    return found


def dry_run(verb: Verb, jobs: QuerySet[Job], shown: Collection[str] = ()) -> DryRun:
    """The dry run. Jobs in a state that was not among those `shown` before, if any, are left as in `step`."""
    until = new_job_id()  # before the count: what somebody decides during it counts as later
    will, left, twice = Counter[str](), Counter[str](), 0
    for row in jobs.order_by().values("state", "may_have_been_applied").annotate(n=Count("pk")):
        state, applied, count = State(row["state"]), row["may_have_been_applied"], row["n"]
        if is_decided(state, verb.allowed, shown):
            left[f"{state}, {CHANGED}"] += count
        elif verb.allows(state, may_have_been_applied=applied):
            will[state.value] += count
            twice += count * applied
        else:
            left[state.value] += count
    if not verb.of_world_time and (waiting := jobs.filter(state=State.SCHEDULED, due_at=AT_WORLD_TIME).count()):
        will[State.SCHEDULED.value] -= waiting
        left[f"{State.SCHEDULED}, waits for a world time"] = waiting
    return DryRun(verb=verb, will=dict(+will), skipped=dict(left), applied=twice, until=until)


def step(
    action: JobAction,
    jobs: QuerySet[Job],
    *,
    after: UUID | None,
    until: UUID,
    shown: Collection[str] = (),
    may_discard: bool = True,
) -> Progress:
    """Do the next STEP of `jobs`, by id, as part of the action. Raises InvalidJob if its due time is not valid.

    Dead letters and cancelled jobs are left if they became so after the dry run, or if the states that it showed are
    others. Without `may_discard` no discarded jobs are restored.
    """
    some = jobs.filter(pk__lt=until).order_by("pk")
    if after:
        some = some.filter(pk__gt=after)
    batch = list(some[:STEP])
    with transaction.atomic():
        command = _choose_command(action, may_discard)
        kept, changed = split_decided(batch, VERBS[action.verb].allowed, shown, until)
        report = command(kept, actor=action.actor, reason=action.reason, action=action)
        report.skipped.update({CHANGED: len(changed)} if changed else {})
        actions.count(action, moved=len(report.done), skipped=report.skipped.total())
    last = batch[-1].pk if len(batch) == STEP else None
    return Progress(len(report.done), report.skipped, report.due, report.unknown, last)


def run(
    action: JobAction, jobs: QuerySet[Job], *, until: UUID, shown: Collection[str] = (), may_discard: bool = True
) -> Progress:
    """Run all steps. Raises as `step` does."""
    total = Progress()
    while True:
        one = step(action, jobs, after=total.after, until=until, shown=shown, may_discard=may_discard)
        total = Progress(
            done=total.done + one.done,
            skipped=total.skipped + one.skipped,
            due=total.due + one.due,
            unknown=total.unknown + one.unknown,
            after=one.after,
        )
        if total.after is None:
            return total


def _choose_command(action: JobAction, may_discard: bool) -> Callable[..., CommandReport]:
    if action.verb == "restore":
        return partial(undo.restore, discarded=may_discard)
    if action.verb in _COMMANDS:
        return _COMMANDS[action.verb]
    if action.due_at is None:
        raise InvalidJob("due_at", gettext("enter the new due time"))
    return partial(service.reschedule, due_at=action.due_at)


def list_states(counts: Mapping[str, int]) -> str:
    """How many jobs were left, by why; most first."""
    found = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{format_count(n)} {label_of_left(why)}" for why, n in found)
