"""Jobs that end before their handlers do: somebody wants them stopped, or their time is over."""

import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue

import structlog

from jobs.engine.attempt import Ended
from jobs.engine.commands import Command
from jobs.engine.flight import Flight
from jobs.errors import OutcomeUnknown, Stopped
from jobs.statements import Claimed

log = structlog.get_logger(__name__)


class Stops:
    """What was asked for, heard in RQ's pub/sub thread, and is not yet done.

    A thread cannot be killed: it loses its slot, its answer is not heard.
    """

    def __init__(self) -> None:
        self._asked: SimpleQueue[Command] = SimpleQueue()

    def ask(self, command: Command) -> None:
        """Somebody wants a job stopped; from any thread."""
        self._asked.put(command)

    def endings(self, flight: Flight, ended: Sequence[Ended], give_up: Callable[[list[Claimed]], None]) -> list[Ended]:
        """The ends of what was asked for and runs here; `ended` has ended already, `give_up` frees a task's slot."""
        stopped: list[Ended] = []
        while not self._asked.empty():
            command = self._asked.get()
            group = flight.group_of(command.job_id)
            over = {id(e.job) for e in (*ended, *stopped)}  # not by job: of one job two attempts may be in flight
            job = group.jobs[command.job_id] if group else None
            if group is None or job is None or id(job) in over:
                log.warning("stop.refused", job_id=command.job_id, by=command.who, cause="it does not run here")
                continue
            error = Stopped(f"stopped by {command.who}; what it had done by then is unknown")
            stopped.append(Ended(job, error, None, (time.monotonic() - group.began) * 1000))
            if {id(other) for other in group.jobs.values()} <= over | {id(job)}:
                give_up(group.task)
        return stopped


def overran(flight: Flight, ended: Sequence[Ended], give_up: Callable[[list[Claimed]], None]) -> list[Ended]:
    """The ends of jobs whose time is over and that have not `ended`: nobody knows what they did.

    Their threads lose their slots.
    """
    now, over = time.monotonic(), {id(e.job) for e in ended}
    late: list[Ended] = []
    for group in flight:
        if group.deadline <= now:
            give_up(group.task)
            limit = group.deadline - group.began
            error = OutcomeUnknown(f"ran longer than its limit of {limit:g} s (JOB_TIMEOUT_SECONDS)")
            late += [
                Ended(job, error, None, (now - group.began) * 1000)
                for job in group.jobs.values()
                if id(job) not in over
            ]
            group.deadline = float("inf")
    return late
