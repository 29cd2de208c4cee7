"""The states of a job and the moves between them. All other sets of states are derived from MOVES.

Only jobs/ledger/moves.py makes moves.
"""

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import Final


class State(StrEnum):
    """A job's state; MOVES lists where it can go from there."""

    SCHEDULED = "SCHEDULED"  #: due later; the scheduler queues it at its due time
    QUEUED = "QUEUED"  #: due; the next free worker claims it
    RUNNING = "RUNNING"  #: claimed by one worker, until its lease ends
    RETRYING = "RETRYING"  #: an attempt failed, or the breaker is open; due again later
    SUCCEEDED = "SUCCEEDED"  #: done; removed after RETENTION_DAYS
    SKIPPED = "SKIPPED"  #: there was nothing left to do; removed after RETENTION_DAYS
    DEAD = "DEAD"  #: a dead letter: attempts used up or a permanent error; an operator retries or discards it
    CANCELLED = "CANCELLED"  #: cancelled before it ran, or discarded as a dead letter


MOVES: Final[Mapping[State, frozenset[State]]] = {
    State.SCHEDULED: frozenset({State.QUEUED, State.SCHEDULED, State.CANCELLED}),
    State.QUEUED: frozenset({State.RUNNING, State.SCHEDULED, State.CANCELLED}),
    State.RUNNING: frozenset({State.SUCCEEDED, State.SKIPPED, State.RETRYING, State.DEAD, State.QUEUED}),
    State.RETRYING: frozenset({State.QUEUED, State.SCHEDULED, State.CANCELLED}),
    State.DEAD: frozenset({State.QUEUED, State.CANCELLED}),
    State.SUCCEEDED: frozenset(),
    State.SKIPPED: frozenset(),
    State.CANCELLED: frozenset({State.QUEUED}),
}


def sources_of(state: State) -> tuple[State, ...]:
    """The states from which a job can go to `state`."""
    return tuple(was for was, then in MOVES.items() if state in then)


# Tuples, not sets: their order goes into migrations and queries, and a set's changes from process to process.
RESCHEDULABLE: Final = sources_of(State.SCHEDULED)
WAITING: Final = tuple(s for s in RESCHEDULABLE if State.QUEUED in MOVES[s])  # until the due time
NEW: Final = tuple(s for s in RESCHEDULABLE if s is not State.RETRYING)  # how a job begins
ENDED: Final = tuple(s for s in State if not MOVES[s] & {State.RUNNING, State.SUCCEEDED, State.SCHEDULED})
OUTCOMES: Final = tuple(s for s in State if s in MOVES[State.RUNNING])  # what becomes of a job after an attempt
ENDED_BY_ATTEMPT: Final = tuple(s for s in OUTCOMES if s in ENDED)  # the last claim was one
FINAL: Final = tuple(s for s in ENDED if not MOVES[s])  # nobody can undo it
RETRYABLE: Final = tuple(s for s in ENDED if State.QUEUED in MOVES[s])  # an operator can undo it
DISCARDABLE: Final = sources_of(State.CANCELLED)  # before its end only where the work may have been done already
CANCELLABLE: Final = tuple(s for s in DISCARDABLE if s not in ENDED)


class StepState(StrEnum):
    """How far a request has got, of a job that sends several and must not repeat any (jobs/triggers/steps.py)."""

    PLANNED = "planned"  #: not sent, or clearly refused for now
    SENDING = "sending"  #: about to be sent; after a crash, whether it was sent is for the job's own record to say
    DONE = "done"
    FAILED = "failed"  #: the main API has clearly not done it, and will not
    INACTIVE = "inactive"  #: there was nothing to do
    UNKNOWN = "unknown"  #: sent, without a clear answer


class Priority(IntEnum):
    """How urgent a job is. Each priority is a queue; workers empty the higher ones first."""

    LOW = 1
    NORMAL = 5
    HIGH = 8
    CRITICAL = 10

    @property
    def queue(self) -> str:
        """The name of the queue that carries this priority."""
        return self.name.lower()
