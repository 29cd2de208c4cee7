"""The door to the processes and the circuit breaker: who asked what of which, and why, is kept."""

from typing import Final

from django.db import transaction
from django.db.models import Count, Q
from pybreaker import STATE_CLOSED, STATE_OPEN

from jobs import audit
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
MOST_HELD: Final = 10_000  #: waiting jobs that are looked at for those the breaker holds back


def processes() -> list[ProcessStatus]:
    """What each worker, scheduler and listener said of itself last. Raises redis.RedisError."""
    return heartbeat.statuses(keys.redis())


def ask_to_stop(key: str, *, actor: str, reason: str = "") -> ProcessStatus:
    """Ask a process ("worker:name") to stop after its current jobs; the process.

    Raises StateConflict when there is none, and redis.RedisError.
    """
    found = {word.key: word for word in processes()}.get(key)
    if found is None or found.lost:
        raise StateConflict(f"{key}: no such process is running")
    with transaction.atomic():
        target = f"{found.role} {found.pid} on {found.host}"
        audit.record(actor=actor, verb="asked to stop", target=target, reason=reason)
        heartbeat.ask_to_stop(found, keys.redis())
    if found.role == "worker":  # it hears RQ's command at once, the other with its next word
        commands.shut_down(found.name, keys.redis())
    return found


def stop_job(job: Job, *, actor: str, reason: str = "") -> None:
    """Have the worker give up a job that it runs: its slot is free, its outcome unknown, and the job a dead letter.

    Raises StateConflict when it does not run, and redis.RedisError.
    """
    if job.state != State.RUNNING or not job.worker:
        raise StateConflict(f"{job}: only a running job can be stopped, and it is {job.state}")
    commands.stop_job(str(job.pk), job.worker, by=actor, reason=line(reason, LONGEST_REASON), connection=keys.redis())


def set_breaker(state: str, *, actor: str, reason: str = "") -> None:
    """Force the circuit breaker open or closed for all processes, or let it be automatic again.

    Raises ValueError for another state, and redis.RedisError.
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
        audit.record(actor=actor, verb=verb, target="circuit breaker", reason=reason, changes=changes)


def count_held_by_breaker() -> int:
    """How many jobs wait because the breaker was open, among the MOST_HELD that are to be tried next."""
    waiting = Job.objects.in_state(State.RETRYING).order_by("due_at")[:MOST_HELD]
    counted = waiting.aggregate(n=Count("pk", filter=Q(error__startswith="CircuitOpen")))
    return int(counted["n"])


def breaker() -> Breaker:
    """The breaker towards the main API, to look at."""
    return main_api().breaker
