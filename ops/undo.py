"""Taking operators' actions on jobs back: who may, whether it can still be done, and doing it in steps.

jobs/undo.py does the work.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from django.db import transaction
from django.db.models import Count, QuerySet
from django.utils.translation import gettext, gettext_lazy, ngettext

from jobs import actions, undo
from jobs.models import AuditEntry, Job, JobAction
from ops.bulk import explain_rest
from ops.humanize import format_count
from ops.verbs import VERBS

STEP: Final = 500  #: jobs a step: a transaction of a fraction of a second
MOST_AT_ONCE: Final = 10_000  #: jobs that one press takes back: some seconds
SUBMIT: Final = "submit"
NEVER: Final = gettext_lazy(
    "It cannot be undone for effects and events: once such a job may start, it may be sent at any moment."
)

HasPermission = Callable[[str], bool]


@dataclass(slots=True)
class Undone:
    """What one press of Undo did."""

    done: int = 0
    due: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    is_partial: bool = False  #: it stopped at MOST_AT_ONCE

    def __str__(self) -> str:
        text = ngettext("Undone for %(count)s job.", "Undone for %(count)s jobs.", self.done)
        parts = [text % {"count": format_count(self.done)}, *explain_rest(self.due, self.skipped)]
        return " ".join([*parts, gettext("Press Undo again for the rest.")] if self.is_partial else parts)


def is_permitted(action: JobAction, may: HasPermission) -> bool:
    """Whether somebody who `may` use some permissions may take the action back."""
    if action.verb == SUBMIT:
        return may("jobs.cancel_job")
    if action.verb == "restore" and not may("jobs.discard_job"):
        return False  # its jobs may be dead letters
    return action.verb in VERBS and may(VERBS[action.verb].permission)


def is_open(action: JobAction) -> bool:
    """Whether it can be taken back for one of its latest jobs at least."""
    return bool(undo.find_open([action]))


def is_open_for(job: Job, entry: AuditEntry) -> bool:
    """Whether the entry's action can be taken back for the job."""
    verb = entry.action.verb if entry.action else ""
    return undo.is_as_left(job, entry) and not undo.is_final(verb, job.type)


def is_never_undone(action: JobAction) -> bool:
    """Whether it moved jobs for which it cannot be taken back, however soon."""
    of_final = action.entries.filter(job__type__in=undo.final_types())
    return action.verb in undo.RUNS and of_final.exists()


def take_back(action: JobAction, *, actor: str, job: Job | None = None) -> tuple[Undone, JobAction | None]:
    """Take back what the action did to its jobs, or to one of them. A second press finds nothing left to do.

    Returns what it did, and the action that it is itself; None if there was nothing to do.
    """
    every, found = AuditEntry.objects.filter(action=action), undo.find_open_entries(action).order_by("-id")
    if job is not None:
        every, found = every.filter(job=job), found.filter(job=job)
    by: JobAction | None = None
    undone = Undone(skipped=_count_states(every) - _count_states(found))
    for _ in range(MOST_AT_ONCE // STEP):
        entries = list(found[:STEP])
        if not entries:
            return undone, by
        with transaction.atomic():
            by = by or actions.begin(action.verb, actor=actor, undoes=action)
            report = undo.undo(action, entries, actor=actor, reason="", action=by)
            actions.count(by, moved=len(report.done), skipped=report.skipped.total())
        undone.done += len(report.done)
        undone.due += report.due
        undone.skipped += report.skipped
        found = found.filter(pk__lt=entries[-1].pk)
    undone.is_partial = found.exists()
    return undone, by


def _count_states(entries: QuerySet[AuditEntry]) -> Counter[str]:
    rows = entries.order_by().values_list("job__state", "now").annotate(n=Count("pk"))
    counts = Counter[str]()
    for state, left, n in rows:
        counts["moved since" if state == left else f"{state} by now"] += n
    return counts
