"""Why a job is in its state, and what happens next."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from django.utils.translation import gettext

from jobs.actor import name_of
from jobs.models import AuditEntry, Job, Pause
from jobs.states import State
from jobs.waits import Wait, wait_in
from ops.humanize import duration, naturaltime
from ops.reads import blockers
from ops.reads.reasons import typed_reason


def explain(
    job: Job,
    last: AuditEntry | None,
    now: datetime,
    paused_by: Sequence[Pause] = (),
    campaign: str = "",
    *,
    world_due: str = "",
    next_call: datetime | None = None,
) -> str:
    """Why the job is in its state and what happens next.

    `campaign` is its campaign's name, if known; `world_due` the world time for which it waits; `next_call` when an
    open breaker lets the next call through.
    """
    reason = typed_reason(last.actor, last.reason) if last else ""
    held = [blockers.explain_pause(pause, campaign) for pause in paused_by]
    since = duration(now - job.moved_at)
    match State(job.state):
        case State.SCHEDULED:
            return " ".join([_explain_scheduled(job, now, world_due), *held])
        case State.QUEUED if paused_by:
            text = gettext("Due for %(duration)s, but paused: %(pauses)s Then the next free worker takes it.")
            return text % {"duration": since, "pauses": " ".join(held)}
        case State.QUEUED:
            return gettext("Due; has waited %(duration)s for a free worker.") % {"duration": since}
        case State.RUNNING:
            return _explain_running(job, now, since)
        case State.RETRYING:
            return " ".join([_explain_retrying(job, reason, now, next_call), *held])
        case State.DEAD:
            return _explain_dead(job, reason or job.error, since)
        case State.SKIPPED:
            return gettext("There was nothing left to do: %(reason)s.") % {"reason": reason}
        case State.CANCELLED:
            return _explain_cancelled(last, reason, since)
        case State.SUCCEEDED:
            return gettext("Done %(duration)s ago.") % {"duration": since}


def _explain_scheduled(job: Job, now: datetime, world_due: str) -> str:
    if world_due:
        return gettext("Waits until world time reaches %(time)s.") % {"time": world_due}
    waits = gettext("Waits for its due time, %(when)s.") % {"when": naturaltime(job.due_at, now)}
    if job.due_at >= now:
        return waits
    late = gettext("It should have been queued by now: is a scheduler running?")
    return f"{waits} {late}"


def _explain_running(job: Job, now: datetime, since: str) -> str:
    if job.worker:
        text = gettext("Has run for %(duration)s on %(worker)s.") % {"duration": since, "worker": job.worker}
    else:
        text = gettext("Has run for %(duration)s.") % {"duration": since}
    if job.lease_until is None:
        return text
    lease = gettext("Its lease ends %(when)s unless renewed.") % {"when": naturaltime(job.lease_until, now)}
    return f"{text} {lease}"


def _explain_cancelled(last: AuditEntry | None, reason: str, since: str) -> str:
    said = {"duration": since, "who": name_of(last.actor) if last else gettext("somebody"), "reason": reason}
    if reason:
        return gettext("Cancelled %(duration)s ago by %(who)s: %(reason)s.") % said
    return gettext("Cancelled %(duration)s ago by %(who)s.") % said


def _explain_retrying(job: Job, reason: str, now: datetime, next_call: datetime | None) -> str:
    at = max(job.due_at, next_call) if next_call else job.due_at
    said = {"when": naturaltime(at, now), "reason": reason}
    if job.may_have_been_applied:
        text = gettext(
            "Next attempt %(when)s. The effect may already be applied, and is sent again because "
            "EFFECT_UNKNOWN_OUTCOME is retry. Last error: %(reason)s."
        )
        return text % said
    if wait := wait_in(job.error):
        return " ".join(_explain_wait(job, wait, now, said))
    return gettext("Next attempt %(when)s. Last error: %(reason)s.") % said


def _explain_wait(job: Job, wait: Wait, now: datetime, said: Mapping[str, str]) -> Iterator[str]:
    yield gettext("Waits: %(cause)s.") % {"cause": job.error.partition(": ")[2] or said["reason"]}
    if job.waits_since:
        yield gettext("It has waited for %(duration)s.") % {"duration": duration(now - job.waits_since)}
    if wait is Wait.ANSWER:
        yield gettext("Next attempt after the answer, or %(when)s; no failure counts.") % said
    else:
        yield gettext("Checks again %(when)s; no failure counts.") % said


def _explain_dead(job: Job, reason: str, since: str) -> str:
    if job.may_have_been_applied:
        text = gettext(
            "Failed permanently %(duration)s ago. %(error)s. The effect may already be applied; it was not sent again. "
            "Check the main API, then retry or discard."
        )
        return text % {"duration": since, "error": job.error}
    text = gettext(
        "Failed permanently %(duration)s ago: %(reason)s. Nothing happens until somebody retries or discards it."
    )
    return text % {"duration": since, "reason": reason}
