"""Limits concurrent requests, so that health checks are answered even while all other requests hang.

A process has THREADS threads. It serves AT_ONCE requests at a time and queues WAITING more; FOR_PROBES threads are
reserved for probes and scrapes, STREAMS for live pages. Requests beyond the queue, or queued longer than QUEUED_S,
get 503 with Retry-After.
"""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import structlog
from django.db import connections

from scheduler_project.hosts import is_probe

log = structlog.get_logger(__name__)
AT_ONCE: Final = 16  #: below DATABASE_POOL_SIZE, so that health checks get a connection
WAITING: Final = 112
FOR_PROBES: Final = 8
STREAMS: Final = 64  #: live pages; those beyond poll
THREADS: Final = AT_ONCE + WAITING + FOR_PROBES + STREAMS
QUEUED_S: Final = 20.0  #: at most
STREAM: Final = "/admin/live/"
Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Admission:
    """WSGI middleware that serves at most `at_once` requests at a time, probes always, and `streams` streams."""

    def __init__(
        self,
        application: Application,
        *,
        at_once: int = AT_ONCE,
        waiting: int = WAITING,
        streams: int = STREAMS,
        queued_s: float = QUEUED_S,
    ) -> None:
        self._application = application
        self._queue = threading.BoundedSemaphore(at_once + waiting)
        self._slots = threading.BoundedSemaphore(at_once)
        self._streams = threading.BoundedSemaphore(streams)
        self._queued_s = queued_s

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if is_probe(environ["PATH_INFO"]):
            return self._application(environ, start_response)
        if environ["PATH_INFO"] == STREAM:
            return self._stream(environ, start_response)
        if not self._queue.acquire(blocking=False):
            return _reject(environ, start_response, why="queue full")
        if not self._slots.acquire(timeout=self._queued_s):
            self._queue.release()
            return _reject(environ, start_response, why=f"queued longer than {self._queued_s:g} s")
        try:
            return _Response(self._application(environ, start_response), self._release)
        except BaseException:
            self._release()
            raise

    def _stream(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """A stream waits most of the time: once it has begun it keeps its thread, but no slot and no connection."""
        if not self._streams.acquire(blocking=False):
            return _reject(environ, start_response, why="all streams are taken")
        if not self._slots.acquire(timeout=self._queued_s):
            self._streams.release()
            return _reject(environ, start_response, why=f"queued longer than {self._queued_s:g} s")
        try:
            response = self._application(environ, start_response)
        except BaseException:
            self._streams.release()
            raise
        finally:
            connections.close_all()
            self._slots.release()
        return _Response(response, self._streams.release)

    def _release(self) -> None:
        self._slots.release()
        self._queue.release()


class _Response:
    """Keeps the slot until the whole response is sent, which takes a while for a stream."""

    def __init__(self, response: Iterable[bytes], release: Callable[[], None]) -> None:
        self._response = response
        self._release = release

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._response)

    def close(self) -> None:
        """WSGI servers call this however the response ends."""
        try:
            getattr(self._response, "close", lambda: None)()
        finally:
            self._release()


def _reject(environ: dict[str, Any], start_response: Any, *, why: str) -> list[bytes]:
    log.warning("web.request_rejected", path=environ["PATH_INFO"], reason=why, next="/health says what is down")
    body = json.dumps({"error": "overloaded: retry in a few seconds, or look at /health"}).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Retry-After", "5")]
    start_response("503 Service Unavailable", headers)
    return [body]
