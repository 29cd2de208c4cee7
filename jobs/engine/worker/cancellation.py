"""Jobs that end before their handlers do: somebody wants them stopped, or their time is over."""

import time
from collections.abc import Callable
from queue import SimpleQueue

import structlog

from jobs.broker.commands import Command
from jobs.engine.worker.attempt import Finished
from jobs.engine.worker.in_flight import InFlight
from jobs.errors import OutcomeUnknown, Stopped, TransientError
from jobs.ledger import Claimed

log = structlog.get_logger(__name__)
Finish = Callable[[Finished], None]  #: what an ended attempt is given to; it takes it out of the flight
GiveUp = Callable[[list[Claimed]], None]  #: frees the slot of the thread that was given these


class Cancellations:
    """What was asked for, heard in RQ's pub/sub thread, and is not yet done.

    A thread cannot be killed: it loses its slot, its answer is not heard.
    """

    def __init__(self) -> None:
        self._asked: SimpleQueue[Command] = SimpleQueue()

    def ask(self, command: Command) -> None:
        """Somebody wants a job stopped; from any thread."""
        self._asked.put(command)

    def carry_out(self, flight: InFlight, finish: Finish, give_up: GiveUp) -> None:
        """Land what was asked for and runs here."""
        while not self._asked.empty():
            command = self._asked.get()
            group = flight.group_of(command.job_id)
            if group is None:
                log.warning("worker.stop_rejected", job_id=command.job_id, by=command.who, cause="it does not run here")
                continue
            job = group.jobs[command.job_id]
            sent = not (job.sending and job.sending.forbid())
            done = "what it had done by then is unknown" if sent else "it had sent nothing"
            error = Stopped(f"stopped by {command.who}; {done}", sent=sent)
            finish(Finished(job, error, None, (time.monotonic() - group.began) * 1000))
            if not group.jobs:
                give_up(group.task)


def time_out(flight: InFlight, finish: Finish, give_up: GiveUp) -> None:
    """Land jobs whose time is over: what they did is unknown, but where nothing was sent. Their threads lose their
    slots.
    """
    now = time.monotonic()
    for group in flight:
        if group.deadline <= now:
            give_up(group.task)
            limit = group.deadline - group.began
            text = f"ran longer than its limit of {limit:g} s (JOB_TIMEOUT_SECONDS)"
            for job in list(group.jobs.values()):
                unsent = job.sending and job.sending.forbid()
                error = TransientError(f"{text}; nothing was sent") if unsent else OutcomeUnknown(text)
                finish(Finished(job, error, None, (now - group.began) * 1000))
