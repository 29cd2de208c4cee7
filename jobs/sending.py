"""What is known of the request of an attempt that must not be sent twice.

UNSENT -> BEGUN -> DONE or REFUSED, once the main API has said so clearly; UNSENT -> FORBIDDEN when the attempt is given
up before. What is known here outranks how the handler ends: a fault of our own after DONE does not undo the work.
"""

import threading
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

#: Job.sending_attempt of an attempt that has not begun to send. NULL says nothing: the worker of an older release
#: records none, and may have sent.
NOT_SENT: Final = 0


class Phase(Enum):
    """How far the sending has come."""

    UNSENT = auto()
    FORBIDDEN = auto()  #: and nothing will be sent any more
    BEGUN = auto()  #: from here on the work may have been done
    DONE = auto()
    REFUSED = auto()  #: not done, the main API says


class GivenUp(Exception):
    """The attempt was given up, or its job given to another attempt: nothing may be sent any more."""


class Sending:
    """One attempt's; thread-safe."""

    __slots__ = ("_lock", "_record", "phase")

    def __init__(self, record: Callable[[], bool]) -> None:
        self.phase = Phase.UNSENT
        self._record = record
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Record durably that sending begins; call it right before.

        Raises GivenUp when the job is no longer this attempt's, and what the recording raises; then send nothing.
        """
        with self._lock:
            if self.phase is Phase.FORBIDDEN:
                raise GivenUp("the attempt was given up before anything was sent")
            self.phase = Phase.BEGUN
        recorded = False
        try:
            recorded = self._record()
        finally:
            if not recorded:
                self.phase = Phase.UNSENT
        if not recorded:
            raise GivenUp("the job belongs to another attempt by now; nothing was sent")

    def mark_done(self) -> None:
        """The main API says that the work is done."""
        self.phase = Phase.DONE

    def mark_refused(self) -> None:
        """The main API says clearly that nothing was done, or nothing was sent after all."""
        self.phase = Phase.REFUSED

    def forbid(self) -> bool:
        """Allow no sending from now on; whether nothing has been done so far, and so never will be."""
        with self._lock:
            if self.phase is Phase.UNSENT:
                self.phase = Phase.FORBIDDEN
            return self.phase in (Phase.FORBIDDEN, Phase.REFUSED)
