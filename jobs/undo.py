"""Takes operators' actions on jobs back: a job returns to the state and the due time that it had.

A job is taken back only while it is as the action left it. What a worker has claimed since, or somebody has changed, is
left. Retries and early runs of work that must not be done twice are never taken back: they may be on their way.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from jobs import stops
from jobs.broker import enqueue
from jobs.ledger import Move
from jobs.ledger import moves as ledger
from jobs.ledger.changes import columns_before
from jobs.models import AuditEntry, Job, JobAction
from jobs.registry import all_types
from jobs.service import CommandReport
from jobs.states import CANCELLABLE, State
from jobs.stops import PlannedJob, waits_for_world_time
from jobs.world.clock import WorldTime

SAMPLE: Final = 50  #: latest jobs of an action that are looked at to see whether it can be taken back
RUNS: Final = ("retry", "run_now")  #: verbs after which a job may start at once


def restore(
    jobs: Iterable[Job], *, actor: str, reason: str, action: JobAction | None = None, discarded: bool = True
) -> CommandReport:
    """Take back that jobs were cancelled or, unless `discarded` is False, discarded."""
    found = list(jobs)
    cancelled = AuditEntry.objects.filter(job_id__in=[job.pk for job in found], now=State.CANCELLED.value)
    own = cancelled.exclude(action__verb="retry")  # the undo of a retry: what it was before is what the retry made it
    entries = {entry.job_id: entry for entry in own.order_by("id")}

    def refusal(job: Job, entry: AuditEntry | None) -> str:
        if entry is None or job.state != State.CANCELLED:
            return str(job.state)
        return "discarded" if not discarded and is_discarded(job, entry) else ""

    return _take_back("Restored", [(job, entries.get(job.pk)) for job in found], refusal, actor, reason, action)


def undo(
    undone: JobAction, entries: Sequence[AuditEntry], *, actor: str, reason: str, action: JobAction | None = None
) -> CommandReport:
    """Take back what `undone` did to the jobs of these entries of it, and record that as part of `action`."""
    with transaction.atomic():
        wanted = Job.objects.select_for_update().filter(pk__in=[entry.job_id for entry in entries])
        jobs = {job.pk: job for job in wanted.order_by("pk")}

        def refusal(job: Job, entry: AuditEntry | None) -> str:
            if entry is None or not is_as_left(job, entry):
                return "moved since" if entry and job.state == entry.now else f"{job.state} by now"
            return "an effect on its way" if is_final(undone.verb, job.type) else ""

        pairs = [(jobs[entry.job_id], entry) for entry in entries if entry.job_id in jobs]
        report = _take_back("Undone", pairs, refusal, actor, reason, action)
    if gone := len(entries) - len(pairs):
        report.skipped["deleted"] += gone
    return report


def is_as_left(job: Job, entry: AuditEntry) -> bool:
    """Whether the entry's move is the job's last."""
    return (job.state, job.moved_at, job.attempt) == (entry.now, entry.at, entry.attempt)


def is_final(verb: str, job_type: str) -> bool:
    """Whether the verb cannot be taken back for jobs of a type: it lets work start that must not be done twice."""
    declared = all_types().get(job_type)
    return verb in RUNS and (declared is None or not declared.idempotent)


def find_open_entries(action: JobAction) -> QuerySet[AuditEntry]:
    """The entries of an action that can be taken back."""
    entries = as_left(AuditEntry.objects.filter(action=action))
    return entries.exclude(job__type__in=final_types()) if action.verb in RUNS else entries


def final_types() -> list[str]:
    """The types whose runs (RUNS) cannot be taken back."""
    return [name for name in all_types() if is_final(RUNS[0], name)]


def is_discarded(job: Job, entry: AuditEntry) -> bool:
    """Whether it was discarded, not cancelled, by the entry's move."""
    return entry.was == State.DEAD or job.may_have_been_applied


def find_open(actions: Iterable[JobAction]) -> set[int]:
    """The IDs of those that can be taken back for one of their SAMPLE latest jobs; one query."""
    latest = AuditEntry.objects.filter(action=OuterRef(OuterRef("pk"))).order_by("-id").values("pk")[:SAMPLE]
    open_entries = as_left(AuditEntry.objects.filter(pk__in=Subquery(latest)))
    of_effects = Q(verb__in=RUNS) & ~Exists(open_entries.exclude(job__type__in=final_types()))
    wanted = JobAction.objects.filter(pk__in=[action.pk for action in actions])
    return set(wanted.filter(Exists(open_entries)).exclude(of_effects).values_list("pk", flat=True))


def as_left(entries: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
    """Those whose move is their job's last."""
    return entries.filter(job__state=F("now"), job__moved_at=F("at"), job__attempt=F("attempt"))


def _take_back(
    verb: str,
    pairs: Sequence[tuple[Job, AuditEntry | None]],
    refusal: Callable[[Job, AuditEntry | None], str],
    actor: str,
    reason: str,
    action: JobAction | None,
) -> CommandReport:
    report = CommandReport(verb)
    moves = []
    for job, entry in pairs:
        refused = refusal(job, entry)
        if entry is None or refused:
            report.skipped[refused] += 1
        else:
            moves.append(_move_back(job, entry, reason))
    with transaction.atomic():
        report.done = ledger.move_many(moves, actor=actor, action=action)
        _put_stops(report.done)
    report.skipped["changed meanwhile"] += len(moves) - len(report.done)
    report.skipped = +report.skipped
    now = timezone.now()
    report.due = sum(job.is_waiting and job.due_at <= now for job in report.done)
    enqueue.dequeue_after_commit(report.done)
    enqueue.enqueue_after_commit(report.done)
    return report


def _move_back(job: Job, entry: AuditEntry, reason: str) -> Move:
    """To the state before; a submission is taken back by a cancel."""
    to = State(entry.was) if entry.was else State.CANCELLED
    if to is State.QUEUED and job.may_have_been_applied:
        to = State.RETRYING  # queued again by the scheduler: a move to QUEUED would count as a decision to send again
    # What a submission notes as changed is what a copy has otherwise than its original.
    changes: dict[str, Any] = columns_before((entry.details or {}).get("changes") or {}) if entry.was else {}
    if to in CANCELLABLE:
        changes["finished_at"] = None
    elif to is State.CANCELLED and job.state in CANCELLABLE:
        changes.setdefault("finished_at", timezone.now())
    return Move(job, to, reason, changes, goes_back=True)


def _put_stops(jobs: Sequence[Job]) -> None:
    """Let the world stop again for the jobs that wait for a world time, and no longer for the others."""
    timed = [job for job in jobs if job.clock_due]
    stops.withdraw(job.pk for job in timed if not waits_for_world_time(job))
    stops.place_again(
        [
            PlannedJob(job.pk, job.campaign_id, WorldTime.parse(job.clock_due))
            for job in timed
            if waits_for_world_time(job)
        ]
    )
