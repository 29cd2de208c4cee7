"""What the buttons of RQ's dashboard do.

For scheduler jobs, requeue is a retry, enqueue is run now, delete is a cancel or discard, and stop abandons the
attempt, each with its audit entry. For plain RQ jobs they do what RQ does, recorded as operator actions.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext, ngettext_lazy
from rq import requeue_job
from rq.command import send_stop_job_command
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job as RQJob
from rq.queue import Queue

from jobs import actions, audit, control, service
from jobs.broker import keys
from jobs.errors import StateConflict
from jobs.models import Job, JobAction
from jobs.service import CommandReport
from jobs.states import Priority, State
from ops.bulk import explain_rest
from ops.verbs import VERBS, fill
from scheduler_project.text import StrOrPromise

log = structlog.get_logger(__name__)
STEP: Final = 500
MOST_AT_ONCE: Final = 10_000  #: jobs that one click removes from a queue: some seconds


#: What was done to plain RQ jobs, by the verb of the audit trail.
_FOREIGN: Final[Mapping[str, StrOrPromise]] = {
    "requeued": ngettext_lazy("%(count)s plain RQ job requeued.", "%(count)s plain RQ jobs requeued.", "n"),
    "enqueued": ngettext_lazy("%(count)s plain RQ job enqueued.", "%(count)s plain RQ jobs enqueued.", "n"),
    "deleted": ngettext_lazy("%(count)s plain RQ job deleted.", "%(count)s plain RQ jobs deleted.", "n"),
    "asked to stop": ngettext_lazy(
        "%(count)s plain RQ job asked to stop.", "%(count)s plain RQ jobs asked to stop.", "n"
    ),
}
_STOPPED: Final = ngettext_lazy("%(count)s job asked to stop.", "%(count)s jobs asked to stop.", "n")


class Pressed(NamedTuple):
    """What a button did."""

    text: str
    actions: Sequence[JobAction] = ()  #: on scheduler jobs


def requeue(queue: Queue, ids: Iterable[str], *, actor: str) -> Pressed:
    """Retry dead letters; RQ's list may still have what was discarded. Raises redis.RedisError."""
    ours, foreign = _split(ids)
    action = _begin("retry", queue, actor)
    report = _command(_of_dead(service.retry), ours, action)
    return Pressed(_join("retry", report, _run_each(queue, foreign, "requeued", _requeue, actor), "requeued"), [action])


def enqueue(queue: Queue, ids: Iterable[str], *, actor: str) -> Pressed:
    """Run waiting jobs now. Raises redis.RedisError."""
    ours, foreign = _split(ids)
    action = _begin("run_now", queue, actor)
    report = _command(service.run_now, ours, action)
    return Pressed(
        _join("run_now", report, _run_each(queue, foreign, "enqueued", _enqueue, actor), "enqueued"), [action]
    )


def delete_failed(queue: Queue, ids: Iterable[str], *, actor: str) -> Pressed:
    """Discard dead letters; RQ's list may still have what was retried. Raises redis.RedisError."""
    ours, foreign = _split(ids)
    action = _begin("discard", queue, actor)
    report = _command(_of_dead(service.discard), ours, action)
    return Pressed(_join("discard", report, _run_each(queue, foreign, "deleted", _delete, actor), "deleted"), [action])


def delete(queue: Queue, ids: Iterable[str], *, actor: str) -> Pressed:
    """Cancel waiting jobs and discard dead letters. Raises redis.RedisError."""
    ours, foreign = _split(ids)
    given_up = [job for job in ours if service.may_discard(job)]
    discards, cancels = _begin("discard", queue, actor), _begin("cancel", queue, actor)
    discarded = _command(service.discard, given_up, discards)
    report = _command(service.cancel, [job for job in ours if job not in given_up], cancels)
    text = _join("cancel", report, _run_each(queue, foreign, "deleted", _delete, actor), "deleted")
    if discarded.done:
        gone = _explain("discard", discarded)
        text = f"{gone} {text}" if report.done or report.skipped or foreign else gone
    return Pressed(text, [discards, cancels])


def stop(queue: Queue, ids: Iterable[str], *, actor: str) -> Pressed:
    """Ask workers to abandon running jobs. Raises redis.RedisError."""
    ours, foreign = _split(ids)
    report, unheard = CommandReport("asked to stop"), ""
    for job in ours:
        try:
            control.stop_job(job, actor=actor, reason="")
            report.done.append(job)
        except StateConflict as conflict:
            report.skipped[job.state] += 1
            if isinstance(conflict, control.NotHeard):
                unheard = str(conflict)
    text = _join("stop", report, _run_each(queue, foreign, "asked to stop", _stop, actor), "asked to stop")
    return Pressed(f"{text} {unheard}".strip())


