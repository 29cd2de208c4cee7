"""A time limit for everything that a channel does over the network.

A timeout of a socket is for each read, so a receiver that sends a byte every few seconds would hold its lane for hours.
Like the egress guard this uses Python's audit event `socket.connect`, so it covers every library written in Python:
when the time is up it shuts the connections of this thread down and refuses new ones. It does not end what waits for
something else, such as the resolution of a name.
"""

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from typing import Any, Final

_active: ContextVar["_Deadline | None"] = ContextVar("deadline", default=None)


class _Deadline:
    """The connections that were made in its block, as copies: a library may close its own and reuse their number."""

    def __init__(self, seconds: float) -> None:
        self.ends_at: Final = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._connections: list[socket.socket] = []
        self._is_over = False

    @property
    def has_passed(self) -> bool:
        return time.monotonic() >= self.ends_at

    def add(self, connection: socket.socket) -> None:
        """Raise TimeoutError if it is too late for another connection."""
        with self._lock:
            if self._is_over or self.has_passed:
                raise TimeoutError("the time for this delivery is up")
            copy = socket.fromfd(connection.fileno(), connection.family, connection.type)  # one of TLS has no dup()
            self._connections.append(copy)

    def shut_down(self) -> None:
        """Wake whoever reads from these connections, or writes to them."""
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):  # it was never connected, or is closed already
                    connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with self._lock:
            self._is_over = True
            for connection in self._connections:
                connection.close()


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise TimeoutError if the block fails because it took longer than this; connections end when the time is up."""
    _install()
    limit = _Deadline(seconds)
    timer = threading.Timer(seconds, limit.shut_down)
    timer.daemon = True
    timer.start()
    token = _active.set(limit)
    try:
        yield
    except Exception as error:
        if limit.has_passed:
            raise TimeoutError(f"no complete answer within {seconds:g} s") from error
        raise
    finally:
        _active.reset(token)
        timer.cancel()
        limit.close()


@cache
def _install() -> None:
    sys.addaudithook(_audit)  # once per process: a hook cannot be removed


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event == "socket.connect" and (limit := _active.get()):
        limit.add(args[0])
