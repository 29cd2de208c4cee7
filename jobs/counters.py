"""Counters and histograms of all processes, summed in Redis.

`add` and `observe` only update a dictionary; a thread sends the counts about once a second, in one pipeline, and once
more when the process ends. Label values come from bounded sets only: operations, results, job types, cron tasks;
never IDs. While Redis is down, counts are kept here. If Redis loses its data, counters restart at zero, which
Prometheus handles.
"""

import atexit
import os
import threading
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final

import structlog
from django.conf import settings
from redis import Redis, RedisError

from scheduler_project.redis_connection import connect as connect_to

log = structlog.get_logger(__name__)
KEY: Final = "scheduler:tally"  #: hash: count by name and label values, separated by tabs
EVERY_S: Final = 1.0
MOST_SERIES: Final = 5000  #: per process between two flushes; more would mean an unbounded label
BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)  #: seconds


class Counters:
    """One process's counts since its last flush."""

    def __init__(self, connect: Callable[[], Redis]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._sending = threading.Lock()  # one flush at a time: after one returns, all earlier counts are in Redis
        self._counts: defaultdict[tuple[str, ...], float] = defaultdict(float)
        self._sends = False
        os.register_at_fork(after_in_child=self._forked)

    def add(self, name: str, *labels: str, by: float = 1) -> None:
        with self._lock:
            self._add((name, *labels), by)
        self._send_in_background()

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Add one observation to the histogram `name`: to the bucket of the smallest bound >= `value`, and the sum."""
        self.observe_many(name, [value], *labels)

    def observe_many(
        self, name: str, values: Sequence[float], *labels: str, bounds: tuple[float, ...] = BOUNDS
    ) -> None:
        """The same for several observations."""
        found = Counter(bisect_left(bounds, value) for value in values)
        with self._lock:
            for position, count in found.items():
                bound = f"{bounds[position]:g}" if position < len(bounds) else "+Inf"
                self._add((name, *labels, bound), count)
            self._add((name, *labels, "sum"), sum(values))
        self._send_in_background()

    def flush(self) -> None:
        """Send all counts; if Redis is down, keep them for the next flush."""
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
            log.debug("counters.redis_unreachable", error=str(error), next="kept for the next flush")
            with self._lock:
                for series, by in counts.items():
                    self._add(series, by)

    def _add(self, series: tuple[str, ...], by: float) -> None:
        if series in self._counts or len(self._counts) < MOST_SERIES:
            self._counts[series] += by

    def _send_in_background(self) -> None:
        """Start the sender thread, once per process."""
        if self._sends:
            return
        with self._lock:
            if self._sends:
                return
            self._sends = True
        atexit.register(self.flush)
        threading.Thread(target=self._send, name="counters", daemon=True).start()

    def _forked(self) -> None:
        """Reset in a forked child: it has none of the parent's other threads, and the parent sends its own counts."""
        self._lock, self._sending = threading.Lock(), threading.Lock()
        self._counts, self._sends = defaultdict(float), False

    def _send(self) -> None:
        pause = threading.Event()
        while not pause.wait(EVERY_S):
            self.flush()


def read(connection: Redis) -> Mapping[tuple[str, ...], float]:
    """Read the counts of all processes by name and label values. Raises redis.RedisError."""
    found: Any = connection.hgetall(KEY)
    counts = {}
    for field, count in found.items():
        try:
            counts[tuple(field.decode().split("\t"))] = float(count)
        except ValueError:
            log.debug("counters.discarded", field=field[:200], next="ignored")
    return counts


@cache
def _redis() -> Redis:
    return connect_to(settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=2)


_of_this_process: Final = Counters(_redis)
add = _of_this_process.add
observe = _of_this_process.observe
observe_many = _of_this_process.observe_many
flush = _of_this_process.flush
