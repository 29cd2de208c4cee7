"""Health is answered whatever the rest waits for.

A process has THREADS threads. AT_ONCE requests are served at a time and WAITING more wait for their turn, whether for
CPU or for a Redis that hangs; the threads beyond are for probes and scrapes alone. Who finds no room, or no turn
within PATIENCE_S, is told to come again: 503.
"""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import structlog

log = structlog.get_logger(__name__)
AT_ONCE: Final = 16  #: below DATABASE_POOL_SIZE, so that checks find a connection
WAITING: Final = 112
FOR_PROBES: Final = 8
THREADS: Final = AT_ONCE + WAITING + FOR_PROBES
PATIENCE_S: Final = 20.0
PROBES: Final = ("/health", "/metrics")
Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Admission:
    """A WSGI application that lets `application` serve at most `at_once` requests at a time, and probes always."""

    def __init__(
        self,
        application: Application,
        *,
        at_once: int = AT_ONCE,
        waiting: int = WAITING,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._application = application
        self._room = threading.BoundedSemaphore(at_once + waiting)
        self._turns = threading.BoundedSemaphore(at_once)
        self._patience_s = patience_s

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Serve one request, in its turn."""
        if environ["PATH_INFO"].startswith(PROBES):
            return self._application(environ, start_response)
        if not self._room.acquire(blocking=False):
            return _refuse(environ, start_response, why="no room")
        if not self._turns.acquire(timeout=self._patience_s):
            self._room.release()
            return _refuse(environ, start_response, why=f"no turn within {self._patience_s:g} s")
        try:
            return _Answer(self._application(environ, start_response), self._leave)
        except BaseException:
            self._leave()
            raise

    def _leave(self) -> None:
        self._turns.release()
        self._room.release()


class _Answer:
    """An answer whose turn ends when it is sent, which takes a while for a stream."""

    def __init__(self, answer: Iterable[bytes], leave: Callable[[], None]) -> None:
        self._answer = answer
        self._leave = leave

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._answer)

    def close(self) -> None:
        """What WSGI calls at the end, whatever that is."""
        try:
            getattr(self._answer, "close", lambda: None)()
        finally:
            self._leave()


def _refuse(environ: dict[str, Any], start_response: Any, *, why: str) -> list[bytes]:
    log.warning("web.full", path=environ["PATH_INFO"], reason=why, next="told to come again; /health says what is down")
    body = json.dumps({"error": "this web process is full: try again in some seconds, or look at /health"}).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Retry-After", "5")]
    start_response("503 Service Unavailable", headers)
    return [body]
