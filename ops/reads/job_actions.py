"""Operators' actions on jobs, as pages show them: what was done, and whether it can be taken back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.utils.text import capfirst
from django.utils.translation import gettext, gettext_noop

from jobs import undo
from jobs.actor import name_of
from jobs.models import AuditEntry, Job, JobAction
from jobs.states import State
from ops.humanize import format_jobs, is_now, naturaltime
from ops.reads.changes import read_changes

PAGE: Final = 50

#: What an operator did to jobs, by the command.
PAST: Final[Mapping[str, str]] = {
    "submit": gettext_noop("submitted"),
    "retry": gettext_noop("retried"),
    "run_now": gettext_noop("queued"),
    "reschedule": gettext_noop("rescheduled"),
    "cancel": gettext_noop("cancelled"),
    "discard": gettext_noop("discarded"),
    "restore": gettext_noop("restored"),
}
_ONE: Final[Mapping[str, str]] = {
    "submit": gettext_noop("%(who)s submitted it %(when)s."),
    "retry": gettext_noop("%(who)s retried it %(when)s."),
    "run_now": gettext_noop("%(who)s queued it %(when)s."),
    "reschedule": gettext_noop("%(who)s rescheduled it %(when)s."),
    "cancel": gettext_noop("%(who)s cancelled it %(when)s."),
    "discard": gettext_noop("%(who)s discarded it %(when)s."),
    "restore": gettext_noop("%(who)s restored it %(when)s."),
}
_UNDID: Final[Mapping[str, str]] = {
    "submit": gettext_noop("undid “submitted”"),
    "retry": gettext_noop("undid “retried”"),
    "run_now": gettext_noop("undid “queued”"),
    "reschedule": gettext_noop("undid “rescheduled”"),
    "cancel": gettext_noop("undid “cancelled”"),
    "discard": gettext_noop("undid “discarded”"),
    "restore": gettext_noop("undid “restored”"),
}
#: The state after it, by which it is found, where `PAST` does not name that.
_STATES: Final = {"retry": State.QUEUED, "run_now": State.QUEUED, "reschedule": State.SCHEDULED}


def describe(action: JobAction) -> str:
    """What was done, in the past tense."""
    return gettext((_UNDID if action.undoes_id else PAST).get(action.verb, action.verb))


def describe_one(action: JobAction, at: datetime, now: datetime) -> str:
    """What somebody did to one job, and when."""
    when = gettext("just now") if is_now(at, now) else naturaltime(at, now)
    said = {"who": name_of(action.actor), "when": when}
    if action.undoes_id or action.verb not in _ONE:
        return gettext("%(who)s %(did)s %(when)s.") % {**said, "did": describe(action)}
    return gettext(_ONE[action.verb]) % said


def write_title(action: JobAction) -> str:
    said = {"did": capfirst(describe(action)), "jobs": format_jobs(action.jobs)}
    return gettext("%(did)s: %(jobs)s") % said


def find_verbs(text: str) -> list[str]:
    """The verbs that a search for `text` means."""
    wanted = text.casefold()
    return [
        verb for verb, past in PAST.items() if wanted in f"{past} {gettext(past)} {_STATES.get(verb, '')}".casefold()
    ]


@dataclass(frozen=True, slots=True)
class ActionStatus:
    """What became of an action since."""

    is_open: bool
    """It can be taken back, for some of its jobs at least."""
    undone_by: JobAction | None
    """The latest that took it back, for some of its jobs at least."""
    entry: AuditEntry | None
    """The only one of an action on one job, with the job."""

    @property
    def changes(self) -> dict[str, tuple[Any, Any]]:
        return read_changes(self.entry) if self.entry else {}

    @property
    def job(self) -> Job | None:
        return self.entry.job if self.entry else None


def read_statuses(actions: Sequence[JobAction]) -> dict[int, ActionStatus]:
    """By action's ID; three queries."""
    if not actions:
        return {}
    ids = [action.pk for action in actions]
    single = [action.pk for action in actions if action.jobs == 1]
    entries = AuditEntry.objects.filter(action__in=single).select_related("job").defer("job__traceback")
    entry_of = {entry.action_id: entry for entry in entries}
    undone_by = {by.undoes_id: by for by in JobAction.objects.filter(undoes__in=ids, jobs__gt=0).order_by("id")}
    is_open = undo.find_open(actions)
    return {pk: ActionStatus(pk in is_open, undone_by.get(pk), entry_of.get(pk)) for pk in ids}


@dataclass(frozen=True, slots=True)
class ActionJob:
    """One job of an action."""

    entry: AuditEntry
    job: Job | None
    """None once retention has deleted it."""
    is_as_left: bool
    changes: dict[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class ActionPage:
    moved: list[ActionJob]
    older: int | None
    """Where the next page starts."""
    count_open: int
    """Jobs for which it can be taken back, on all pages."""


def read_page(action: JobAction, before: int | None) -> ActionPage:
    """A page of the action's jobs, the latest first; three queries."""
    entries = AuditEntry.objects.filter(action=action).order_by("-id")
    below = entries.filter(pk__lt=before) if before is not None else entries
    found = list(below[: PAGE + 1])
    jobs = Job.objects.defer("traceback").in_bulk([entry.job_id for entry in found])
    moved = [_read_moved(entry, jobs.get(entry.job_id)) for entry in found[:PAGE]]
    count_open = undo.find_open_entries(action).count()
    return ActionPage(moved, found[PAGE - 1].pk if len(found) > PAGE else None, count_open)


def _read_moved(entry: AuditEntry, job: Job | None) -> ActionJob:
    return ActionJob(entry, job, job is not None and undo.is_as_left(job, entry), read_changes(entry))


def named_jobs(statuses: Iterable[ActionStatus]) -> list[Job]:
    """The jobs of actions on one job."""
    return [status.job for status in statuses if status.job]
