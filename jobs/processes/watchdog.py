"""Ends a process that does not stop in time after SIGTERM or SIGINT, whatever it waits for.

Python's own handlers run between two steps of the main thread, so not while that waits inside SQLite or libpq. So the
signal is also read by a thread, from a socket into which the interpreter writes each signal as it arrives. Ending hard
is safe: leases expire, and the ledger knows what was sent.
"""

import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Final

import structlog
from django.conf import settings

log = structlog.get_logger(__name__)
MARGIN_S: Final = 3.0  #: after SHUTDOWN_GRACE_SECONDS, to unregister and close; a process is gone within 5
EXIT_CODE: Final = 70  #: EX_SOFTWARE of sysexits.h
WORK: Final = ("MainThread", "job")  #: threads whose waits are logged
_ROOT: Final = Path(__file__).resolve().parents[2]
_STOPS: Final = (signal.SIGTERM, signal.SIGINT)


class Watchdog:
    """The watching thread of this process."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._stop: Callable[[], None] = _no_stop
        self._margin_s = MARGIN_S
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def guard(self, stop: Callable[[], None], margin_s: float) -> None:
        """Call `stop` at the next SIGTERM or SIGINT, in the watching thread. Call this in the main thread."""
        self._stop, self._margin_s = stop, margin_s
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)

    def _watch(self) -> None:
        while self._reader.recv(1)[0] not in _STOPS:
            continue
        self._stop()
        time.sleep(settings.SHUTDOWN_GRACE.total_seconds() + self._margin_s)
        log.error("process.killed", hung=_waits(), next="leases expire, and other processes take over")
        sys.stderr.flush()
        os._exit(EXIT_CODE)


@cache
def _watchdog() -> Watchdog:
    return Watchdog()


def install(stop: Callable[[], None], *, margin_s: float = MARGIN_S) -> None:
    """Have SIGTERM and SIGINT call `stop`, and end the process `margin_s` after SHUTDOWN_GRACE_SECONDS."""
    _watchdog().guard(stop, margin_s)


def _no_stop() -> None:
    """Before the first `guard`."""


def _waits() -> list[str]:
    """Where the working threads are: our own innermost line, and its call."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    # The only way to see the stacks of other threads; documented in spite of its name.
    frames = ((names.get(ident, ""), frame) for ident, frame in sys._current_frames().items())  # noqa: SLF001 - documented
    return [f"{name}: {_place(frame)}" for name, frame in frames if name in WORK]


def _place(frame: FrameType) -> str:
    stack = traceback.extract_stack(frame)
    own = [each for each in stack if _ROOT in Path(each.filename).parents and "site-packages" not in each.filename]
    found = [*own[-1:], *stack[-1:]]
    return " > ".join(dict.fromkeys(f"{Path(s.filename).name}:{s.lineno} {s.name}" for s in found))