def empty(queue: Queue, *, actor: str) -> Pressed:
    """Cancel up to MOST_AT_ONCE scheduler jobs of a queue and delete its plain RQ jobs. Raises redis.RedisError."""
    waiting, report = find_queued(queue.name), CommandReport("Cancelled")
    action = _begin("cancel", queue, actor)
    for _ in range(MOST_AT_ONCE // STEP):
        some = list(waiting[:STEP])
        step = _command(service.cancel, some, action)
        report.done += step.done
        report.skipped += step.skipped
        if len(some) < STEP:
            break
        waiting = waiting.filter(pk__gt=some[-1].pk)
    foreign = _split(queue.get_job_ids(0, MOST_AT_ONCE))[1]
    text = _join("cancel", report, _run_each(queue, foreign, "deleted", _delete, actor), "deleted")
    left = gettext("More are left: press again, or cancel them on the page of jobs.")
    return Pressed(f"{text} {left}" if len(some) == STEP and waiting.exists() else text, [action])


def _begin(verb: str, queue: Queue, actor: str) -> JobAction:
    return actions.begin(verb, actor=actor, selection=f"queue {queue.name}, in the queue dashboard")


def _command(command: Callable[..., CommandReport], jobs: Sequence[Job], action: JobAction) -> CommandReport:
    with transaction.atomic():
        report = command(jobs, actor=action.actor, reason=action.reason, action=action)
        actions.count(action, moved=len(report.done), skipped=report.skipped.total())
    return report


def _of_dead(command: Callable[..., CommandReport]) -> Callable[..., CommandReport]:
    """The command for dead letters only; the report has the other jobs as skipped."""

    def run(jobs: Sequence[Job], **by: Any) -> CommandReport:
        others = [str(job.state) for job in jobs if job.state != State.DEAD]
        report = command([job for job in jobs if job.state == State.DEAD], **by)
        report.skipped.update(others)
        return report

    return run


def find_queued(queue_name: str) -> QuerySet[Job]:
    """The scheduler jobs in a queue, by id; none if the queue is not the scheduler's."""
    priorities = [priority.value for priority in Priority if priority.queue == queue_name]
    return Job.objects.in_state(State.QUEUED).filter(priority__in=priorities).order_by("pk")


def find_job(rq_id: str) -> Job | None:
    """The scheduler job behind an RQ job; None for a plain RQ job."""
    key = keys.uuid_of(rq_id)
    return Job.objects.filter(pk=key).first() if key else None


def find_running_on(worker: str) -> list[Job]:
    """The scheduler jobs that run on a worker, the longest running first."""
    return list(Job.objects.in_state(State.RUNNING).filter(worker=worker).order_by("started_at"))


def _split(ids: Iterable[str]) -> tuple[list[Job], list[str]]:
    """The scheduler jobs among them, and the ids of plain RQ jobs."""
    wanted = list(dict.fromkeys(ids))
    pks = {i: key for i in wanted if (key := keys.uuid_of(i))}
    ours: dict[UUID, Job] = {}
    for start in range(0, len(pks), STEP):
        ours |= Job.objects.in_bulk(list(pks.values())[start : start + STEP])
    return list(ours.values()), [i for i in wanted if pks.get(i) not in ours]


def _run_each(
    queue: Queue, ids: Sequence[str], verb: str, press: Callable[[Queue, str], None], actor: str
) -> tuple[int, int]:
    """Act on plain RQ jobs as RQ does; returns how many succeeded and how many were refused."""
    done = 0
    for rq_id in ids:
        try:
            with transaction.atomic():  # recorded first: what is done in Redis cannot be taken back
                audit.record(actor=actor, verb=verb, target=f"RQ's job {rq_id} of queue {queue.name}")
                press(queue, rq_id)
        except (NoSuchJobError, InvalidJobOperation) as refused:
            log.info("rq_job.action_refused", rq_job=rq_id, verb=verb, cause=str(refused))
            continue
        done += 1
    return done, len(ids) - done


def _join(verb: str, report: CommandReport, foreign: tuple[int, int], did: str) -> str:
    """What was done to scheduler jobs, by verb, and to plain RQ jobs."""
    done, refused = foreign
    parts = [_explain(verb, report)] if report.done or report.skipped or not (done or refused) else []
    if done:
        parts.append(fill(_FOREIGN[did], done))
    if refused:
        parts.append(
            fill(
                ngettext_lazy(
                    "%(count)s plain RQ job was not changed.", "%(count)s plain RQ jobs were not changed.", "n"
                ),
                refused,
            )
        )
    return " ".join(parts)


def _explain(verb: str, report: CommandReport) -> str:
    done = VERBS[verb].reports if verb in VERBS else _STOPPED
    return " ".join([fill(done, len(report.done)), *explain_rest(report.due, report.skipped, report.unknown)])


def _fetch(queue: Queue, rq_id: str) -> Any:
    return RQJob.fetch(rq_id, connection=queue.connection, serializer=queue.serializer)


def _requeue(queue: Queue, rq_id: str) -> None:
    requeue_job(rq_id, connection=queue.connection, serializer=queue.serializer)


def _enqueue(queue: Queue, rq_id: str) -> None:
    queue.enqueue_job(_fetch(queue, rq_id))


def _delete(queue: Queue, rq_id: str) -> None:
    _fetch(queue, rq_id).delete()


def _stop(queue: Queue, rq_id: str) -> None:
    worker = _fetch(queue, rq_id).worker_name
    if any(process.role == "worker" and process.name == worker for process in control.processes()):
        raise InvalidJobOperation(f"it runs in a thread of our worker {worker}, which cannot be killed")
    send_stop_job_command(queue.connection, rq_id, serializer=queue.serializer)
