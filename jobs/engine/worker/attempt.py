"""One attempt of a job: run its handler and turn the result into what the ledger records."""

import random
import time
import traceback
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

import msgspec
import structlog
from django.db import connection, transaction
from django.utils import timezone

from jobs import actor as actors
from jobs import pauses, service
from jobs.errors import JobError, MustWait, NotBegun, Outage, OutcomeUnknown, Refused, Stopped
from jobs.fingerprint import fingerprint_of
from jobs.ledger import Claimed, Ending, moves
from jobs.main_api.calls import Calls
from jobs.main_api.client import main_api
from jobs.models import Job
from jobs.outcome import outcome_of
from jobs.policies import policy_of, time_limit_of
from jobs.registry import Answer, Item, JobType, readable_versions, type_named
from jobs.run import Followup, Run
from jobs.schedules.advances import DatabaseAdvances
from jobs.schedules.store import DatabaseSchedules
from jobs.sending import Phase, Sending
from jobs.states import State
from jobs.triggers.store import DatabaseTriggers
from jobs.world.clock import parse_moment
from scheduler_project import text
from scheduler_project.logs import mask
from scheduler_project.outages import is_outage

log = structlog.get_logger(__name__)
_random = random.Random()  # noqa: S311 - jitter, not a secret
_LONGEST_FIELD = 2_000  # characters; longer fields are dropped from a result that is too long


def claim(ids: Sequence[str], *, worker: str, now: datetime) -> list[Claimed]:
    """Claim for `worker` those of `ids` that are QUEUED. Returns the claimed jobs in the order of `ids`."""
    reads = readable_versions()
    return moves.cycle([], ids, actor=actors.worker(worker), worker=worker, now=now, reads=reads)[1]


def find_claimed(at: datetime, ids: Sequence[str], *, worker: str, until: datetime) -> list[Claimed]:
    """Return those of `ids` that `worker` claimed at exactly `at` and still runs, and renew their leases to `until`.

    If a claim's commit acknowledgement was lost, only the rows can tell whether it was committed. Raises
    OperationalError while a row is locked, for example by that same claim on a connection that the database has not
    yet noticed is closed.
    """
    with transaction.atomic():
        rows = list(Job.objects.select_for_update(nowait=True).filter(id__in=ids).order_by("id"))
        found = [job for job in rows if (job.state, job.worker, job.started_at) == (State.RUNNING, worker, at)]
        moves.renew_leases([str(job.id) for job in found], worker=worker, until=until)
    return [
        Claimed(
            id=str(job.id),
            type=job.type,
            campaign_id=job.campaign_id,
            subject=job.subject,
            payload=job.payload,
            priority=job.priority,
            attempt=job.attempt,
            failures=job.failures,
            due_at=job.due_at,
            clock=job.clock,
            clock_due=job.clock_due,
            occurrences=job.occurrences,
            interval=job.interval,
            request_id=job.request_id,
            payload_version=job.payload_version,
            started_at=at,
            waits=job.waits,
            waits_since=job.waits_since,
        )
        for job in found
    ]


def record(endings: Sequence[Ending], *, actor: str, worker: str = "") -> list[Claimed | Job]:
    """Record how attempts ended. Returns the jobs that moved; a stale attempt moves nothing."""
    current, _ = moves.cycle(endings, [], actor=actor, worker=worker, now=timezone.now())
    return [ending.job for ending in current]


