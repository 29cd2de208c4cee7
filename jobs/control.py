"""The public interface for processes, running jobs and the circuit breaker; every action is audited."""

from typing import Final

from django.db import transaction
from django.utils.translation import gettext
from pybreaker import STATE_CLOSED, STATE_OPEN
from redis import RedisError

from jobs import audit, taking_back
from jobs.broker import commands, keys
from jobs.errors import StateConflict
from jobs.main_api.breaker import Breaker
from jobs.main_api.client import main_api
from jobs.models import Job
from jobs.processes import heartbeat
from jobs.processes.heartbeat import ProcessStatus
from jobs.states import State
from scheduler_project.text import LONGEST_REASON, line

FORCIBLE: Final = (STATE_OPEN, STATE_CLOSED)
AUTOMATIC: Final = "automatic"
UNDO_BREAKER: Final = "breaker/all"


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
    with transaction.atomic():
        target = f"{found.role} {found.pid} on {found.host}"
        audit.record(actor=actor, verb="asked to stop", target=target, reason=reason)
        heartbeat.ask_to_stop(found, keys.redis())
    if found.role == "worker":  # it gets RQ's command at once, the stop request only with its next heartbeat
        commands.shut_down(found.name, keys.redis())
    return found


def stop_job(job: Job, *, actor: str, reason: str = "") -> None:
    """Stop a running job: its slot is freed and it becomes a dead letter, of unknown outcome if it had sent anything.

    Raises StateConflict if it does not run, and redis.RedisError.
    """
    if job.state != State.RUNNING or not job.worker:
        raise StateConflict(
            gettext("%(job)s: only a running job can be stopped, and it is %(state)s")
            % {"job": job, "state": job.state}
        )
    commands.stop_job(str(job.pk), job.worker, by=actor, reason=line(reason, LONGEST_REASON), connection=keys.redis())


def set_breaker(state: str, *, actor: str, reason: str = "") -> None:
    """Force the circuit breaker open or closed for all processes, or set it back to automatic.

    Raises ValueError for any other state, and redis.RedisError.
    """
    breaker = main_api().breaker
    was = breaker.snapshot()
    before = f"forced {was.forced.state}" if was.forced else f"automatic, {was.state}"
    with transaction.atomic():
        if state == AUTOMATIC:
            verb = "made automatic"
            breaker.release()
        else:
            verb = f"forced {state}"
            breaker.force(state, by=actor, reason=reason)
        changes = {"breaker": (before, state if state == AUTOMATIC else f"forced {state}")}
        audit.record(
            actor=actor, verb=verb, target="circuit breaker", reason=reason, changes=changes, undo=UNDO_BREAKER
        )


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
