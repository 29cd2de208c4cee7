"""The audit trail as one list: moves of jobs and operator actions, newest first, searched without a full scan.

Entries have no index on their time; ids grow with it, so a time is found by a binary search over ids.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, TypeVar

from django.db import connection
from django.db.models import Q, QuerySet
from django.utils.translation import gettext

from jobs.models import AuditEntry, Job, JobAction, OperatorAction
from jobs.models.audit import SINGLE
from jobs.models.indexes import Inlined
from jobs.states import State
from jobs.waits import ERRORS
from ops.humanize import format_jobs
from ops.labels import find_stored_verbs, label_of_state, label_of_verb
from ops.reads.attempts import error_of
from ops.reads.changes import read_changes
from ops.reads.job_actions import ActionStatus, describe, find_verbs, read_statuses
from ops.reads.reasons import typed_reason
from ops.reads.targets import name_targets
from scheduler_project.text import is_job_id

A = TypeVar("A", OperatorAction, JobAction)
PAGE: Final = 50
SEARCHED: Final = 20_000  #: moves that a page searches for texts; the next page continues from there
FAILED: Final = "failed attempts"
RETRIED: Final = "failed and retried"
WAITED: Final = "waits"
HANDED_BACK: Final = "handed back"
SKEW: Final = timedelta(minutes=1)  #: concurrent transactions can write entries out of order


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailFilters:
    """The filters of the trail; an empty filter matches everything."""

    who: str = ""
    what: str = ""
    """A state, a verb, a target, a job's id, FAILED, RETRIED, WAITED or HANDED_BACK; several, with commas."""
    why: str = ""
    """In the reason or the error."""
    origin: str = ""
    """In the IP address or the request id."""
    since: datetime | None = None
    until: datetime | None = None
    people_only: bool = True
    """Without workers, schedulers and cron tasks."""
    entries: bool = True
    """Include moves of jobs."""
    actions: bool = True
    """Include operator actions."""


class Cursor(NamedTuple):
    """A page starts below these ids; None: at the newest."""

    entry: int | None = None
    action: int | None = None
    job_action: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailLine:
    """One move, or one action with all its moves."""

    at: datetime
    who: str
    what: str
    target: str
    why: str
    ip: str
    request_id: str
    job: Job | None = None
    link: str = ""
    error: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)
    entry: AuditEntry | None = None
    action: OperatorAction | None = None
    job_action: JobAction | None = None
    status: ActionStatus | None = None
    """Of `job_action`."""

    @property
    def key(self) -> str:
        """Its name on a page."""
        one = self.job_action or self.action or self.entry
        return f"{type(one).__name__}-{one.pk}" if one else ""


@dataclass(frozen=True, slots=True)
class Page:
    """Some lines, and where the next page starts; None on the last page."""

    lines: list[TrailLine]
    older: Cursor | None


def read_page(question: TrailFilters, cursor: Cursor) -> Page:
    """The newest lines below `cursor`; ten queries at most."""
    entries, floor = _find_entries(question, cursor) if question.entries else ([], None)
    actions = _find_actions(question, cursor) if question.actions else []
    name_targets(actions)
    job_actions = _find_job_actions(question, cursor) if question.entries else []
    jobs = Job.objects.defer("traceback").in_bulk({entry.job_id for entry in entries})
    lines = [_line_of_entry(e, jobs.get(e.job_id)) for e in entries] + [_line_of_action(a) for a in actions]
    lines += [_line_of_job_action(action) for action in job_actions]
    lines.sort(key=lambda line: line.at, reverse=True)
    shown = _with_statuses(lines[:PAGE])
    if len(lines) <= PAGE and floor is None:
        return Page(shown, None)
    entry = min((line.entry.pk for line in shown if line.entry), default=cursor.entry)
    action = min((line.action.pk for line in shown if line.action), default=cursor.action)
    job_action = min((line.job_action.pk for line in shown if line.job_action), default=cursor.job_action)
    return Page(shown, Cursor(floor if len(lines) <= PAGE else entry, action, job_action))


def _with_statuses(lines: list[TrailLine]) -> list[TrailLine]:
    statuses = read_statuses([line.job_action for line in lines if line.job_action])
    return [replace(line, status=statuses[line.job_action.pk]) if line.job_action else line for line in lines]


def _names_a_job(question: TrailFilters) -> bool:
    """Whether it is about single jobs, whose moves are shown one by one, also those that belong to an action."""
    return any(map(is_job_id, _split(question.what)))


def _find_entries(question: TrailFilters, cursor: Cursor) -> tuple[list[AuditEntry], int | None]:
    """Matching moves, one more than a page; and the lowest id that was searched, if there are more below."""
    every = AuditEntry.objects.by_people() if question.people_only else AuditEntry.objects.all()
    found: QuerySet[AuditEntry] = every.order_by("-id")
    if not _names_a_job(question):
        found = found.filter(Inlined(SINGLE))
    if cursor.entry is not None:
        found = found.filter(id__lt=cursor.entry)
    if question.since:
        found = found.filter(id__gte=find_first_since(question.since - SKEW), at__gte=question.since)
    if question.until:
        found = found.filter(id__lt=find_first_since(question.until + SKEW), at__lt=question.until)
    texts = _filter_texts(question)
    floor = None
    if texts:
        floor = found.values_list("id", flat=True)[SEARCHED - 1 : SEARCHED].first()
        found = (found.filter(id__gte=floor) if floor else found).filter(texts)
    return list(found[: PAGE + 1]), floor


