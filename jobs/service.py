"""The public interface for jobs: submit, cancel, discard, reschedule, run now, retry.

Admin, HTTP API, listener, cron tasks and management commands all use it, and always pass an actor and a reason. A
person's reason is what they typed, or empty: what was done stands in the entry itself. jobs/undo.py takes it back.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple

from django.db import transaction
from django.utils import timezone

from jobs import stops
from jobs.backoff import pause_before_repeating
from jobs.broker import enqueue
from jobs.errors import StateConflict
from jobs.group_commit import GroupCommit
from jobs.ledger import Entry, Move
from jobs.ledger import moves as ledger
from jobs.ledger.changes import Change, differences_from
from jobs.ledger.recording import after_commit, announce_committed
from jobs.models import Job, JobAction
from jobs.run import Followup
from jobs.states import CANCELLABLE, DISCARDABLE, FINAL, RESCHEDULABLE, RETRYABLE, WAITING, State
from jobs.stops import PlannedJob, waits_for_world_time
from jobs.submission import Submission, check_due, job_of
from jobs.world.clock import WorldTime


class By(NamedTuple):
    """Who moves jobs and why, and the action that it is part of."""

    actor: str
    reason: str
    action: JobAction | None


@dataclass(slots=True)
class CommandReport:
    """What a command on several jobs did, and what it skipped."""

    verb: str  #: in the past tense
    done: list[Job] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)  #: by state, and what else speaks against it
    unknown: int = 0  #: how many of `done` may have been applied before
    due: int = 0  #: how many of `done` wait again although their due time has passed


def submit(
    submission: Submission, *, actor: str, reason: str = "", action: JobAction | None = None
) -> tuple[Job, bool]:
    """Submit one job. Returns the job for this work, and whether it is new.

    Raises InvalidJob, naming the field, if type, campaign, payload, priority or due time is invalid.
    """
    by = By(actor, reason, action)
    job = job_of(submission, actor, timezone.now())
    if transaction.get_connection().in_atomic_block or waits_for_world_time(job):
        (answer,) = _store([job], by)
        return answer
    return _store_with_others(job, by)


def submit_copy(
    submission: Submission, *, of: Job, actor: str, reason: str, action: JobAction | None = None
) -> tuple[Job, bool]:
    """Like `submit`, for a copy of the job `of`; if it is new, it is linked to `of`."""
    with transaction.atomic():
        ((job, new),) = _submit_many([submission], By(actor, reason, action), partial(differences_from, of))
        if new:
            Job.objects.filter(pk=job.pk).update(copy_of=of.pk)
    return job, new


def check(submission: Submission) -> None:
    """Raise InvalidJob, naming the field, if `submit` would."""
    job_of(submission, "check", timezone.now())


def submit_many(submissions: Sequence[Submission], *, actor: str, reason: str = "") -> list[tuple[Job, bool]]:
    """Submit all jobs or, if one is invalid, none of them.

    Raises InvalidJob as `submit` does.
    """
    return _submit_many(submissions, By(actor, reason, None))


def _submit_many(
    submissions: Sequence[Submission], by: By, changes_of: Callable[[Job], Mapping[str, Change]] | None = None
) -> list[tuple[Job, bool]]:
    now = timezone.now()
    return _store([job_of(submission, by.actor, now) for submission in submissions], by, changes_of)


def _store(
    jobs: Sequence[Job], by: By, changes_of: Callable[[Job], Mapping[str, Change]] | None = None
) -> list[tuple[Job, bool]]:
    changes = changes_of(jobs[0]) if changes_of else None
    has_stops = any(waits_for_world_time(job) for job in jobs)
    with transaction.atomic() if has_stops else nullcontext():
        by_key, noted = ledger.create_many(jobs, **by._asdict(), changes=changes)
        if has_stops:
            _place_stops(jobs, by_key)
    if noted:
        after_commit(partial(_enqueue, noted))
    return [(stored := by_key[job.unique_key], stored is job) for job in jobs]


def _enqueue(noted: Sequence[tuple[Job, Entry]]) -> None:
    """Enqueue new jobs that are committed, and announce them while Redis works."""
    finish = enqueue.begin_committed([job for job, _ in noted])
    announce_committed(noted)
    finish()


def _store_with_others(job: Job, by: By) -> tuple[Job, bool]:
    """Store the job in one transaction with those of other threads, if any."""
    entry = ledger.entry_of_new(job, actor=by.actor, reason=by.reason, action=by.action)
    if not _together.add((job, entry)):
        existing = Job.objects.filter(unique_key=job.unique_key).first()
        if existing is None:  # deleted since
            (answer,) = _store([job], by)
            return answer
        if existing.id != job.id:
            return existing, False
        enqueue.enqueue_committed([existing])  # who led was interrupted after the commit
    announce_committed([(job, entry)])
    return job, True


def _create_together(noted: Sequence[tuple[Job, Entry]]) -> list[bool]:
    """Store and enqueue jobs of several threads; return for each whether it is new."""
    first: dict[str, tuple[Job, Entry]] = {}
    for job, entry in noted:
        first.setdefault(job.unique_key, (job, entry))
    new = ledger.create_noted({key: job for key, (job, _) in first.items()}, [entry for _, entry in first.values()])
    enqueue.send_committed([job for key, (job, _) in first.items() if key in new])
    return [job.unique_key in new and first[job.unique_key][0] is job for job, _ in noted]


_together: Final = GroupCommit(_create_together)


def _describe(job: Job) -> str:
    """A job that a command leaves as it is."""
    applied = ", may have been applied" if job.may_have_been_applied else ""
    return f"{job.state}{applied}{', waits for a world time' if waits_for_world_time(job) else ''}"


def _place_stops(jobs: Sequence[Job], stored: Mapping[str, Job]) -> None:
    new = [job for job in jobs if waits_for_world_time(job) and stored[job.unique_key].id == job.id]
    stops.place([PlannedJob(job.id, job.campaign_id, WorldTime.parse(job.clock_due)) for job in new])


def submit_followups(followups: Sequence[Followup], *, actor: str, reason: str, request_id: str = "") -> int:
    """Submit the jobs of handlers and schedules. Returns how many of them are new.

    What is due on a campaign's clock is not applied. If its job has ended all the same - skipped while the campaign was
    inactive, or done in a main API that was restored from a backup since - there is another, after twice the pause each
    time. What an operator has cancelled stays so.
    """
    count, left, again = 0, followups, 0
    while left:
        submissions = [
            Submission(
                type=f.type,
                campaign_id=f.campaign_id,
                payload=f.payload,
                subject=f.subject,
                clock_due=f.clock_due,
                occurrences=f.occurrences,
                interval=f.interval,
                request_id=request_id,
                again=again,
            )
            for f in left
        ]
        answers = submit_many(submissions, actor=actor, reason=reason)
        count += sum(new for _, new in answers)
        over = timezone.now() - pause_before_repeating(again)
        left = [
            f
            for f, (job, new) in zip(left, answers, strict=True)
            if not new and f.clock_due and job.state in FINAL and job.finished_at and job.finished_at <= over
        ]
        again += 1
    return count


def cancel(jobs: Iterable[Job], *, actor: str, reason: str, action: JobAction | None = None) -> CommandReport:
    """Cancel waiting jobs, except those whose work may have been done already: use `discard` for those."""
    return _withdraw("Cancelled", jobs, may_cancel, By(actor, reason, action))


def discard(jobs: Iterable[Job], *, actor: str, reason: str, action: JobAction | None = None) -> CommandReport:
    """Discard dead letters, and waiting jobs whose work may have been done; the report counts the latter."""
    report = _withdraw("Discarded", jobs, may_discard, By(actor, reason, action))
    report.unknown = sum(job.may_have_been_applied for job in report.done)
    return report


def may_cancel(job: Job) -> bool:
    """Whether the job is waiting and its work cannot have been done."""
    return State(job.state) in CANCELLABLE and not job.may_have_been_applied


def may_discard(job: Job) -> bool:
    """Whether the job is a dead letter, or is waiting although its work may have been done."""
    return job.state == State.DEAD or (State(job.state) in DISCARDABLE and job.may_have_been_applied)


def reschedule(
    jobs: Iterable[Job], *, due_at: datetime, actor: str, reason: str, action: JobAction | None = None
) -> CommandReport:
    """Change the due time of jobs that have not started, except those that wait for a world time.

    Raises InvalidJob if `due_at` is naive or out of range.
    """
    check_due(due_at, "dueAt", timezone.now())
    report = _move_each(
        "Rescheduled",
        jobs,
        lambda job: State(job.state) in RESCHEDULABLE and not waits_for_world_time(job),
        lambda job: Move(job, State.SCHEDULED, reason, {"due_at": due_at}),
        By(actor, reason, action),
    )
    enqueue.dequeue_after_commit(report.done)
    enqueue.enqueue_after_commit(report.done)
    return report


def run_now(jobs: Iterable[Job], *, actor: str, reason: str, action: JobAction | None = None) -> CommandReport:
    """Make jobs that wait for a due time due now."""
    now, by = timezone.now(), By(actor, reason, action)
    with transaction.atomic():
        report = _move_each(
            "Queued", jobs, _in(WAITING), lambda job: Move(job, State.QUEUED, reason, {"due_at": now}), by
        )
        stops.withdraw(job.pk for job in report.done if job.clock_due)
    enqueue.enqueue_after_commit(report.done)
    return report


def release(job: Job, *, actor: str, reason: str) -> bool:
    """Queue a job whose world time has come; its stop stays until it has ended. Returns whether it still waited."""
    moved = ledger.move_many([Move(job, State.QUEUED, reason, {"due_at": timezone.now()})], actor=actor)
    enqueue.enqueue_after_commit(moved)
    return bool(moved)


def retry(jobs: Iterable[Job], *, actor: str, reason: str, action: JobAction | None = None) -> CommandReport:
    """Put dead letters and cancelled jobs back into their queue, with no failures counted against them.

    The last error stays until the next attempt starts.
    """
    by = By(actor, reason, action)
    again = {"failures": 0, "due_at": timezone.now(), "finished_at": None}
    report = _move_each("Retried", jobs, _in(RETRYABLE), lambda job: Move(job, State.QUEUED, reason, again), by)
    enqueue.enqueue_after_commit(report.done)
    return report


def one_or_conflict(report: CommandReport, job: Job) -> Job:
    """Return the job of a report on one job.

    Raises StateConflict if the job was skipped.
    """
    if not report.done:
        raise StateConflict(f"{job}: cannot be {report.verb.lower()}: {', '.join(report.skipped)}")
    return report.done[0]


def _withdraw(verb: str, jobs: Iterable[Job], allowed: Callable[[Job], bool], by: By) -> CommandReport:
    ended = {"finished_at": timezone.now()}
    with transaction.atomic():
        report = _move_each(verb, jobs, allowed, lambda job: Move(job, State.CANCELLED, by.reason, ended), by)
        stops.withdraw(job.pk for job in report.done if job.clock_due)
    enqueue.dequeue_after_commit(report.done)
    return report


def _in(states: tuple[State, ...]) -> Callable[[Job], bool]:
    return lambda job: State(job.state) in states


def _move_each(
    verb: str, jobs: Iterable[Job], allowed: Callable[[Job], bool], wanted: Callable[[Job], Move], by: By
) -> CommandReport:
    report = CommandReport(verb)
    with transaction.atomic():
        moves = []
        for job in jobs:
            if allowed(job):
                moves.append(wanted(job))
            else:
                report.skipped[_describe(job)] += 1
        report.done = ledger.move_many(moves, actor=by.actor, action=by.action)
        if len(report.done) < len(moves):
            report.skipped["changed meanwhile"] += len(moves) - len(report.done)
    return report
