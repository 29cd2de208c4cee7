"""A gate that lets in a fixed number of requests, to compare the service's own with."""

import threading
import time
from collections.abc import Hashable
from datetime import timedelta

from jobs.main_api.client import main_api
from jobs.main_api.gate import Admitted, Gate


class FixedGate(Gate):
    """As many requests as it is made for, whatever the main API makes of them: no limit, no window, no turns."""

    def __init__(self, like: Gate, most: int) -> None:
        super().__init__(like.budget, most=most)
        self._open = threading.BoundedSemaphore(most)

    def enter(self, *, timeout_s: float, urgent: bool = False) -> Admitted:
        self._open.acquire()
        return Admitted("", time.monotonic(), 1, has_waited=False)

    def leave(self, entry: Admitted) -> int:
        self._open.release()
        return 1

    def note_answer(self, entry: Admitted, kind: Hashable, seconds: float, *, in_flight: int) -> None:
        """Learn nothing."""

    def note_refusal(self, entry: Admitted, status: int, retry_after: timedelta | None) -> None:
        """Learn nothing."""


def install(most: int) -> None:
    """Let this process's client use such a gate."""
    transport = main_api().transport
    transport.gate = FixedGate(transport.gate, most)