def _filter_texts(question: TrailFilters) -> Q:
    texts = Q()
    if question.who:
        texts &= Q(actor__icontains=question.who)
    if question.what:
        texts &= Q.create([_filter_moves(one) for one in _split(question.what)], connector=Q.OR)
    if question.why:
        texts &= Q(reason__icontains=question.why) | Q(error__icontains=question.why)
    if question.origin:
        texts &= Q(details__icontains=question.origin)
    return texts


def _filter_moves(what: str) -> Q:
    """The moves that one word or id matches."""
    waited = Q.create([("error__startswith", f"{error}:") for error in ERRORS], connector=Q.OR)
    retried, dead = (Q(was=State.RUNNING.value, now=state.value) for state in (State.RETRYING, State.DEAD))
    known = {
        FAILED: (retried & ~waited) | dead,
        RETRIED: retried & ~waited,
        WAITED: retried & waited,
        HANDED_BACK: Q(was=State.RUNNING.value, now=State.QUEUED.value, error=""),  # claims.is_handed_back in SQL
    }
    if what in known:
        return known[what]
    return Q(job_id=what) if is_job_id(what) else Q(now__icontains=what)


def _find_actions(question: TrailFilters, cursor: Cursor) -> list[OperatorAction]:
    found = OperatorAction.objects.order_by("-id")
    if cursor.action is not None:
        found = found.filter(id__lt=cursor.action)
    if question.what:
        texts = _split(question.what)
        shown = [verb for text in texts for verb in find_stored_verbs(text)]
        kept = [(f"{field}__icontains", text) for field in ("verb", "target") for text in texts]
        found = found.filter(Q.create([("verb__in", shown), *kept], connector=Q.OR))
    return list(_narrow(found, question)[: PAGE + 1])


def _find_job_actions(question: TrailFilters, cursor: Cursor) -> list[JobAction]:
    if _names_a_job(question):
        return []
    found = JobAction.objects.filter(jobs__gt=0).select_related("undoes").order_by("-id")
    if cursor.job_action is not None:
        found = found.filter(id__lt=cursor.job_action)
    if question.what:
        found = found.filter(verb__in=[verb for one in _split(question.what) for verb in find_verbs(one)])
    return list(_narrow(found, question)[: PAGE + 1])


def _narrow(actions: QuerySet[A], question: TrailFilters) -> QuerySet[A]:
    """Those of the actions that match all but what was done."""
    if question.people_only:
        actions = actions.filter(actor__startswith="user:")
    if question.since:
        actions = actions.filter(at__gte=question.since)
    if question.until:
        actions = actions.filter(at__lt=question.until)
    if question.who:
        actions = actions.filter(actor__icontains=question.who)
    if question.why:
        actions = actions.filter(reason__icontains=question.why)
    if question.origin:
        actions = actions.filter(Q(ip__icontains=question.origin) | Q(request_id__icontains=question.origin))
    return actions


def _split(what: str) -> list[str]:
    return [one.strip() for one in what.split(",") if one.strip()] or [what]


_MIDDLE: Final = "(SELECT at FROM jobs_auditentry WHERE id >= (lo + hi) / 2 ORDER BY id LIMIT 1) < %s"
_HALVING: Final = (
    "WITH RECURSIVE b(lo, hi, n) AS (SELECT (SELECT min(id) FROM jobs_auditentry), "  # noqa: S608 - constants
    "(SELECT max(id) + 1 FROM jobs_auditentry), 0 UNION ALL "
    f"SELECT CASE WHEN {_MIDDLE} THEN (lo + hi) / 2 + 1 ELSE lo END, "
    f"CASE WHEN {_MIDDLE} THEN hi ELSE (lo + hi) / 2 END, n + 1 FROM b WHERE lo < hi AND n < 64) "
    "SELECT lo FROM b ORDER BY n DESC LIMIT 1"
)


def find_first_since(moment: datetime) -> int:
    """The id of the first entry at or after `moment`, or one more than the last; 0 for an empty trail. One query."""
    at = connection.ops.adapt_datetimefield_value(moment)
    with connection.cursor() as cursor:
        cursor.execute(_HALVING, [at, at])
        row = cursor.fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def _line_of_entry(entry: AuditEntry, job: Job | None) -> TrailLine:
    came = (entry.details or {}).get("from") or {}
    return TrailLine(
        at=entry.at,
        who=entry.actor,
        what=_describe_move(entry),
        target=str(entry.job_id),
        job=job,
        why=typed_reason(entry.actor, entry.reason),
        error=error_of(entry),
        changes=read_changes(entry),
        ip=came.get("ip", ""),
        request_id=came.get("request_id", "") or (job.request_id if job else ""),
        entry=entry,
    )


def _describe_move(entry: AuditEntry) -> str:
    was = label_of_state(entry.was) if entry.was else gettext("new")
    return f"{was} → {label_of_state(entry.now)}"


def _line_of_action(action: OperatorAction) -> TrailLine:
    return TrailLine(
        at=action.at,
        who=action.actor,
        what=label_of_verb(action.verb),
        target=action.target,
        link=action.link,
        why=action.reason,
        changes=action.changes or {},
        ip=action.ip,
        request_id=action.request_id,
        action=action,
    )


def _line_of_job_action(action: JobAction) -> TrailLine:
    return TrailLine(
        at=action.at,
        who=action.actor,
        what=describe(action),
        target=format_jobs(action.jobs),
        why=action.reason,
        ip=action.ip,
        request_id=action.request_id,
        job_action=action,
    )