def run_handler(jobs: Sequence[Claimed], *, deadline: float | None = None) -> list[Ending]:
    """Run the handler for claimed jobs of one type; more than one only if the type takes batches.

    `deadline`, by time.monotonic, is when their time limit ends; by default, the whole limit is left.
    Never raises: every error becomes an ending. Returns one ending per job, in order.
    """
    began = time.perf_counter()
    first = jobs[0]
    if deadline is None:
        deadline = time.monotonic() + time_limit_of(first.type).total_seconds()
    for job in jobs:
        watch_sending(job)
    with (
        Calls(campaign_id=first.campaign_id, job_id=first.id, deadline=deadline) as calls,
        structlog.contextvars.bound_contextvars(
            job_id=first.id,
            job_type=first.type,
            campaign_id=first.campaign_id,
            attempt=first.attempt,
            request_id=first.request_id or first.id,
        ),
    ):
        answers = _ask_handler(jobs)
    duration_ms = (time.perf_counter() - began) * 1000
    calls_json = None
    try:  # a failure here must not change the result: the handlers' work is done
        if connection.vendor != "sqlite":
            connection.close()  # back into the pool
        calls_json = _as_json(calls, began) if calls.count else None
    except Exception:
        log.exception("job.calls_not_recorded", job_id=first.id)
    now = timezone.now()
    return [
        ending_of(job, judge(job, answer), duration_ms, now=now, calls=calls_json)
        for job, answer in zip(jobs, answers, strict=True)
    ]


def _ask_handler(jobs: Sequence[Claimed]) -> Sequence[Answer]:
    """The handler's answer for each job; an error that it raises is the answer for all."""
    try:
        return _call_handler(type_named(jobs[0].type), jobs)
    except JobError as known:
        return [known] * len(jobs)
    except Exception as error:
        if is_outage(error):
            log.warning("job.outage_met", jobs=len(jobs), error=text.of_error(error), next="retried, not counted")
        else:
            log.exception("job.handler_failed", jobs=len(jobs))
        return [error] * len(jobs)


def watch_sending(job: Claimed) -> None:
    """Track sending for jobs whose request must not be sent twice."""
    if job.sending is None and must_not_be_sent_twice(job.type):
        resend = policy_of(job.type).may_resend
        job.sending = Sending(partial(moves.begin_sending, job.id, job.attempt, may_resend=resend))


def must_not_be_sent_twice(type_name: str) -> bool:
    """True for non-idempotent types, and for types unknown to this release, which may be."""
    return not policy_of(type_name).idempotent


def judge(job: Claimed, answer: Answer) -> Answer:
    """Correct the handler's answer by what we know about sending, which takes precedence, and about our own outages."""
    phase = job.sending.phase if job.sending else Phase.UNSENT
    if not isinstance(answer, BaseException):
        return answer
    if phase is Phase.DONE:
        log.error("job.error_after_success", job_id=job.id, error=repr(answer))
        return {"note": f"The work was done; what followed failed: {mask(repr(answer))}"}
    if phase is Phase.BEGUN and not isinstance(answer, OutcomeUnknown | Stopped):
        unknown = OutcomeUnknown(f"failed after sending began: {answer!r}", may_resend=False)
        unknown.__cause__ = answer
        return unknown
    if is_outage(answer):
        outage = Outage(f"our own database or Redis failed: {text.of_error(answer)}")
        outage.__cause__ = answer
        return outage
    return answer


def _as_json(calls: Calls, began: float) -> msgspec.Raw:
    """Encode the calls for ops/reads/attempts.py: the request ID; of each, operation, offset and time in ms, result."""
    rows = [
        (c.operation, round((c.began - began) * 1000, 1), round(c.seconds * 1000, 1), c.result) for c in calls.noted
    ]
    made = {"request": calls.noted[0].request_id, "made": rows, "count": calls.count}
    return msgspec.Raw(text.as_json(made).encode())


def _call_handler(job_type: JobType, jobs: Sequence[Claimed]) -> Sequence[Answer]:
    items, answers = [], dict[int, Answer]()
    for position, job in enumerate(jobs):
        try:
            items.append((position, Item(job_type.parse(job.payload, job.payload_version), _run_of(job))))
        except Refused as refused:  # must not fail the rest of the batch
            answers[position] = refused
    if items:
        given = job_type.handle([item for _, item in items])
        answers |= {position: answer for (position, _), answer in zip(items, given, strict=True)}
    return [answers[position] for position in range(len(jobs))]


