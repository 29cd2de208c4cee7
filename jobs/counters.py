"""Counters that all processes add up in Redis, for whoever wants to read them.

`add` and `observe` cost a dictionary entry; a thread sends what has gathered about once a second, in one pipeline, and
once more when the process ends. Label values come from bounded sets only: operations, results, job types, cron tasks;
never ids. What a lost Redis forgets begins at zero again, which readers of counters are used to; while Redis is away
it is kept here.
"""

import atexit
import os
import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

import structlog
from django.conf import settings
from redis import Redis, RedisError

from scheduler_project.redis_connection import connect as connect_to

log = structlog.get_logger(__name__)
KEY: Final = "scheduler:tally"  #: hash: count by name and label values, separated by tabs
EVERY_S: Final = 1.0
MOST_SERIES: Final = 5000  #: of one process between two flushes; more would be a label that is not bounded
BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)  #: seconds


class Counters:
    """What one process has counted since it last told Redis."""

    def __init__(self, connect: Callable[[], Redis]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._sending = threading.Lock()  # one at a time: when a flush returns, what was counted before it is there
        self._counts: defaultdict[tuple[str, ...], float] = defaultdict(float)
        self._sends = False
        os.register_at_fork(after_in_child=self._forked)

    def add(self, name: str, *labels: str, by: float = 1) -> None:
        """Add to the counter `name` with these label values."""
        with self._lock:
            self._add((name, *labels), by)
        self._send_in_background()

    def observe(self, name: str, value: float, *labels: str, bounds: tuple[float, ...] = BOUNDS) -> None:
        """Add one observation to the histogram `name`: the first of `bounds` that is not below it, and the sum."""
        position = bisect_left(bounds, value)
        bound = f"{bounds[position]:g}" if position < len(bounds) else "+Inf"
        with self._lock:
            self._add((name, *labels, bound), 1)
            self._add((name, *labels, "sum"), value)
        self._send_in_background()

    def flush(self) -> None:
        """Send what has gathered; where Redis is away it is kept for the next time."""
        with self._sending:
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            counts, self._counts = self._counts, defaultdict(float)
        if not counts:
            return
        try:
            with self._connect().pipeline(transaction=True) as pipeline:
                for series, by in counts.items():
                    pipeline.hincrbyfloat(KEY, "\t".join(series), by)
                pipeline.execute()
        except RedisError as error:
            log.debug("counters.redis_lost", error=str(error), next="kept, and sent with the next")
            with self._lock:
                for series, by in counts.items():
                    self._add(series, by)

    def _add(self, series: tuple[str, ...], by: float) -> None:
        if series in self._counts or len(self._counts) < MOST_SERIES:
            self._counts[series] += by

    def _send_in_background(self) -> None:
        """Start the sender, once in each process."""
        if self._sends:
            return
        with self._lock:
            if self._sends:
                return
            self._sends = True
        atexit.register(self.flush)
        threading.Thread(target=self._send, name="tally", daemon=True).start()

    def _forked(self) -> None:
        """A fork has no threads but the one that forked, and what its parent has counted is its parent's to send."""
        self._lock, self._sending = threading.Lock(), threading.Lock()
        self._counts, self._sends = defaultdict(float), False

    def _send(self) -> None:
        pause = threading.Event()
        while not pause.wait(EVERY_S):
            self.flush()


def read(connection: Redis) -> Mapping[tuple[str, ...], float]:
    """All counts of all processes, by name and label values. Raises redis.RedisError."""
    found: Any = connection.hgetall(KEY)
    counts = {}
    for field, count in found.items():
        try:
            counts[tuple(field.decode().split("\t"))] = float(count)
        except ValueError:
            log.debug("counters.discarded", field=field[:200], next="left out")
    return counts


@cache
def _redis() -> Redis:
    return connect_to(settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=2)


_of_this_process: Final = Counters(_redis)
add = _of_this_process.add
observe = _of_this_process.observe
flush = _of_this_process.flush
