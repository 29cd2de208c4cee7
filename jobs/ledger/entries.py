"""The audit entries and the outcome rows that moves of jobs add."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from jobs import actor as actors
from jobs import histogram
from jobs.ledger.rows import CLAIMED, Claimant, Claimed, Ending, Enqueued, Entry, Outcomes
from jobs.models import Job
from jobs.states import State
from scheduler_project.durations import duration

_QUEUED: Final = State.QUEUED.value
_RUNNING: Final = State.RUNNING.value


def entries_of_end(ending: Ending, by: Claimant) -> list[Entry]:
    """The audit entries of the end of an attempt.

    A wait has two, when it is first found and when it is over, however often the job is claimed in between: none
    for those claims and their ends, and after the wait the two entries that were left out before this end.
    """
    if ending.job.waits_since is None:
        return [_entry_of_end(ending, by)]
    return [] if ending.bounced else [*_entries_after_wait(ending, by), _entry_of_end(ending, by)]


def explain_wait(job: Claimed | Job, until: datetime) -> str:
    """The reason in the audit entry of the end of a job's wait."""
    return f"had to wait for {duration(until - (job.waits_since or until))}"


def claimed_by(job: Claimed | Job, by: Claimant) -> str:
    """Who claimed the attempt that ends."""
    return actors.worker(job.worker) if isinstance(job, Job) else by.actor


def _entries_after_wait(ending: Ending, by: Claimant) -> list[Entry]:
    job, job_id, at = ending.job, str(ending.job.id), ending.job.started_at or by.now
    queued = Entry(
        job_id, at, State.RETRYING.value, _QUEUED, job.attempt - 1, actors.SCHEDULER, explain_wait(job, at), None, ""
    )
    return [queued, Entry(job_id, at, _QUEUED, _RUNNING, job.attempt, claimed_by(job, by), CLAIMED, None, "")]


def _entry_of_end(ending: Ending, by: Claimant) -> Entry:
    job, outcome = ending.job, ending.outcome
    return Entry(
        str(job.id),
        by.now,
        _RUNNING,
        outcome.to.value,
        job.attempt,
        by.actor,
        outcome.reason,
        round(ending.duration_ms, 3),
        ending.error,
        ending.details,
    )


def entry_of_claim(claimed: Claimed, by: Claimant) -> Entry | None:
    """The audit entry of a claim; none if it may only find that the job must wait longer."""
    if claimed.waits_since is not None:
        return None
    return Entry(claimed.id, by.now, _QUEUED, _RUNNING, claimed.attempt, by.actor, CLAIMED, None, "")


def entry_of_queued(job: Enqueued | Job, was: str, *, actor: str, reason: str, now: datetime) -> Entry:
    """The audit entry of a job that is due."""
    return Entry(str(job.id), now, was, _QUEUED, job.attempt, actor, reason, None, "")


def outcomes_of(endings: Sequence[Ending], by: Claimant) -> list[Outcomes]:
    """Ends summed up by type and outcome."""
    groups: dict[tuple[str, str], list[Ending]] = {}
    for ending in endings:
        groups.setdefault((ending.job.type, ending.outcome.counted_as), []).append(ending)
    return [_sum_up(kind, outcome, ended, by) for (kind, outcome), ended in groups.items()]


def _sum_up(kind: str, outcome: str, endings: Sequence[Ending], by: Claimant) -> Outcomes:
    runs = [ending for ending in endings if ending.outcome.is_run]
    run, wait = [round(e.duration_ms, 3) for e in runs], [e.waited_ms(by.now) for e in runs]
    return Outcomes(
        minute=by.minute,
        type=kind,
        outcome=outcome,
        shard=by.shard,
        jobs=len(endings),
        run_ms=sum(run),
        run_ms_max=max(run, default=0.0),
        wait_ms=sum(wait),
        wait_ms_max=max(wait, default=0.0),
        waited=histogram.count_waits(wait),
    )
