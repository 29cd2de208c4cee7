"""Jobs that end before their handlers do: stopped by an operator, timed out, or handed back before they began."""

import time
from collections.abc import Callable
from queue import SimpleQueue

import structlog
from django.utils import timezone

from jobs.broker.commands import Command
from jobs.engine.worker.attempt import ending_of, judge
from jobs.engine.worker.in_flight import Group, InFlight
from jobs.errors import NotBegun, OutcomeUnknown, Stopped, TransientError
from jobs.ledger import Ending

log = structlog.get_logger(__name__)
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

    def carry_out(self, flight: InFlight, finish: Finish, give_up: GiveUp, settle: Callable[[], None]) -> None:
        """End the requested jobs that run in this worker. `settle` puts in flight what was just claimed."""
        while not self._requests.empty():
            command = self._requests.get()
            settle()
            group = flight.group_of(command.job_id)
            if group is None:
                log.warning(
                    "worker.stop_rejected", job_id=command.job_id, by=command.who, cause="the job does not run here"
                )
                continue
            job = group.jobs[command.job_id]
            has_begun = not group.withdraw(job.id)
            sent = has_begun and not (job.sending and job.sending.forbid())
            done = "what it had done by then is unknown" if sent else "nothing it sent is unanswered"
            error = Stopped(f"stopped by {command.who}; {done}", sent=sent)
            ran_ms = (time.monotonic() - group.began) * 1000 if has_begun else 0.0
            finish(ending_of(job, judge(job, error), ran_ms, now=timezone.now()))
            if not group.jobs:
                give_up(group)
            elif has_begun and not group.running:
                give_up(group)
                _hand_back(group, "the job before it was stopped", finish)


def time_out(flight: InFlight, finish: Finish, give_up: GiveUp) -> None:
    """End jobs that exceeded their time limit, free their threads' slots, and hand back what they kept waiting.

    Their outcome is unknown unless nothing that they sent is unanswered.
    """
    now = time.monotonic()
    for group in flight:
        if group.deadline <= now:
            give_up(group)
            _hand_back(group, "the job before it ran longer than its limit", finish)
            text = f"ran longer than its limit of {group.limit_s:g} s (JOB_TIMEOUT_SECONDS)"
            for job in group.running:
                unsent = job.sending and job.sending.forbid()
                error = TransientError(f"{text}; nothing it sent is unanswered") if unsent else OutcomeUnknown(text)
                finish(ending_of(job, judge(job, error), (now - group.began) * 1000, now=timezone.now()))


def hand_back(flight: InFlight, finish: Finish) -> None:
    """Queue again what has waited too long to begin: another worker may be free."""
    now = time.monotonic()
    for group in flight:
        if reason := group.waits_too_long(now):
            _hand_back(group, reason, finish)


def _hand_back(group: Group, reason: str, finish: Finish) -> None:
    for job in group.withdraw_rest():
        finish(ending_of(job, NotBegun(f"handed back: {reason}"), 0.0, now=timezone.now()))
