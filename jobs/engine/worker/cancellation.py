"""Jobs that end before their handlers do: stopped by an operator, timed out, or handed back before they began."""

import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

import structlog
from django.utils import timezone

from jobs.broker.commands import Command
from jobs.engine.worker.attempt import ending_of, judge
from jobs.engine.worker.in_flight import Group, InFlight
from jobs.errors import NotBegun, OutcomeUnknown, Stopped, TransientError
from jobs.ledger import Ending

log = structlog.get_logger(__name__)
PATIENCE_S: Final = 1.0  #: of a group that waits for a thread
Finish = Callable[[Ending], None]  #: removes the attempt from those in flight and has it recorded
GiveUp = Callable[[Group], None]  #: frees the slot of the thread that runs the group


class Cancellations:
    """Stop requests that RQ's pub/sub thread received and the next cycle carries out.

    A thread cannot be killed: its slot is freed and its late result ignored.
    """

    def __init__(self) -> None:
        self._requests: SimpleQueue[Command] = SimpleQueue()

    def request(self, command: Command) -> None:
        """Request that a job be stopped. Thread-safe."""
        self._requests.put(command)

    def carry_out(self, flight: InFlight, finish: Finish, give_up: GiveUp) -> None:
        """End the requested jobs that run in this worker."""
        while not self._requests.empty():
            command = self._requests.get()
            group = flight.group_of(command.job_id)
            if group is None:
                log.warning(
                    "worker.stop_rejected", job_id=command.job_id, by=command.who, cause="the job does not run here"
                )
                continue
            job = group.jobs[command.job_id]
            has_begun = len(group.members) > 1 or not group.withdraw()
            sent = has_begun and not (job.sending and job.sending.forbid())
            done = "what it had done by then is unknown" if sent else "nothing it sent is unanswered"
            error = Stopped(f"stopped by {command.who}; {done}", sent=sent)
            finish(ending_of(job, judge(job, error), (time.monotonic() - group.began) * 1000, now=timezone.now()))
            if not group.jobs:
                give_up(group)


def time_out(flight: InFlight, finish: Finish, give_up: GiveUp) -> None:
    """End jobs that exceeded their time limit and free their threads' slots.

    Their outcome is unknown unless nothing that they sent is unanswered.
    """
    now = time.monotonic()
    for group in flight:
        if group.deadline <= now:
            give_up(group)
            text = f"ran longer than its limit of {group.limit_s:g} s (JOB_TIMEOUT_SECONDS)"
            for job in list(group.jobs.values()):
                unsent = job.sending and job.sending.forbid()
                error = TransientError(f"{text}; nothing it sent is unanswered") if unsent else OutcomeUnknown(text)
                finish(ending_of(job, judge(job, error), (now - group.began) * 1000, now=timezone.now()))


def hand_back(flight: InFlight, finish: Finish) -> None:
    """Queue again what was claimed ahead and has found no thread within PATIENCE_S: another worker may be free."""
    now = time.monotonic()
    for group in flight:
        if now - group.began >= PATIENCE_S and group.withdraw():
            error = NotBegun(f"handed back: its worker had no thread for it within {PATIENCE_S:g} s")
            for job in list(group.jobs.values()):
                finish(ending_of(job, error, 0.0, now=timezone.now()))
