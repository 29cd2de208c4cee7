"""Tracks the request of an attempt that must not be sent twice.

UNSENT -> BEGUN -> DONE or REFUSED, on a clear response from the main API; UNSENT -> FORBIDDEN if the attempt is given
up first. This phase outranks the handler's own result: a bug of ours after DONE does not undo the work.

A job of several such requests sends each as a `part`, and records how it ended. Until then the phase is BEGUN; then
(`close`) it is UNSENT again: nothing that the attempt has sent is open.
"""

import threading
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

#: Job.sending_attempt of an attempt that has not begun to send. NULL says nothing: the worker of an older release
#: records none, and may have sent.
NOT_SENT: Final = 0


class Phase(Enum):
    """How far sending has got."""

    UNSENT = auto()
    FORBIDDEN = auto()  #: nothing was or will be sent
    BEGUN = auto()  #: from now on, the work may have been done
    DONE = auto()
    REFUSED = auto()  #: the main API has clearly not done the work


class GivenUp(Exception):
    """The attempt was given up, or another attempt has the job, so nothing may be sent."""


class Sending:
    """The phase of one attempt; thread-safe."""

    __slots__ = ("_lock", "_record", "phase")

    def __init__(self, record: Callable[[], bool]) -> None:
        self.phase = Phase.UNSENT
        self._record = record
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Durably record that sending begins; call it right before sending.

        Raises GivenUp if the job no longer belongs to this attempt, or an error from recording; then send nothing.
        """
        with self._lock:
            self.check()
            self.phase = Phase.BEGUN
        recorded = False
        try:
            recorded = self._record()
        finally:
            if not recorded:
                self.phase = Phase.UNSENT
        if not recorded:
            raise GivenUp("the job belongs to another attempt by now; nothing was sent")

    def check(self) -> None:
        """Raise GivenUp if the attempt was given up: it sends nothing more, not even what could be sent twice."""
        if self.phase is Phase.FORBIDDEN:
            raise GivenUp("the attempt was given up")

    def mark_done(self) -> None:
        """The main API has confirmed that the work is done."""
        self.phase = Phase.DONE

    def mark_refused(self) -> None:
        """The main API has clearly not done the work, or nothing was sent after all."""
        self.phase = Phase.REFUSED

    def part(self) -> "Sending":
        """For one of several requests of the attempt, whatever its answer: call `close` once its end is recorded."""

        def record() -> bool:
            self.begin()
            return True

        return Sending(record)

    def close(self) -> None:
        """What was sent has a clear outcome, which is recorded or makes no difference to a later attempt."""
        with self._lock:
            if self.phase is Phase.BEGUN:
                self.phase = Phase.UNSENT

    def forbid(self) -> bool:
        """Forbid sending from now on. Returns whether it is certain that no work was or will be done."""
        with self._lock:
            if self.phase is Phase.UNSENT:
                self.phase = Phase.FORBIDDEN
            return self.phase in (Phase.FORBIDDEN, Phase.REFUSED)