def _result(answer: dict[str, Any]) -> str:
    """Encode a handler's result as JSON that can be stored. Never raises: the work is already done.

    A result that cannot be stored is replaced by a note; one that is too long keeps its short fields.
    """
    try:
        result = text.as_json(answer)
        if len(result) <= text.LONGEST_RESULT:
            return result
        short = {name: value for name, value in answer.items() if len(text.as_json(value)) <= _LONGEST_FIELD}
        note = f"the result has {len(result):,} characters, too many to be stored: its longest fields are left out"
        kept = text.as_json({"note": note, **short})
        result = kept if len(kept) <= text.LONGEST_RESULT else text.as_json({"note": note})
        log.warning("job.result_truncated", note=note)
    except Exception as error:  # the handler can return anything
        log.exception("job.result_discarded", next="the job still succeeds")
        result = text.as_json(
            {"note": text.line(f"the result cannot be stored: {text.of_error(error, clean=mask)}", 500)}
        )
    return result


def ending_of(
    job: Claimed | Job, answer: Answer, duration_ms: float, *, now: datetime, calls: msgspec.Raw | None = None
) -> Ending:
    """Decide what becomes of a job from its handler's answer, and collect what the ledger records, without secrets.

    `calls` are its requests to the main API, as JSON; a batch shares them.
    """
    raised = text.readable(answer) if isinstance(answer, BaseException) else None
    outcome = outcome_of(raised, failures=job.failures, policy=policy_of(job.type), now=now, random=_random)
    if raised:  # otherwise the reason is ours
        outcome = msgspec.structs.replace(outcome, reason=text.shorten(mask(outcome.reason), text.LONGEST_REASON))
    failed = None if outcome.to is State.SKIPPED or isinstance(raised, NotBegun) else raised
    error = text.of_error(failed, clean=mask) if failed else ""
    trace = _traceback(failed) if failed and not isinstance(failed, MustWait) else ""
    return Ending(
        job,
        outcome,
        result=None if answer is None or isinstance(answer, BaseException) else _result(answer),
        error=error,
        traceback=trace,
        duration_ms=duration_ms,
        details=_details(calls, trace) if calls or trace else None,
        failure=fingerprint_of(error, trace) if outcome.to is State.DEAD else None,
        bounced=outcome.wait is not None and not calls,
    )


def _details(calls: msgspec.Raw | None, trace: str) -> str:
    kept = {name: value for name, value in (("calls", calls), ("traceback", trace)) if value}
    return msgspec.json.encode(kept).decode()  # both are cleaned already


def _traceback(error: BaseException) -> str:
    """Format the traceback; each message is truncated like the error, so that none crowds out the frames."""
    parts = [text.shorten(mask(part), text.LONGEST_ERROR) for part in traceback.format_exception(error)]
    return text.shorten("".join(parts), text.LONGEST_TRACEBACK)


def _run_of(job: Claimed) -> Run:
    def submit(followups: Sequence[Followup]) -> int:
        return service.submit_followups(
            followups, actor=actors.job(job.id), reason=f"due; found by {job.type}", request_id=job.request_id
        )

    return Run(
        job_id=job.id,
        campaign_id=job.campaign_id,
        attempt=job.attempt,
        waits=job.waits,
        due_at=job.due_at,
        api=main_api(),
        schedules=_schedules,
        advances=_advances,
        triggers=_triggers,
        submit=submit,
        clock_due=parse_moment(job.clock, job.clock_due) if job.clock else None,
        occurrences=job.occurrences,
        interval=job.interval,
        paused_campaigns=pauses.campaigns,
        **({"sending": job.sending} if job.sending else {}),
    )


_schedules = DatabaseSchedules()
_advances = DatabaseAdvances()
_triggers = DatabaseTriggers()
