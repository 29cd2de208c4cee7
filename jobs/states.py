"""The states of a job and the moves between them. All other sets of states are derived from MOVES."""

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
    """The states from which a job can go to `state`, in the order of State."""
    return tuple(was for was, then in MOVES.items() if state in then)


# Tuples, not sets: their order appears in migrations and queries, and a set's order varies between processes.
DISCARDABLE: Final = sources_of(State.CANCELLED)  # except for DEAD, only if the work may have been done already
CANCELLABLE: Final = tuple(s for s in DISCARDABLE if s is not State.DEAD)  # dead letters are discarded instead
RESCHEDULABLE: Final = sources_of(State.SCHEDULED)
RETRYABLE: Final = (State.DEAD, State.CANCELLED)  # ended, but an operator can retry them
WAITING: Final = (State.SCHEDULED, State.RETRYING)  # for a due time
ENDED: Final = tuple(s for s in State if not (MOVES[s] & {State.RUNNING, State.SUCCEEDED}) and s not in WAITING)

FINAL: Final = tuple(s for s in State if not MOVES[s])  # ended for good


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
