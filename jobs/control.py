"""The public interface for processes, running jobs and the circuit breaker; every action is audited."""

from typing import Final

from django.db import transaction
from django.utils.translation import gettext
from pybreaker import STATE_CLOSED, STATE_OPEN
from redis import RedisError

from jobs import audit, taking_back
from jobs.broker import commands, keys
from jobs.compensation import transaction_with_redis
from jobs.errors import StateConflict
from jobs.main_api.breaker import Breaker
from jobs.main_api.client import main_api
from jobs.models import Job
from jobs.processes import heartbeat
from jobs.processes.heartbeat import ProcessStatus
from jobs.states import State
from scheduler_project.links import page
from scheduler_project.text import LONGEST_REASON, line

FORCIBLE: Final = (STATE_OPEN, STATE_CLOSED)
AUTOMATIC: Final = "automatic"
UNDO_BREAKER: Final = "breaker/all"


class NotHeard(StateConflict):
    """Nobody received the command."""


def processes() -> list[ProcessStatus]:
    """Return the last heartbeat of each worker, scheduler, listener and monitor. Raises redis.RedisError."""
    return heartbeat.statuses(keys.redis())


def ask_to_stop(key: str, *, actor: str, reason: str = "") -> ProcessStatus:
    """Request that a process ("worker:name") stop after its current jobs, and return it.

    Raises StateConflict if it does not run, and redis.RedisError.
    """
    found = {status.key: status for status in processes()}.get(key)
    if found is None or found.lost:
        raise StateConflict(gettext("%(process)s: no such process is running") % {"process": key})
    with transaction_with_redis() as unless_committed:
        target = f"{found.role} {found.pid} on {found.host}"
        audit.record(actor=actor, verb="asked to stop", target=target, reason=reason)
        if heartbeat.ask_to_stop(found, keys.redis()):
            unless_committed(lambda: heartbeat.forget_stop(found, keys.redis()))
    if found.role == "worker":  # it gets RQ's command at once, the stop request only with its next heartbeat
        commands.shut_down(found.name, keys.redis())
    return found


def stop_job(job: Job, *, actor: str, reason: str = "") -> None:
    """Stop a running job: its slot is freed and it becomes a dead letter, of unknown outcome if it had sent anything.

    Raises StateConflict if it does not run, NotHeard, and redis.RedisError.
    """
    if job.state != State.RUNNING or not job.worker:
        raise StateConflict(
            gettext("%(job)s: only a running job can be stopped, and it is %(state)s")
            % {"job": job, "state": job.state}
        )
    reason = line(reason, LONGEST_REASON)
    with transaction.atomic():
        link = page("jobs_job_change", job.pk)
        audit.record(actor=actor, verb="asked to stop", target=f"job {job}", reason=reason, link=link)
        # Told and not recorded, if the commit fails: the job's own trail has who and why, from the command.
        if not commands.stop_job(str(job.pk), job.worker, by=actor, reason=reason, connection=keys.redis()):
            text = gettext(
                "%(job)s was not stopped: its worker does not listen. If the worker is lost, the job is freed when its "
                "lease expires."
            )
            raise NotHeard(text % {"job": job})


def set_breaker(state: str, *, actor: str, reason: str = "") -> bool:
    """Force the circuit breaker open or closed for all processes, or set it back to automatic.

    Returns whether that changed anything. Raises ValueError for any other state, and redis.RedisError.
    """
    breaker = main_api().breaker
    with transaction_with_redis() as unless_committed:
        was = breaker.snapshot()
        before = f"forced {was.forced.state}" if was.forced else f"automatic, {was.state}"
        after = AUTOMATIC if state == AUTOMATIC else f"forced {state}"
        if before == after or (state == AUTOMATIC and before == f"automatic, {STATE_CLOSED}"):
            keys.redis().ping()  # without Redis the snapshot is an old one
            return False
        verb = "made automatic" if state == AUTOMATIC else after
        undo = UNDO_BREAKER if was.forced or state != AUTOMATIC else ""  # it does not open by itself on demand
        changes = {"breaker": (before, after)}
        audit.record(actor=actor, verb=verb, target="circuit breaker", reason=reason, changes=changes, undo=undo)
        unless_committed(breaker.keep())
        if state == AUTOMATIC:
            breaker.release()
        else:
            breaker.force(state, by=actor, reason=reason)
    return True


def _is_breaker_as_left(_key: str, changes: taking_back.Changes) -> bool:
    """Forced as the action did, or automatic; the state that it then has by itself may be another one."""
    try:
        forced = main_api().breaker.snapshot().forced
    except RedisError:
        return False
    return bool(changes) and changes["breaker"][1] == (f"forced {forced.state}" if forced else AUTOMATIC)


def _take_breaker_back(_key: str, changes: taking_back.Changes, actor: str) -> None:
    was = str(changes["breaker"][0])
    set_breaker(was.removeprefix("forced ") if was.startswith("forced ") else AUTOMATIC, actor=actor)


taking_back.add("breaker", taking_back.Way("jobs.control_breaker", _is_breaker_as_left, _take_breaker_back))


def breaker() -> Breaker:
    """Return the main API's breaker, for reading."""
    return main_api().breaker
