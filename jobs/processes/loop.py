"""How every process runs, waits and stops: a `poll` that does what is due and says how long to wait."""

import gc
import signal
import threading
from collections.abc import Callable
from typing import Final, Protocol

import structlog
from django.db import InterfaceError, OperationalError, close_old_connections, connections
from redis import RedisError

from jobs.broker import keys, mend
from jobs.processes.heartbeat import StopAsked

log = structlog.get_logger(__name__)
LONGEST_OUTAGE_WAIT: Final = 5.0  # seconds: whoever keeps time must not be late because it looks for Redis rarely
LONGEST_FAULT_WAIT: Final = 60.0
YOUNG_OBJECTS: Final = 10_000  # before the collector looks at them: Python's 700 are less than one batch of jobs makes


class Process(Protocol):
    """Something that is polled until it is told to stop."""

    def poll(self) -> float:
        """Do what is due now; return the seconds until something may be due again.

        Raises StopAsked when an operator has asked the process to stop.
        """

    def close(self) -> None:
        """Hand back what is held."""


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()

    def handle(signum: int, _frame: object) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    return stop


def freeze_startup_objects() -> None:
    """Keep the garbage collector from looking at what is there by now, which lives as long as the process does.

    Each full collection would look at the code of Django and of the admin again, and hold up all threads for 80 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


def run(process: Process, stop: threading.Event, *, name: str) -> None:
    """Poll until `stop` is set, waking up at once when it is, or an operator asks for it.

    While Redis or the database is away it goes on trying, after 1, 2, 4, 5, 5 … seconds; after a fault of its own it
    waits up to 60.
    """
    freeze_startup_objects()
    log.info("process.started", process=name)
    outages = 0
    try:
        while not stop.is_set():
            try:
                wait = process.poll()
                outages = 0
            except StopAsked:
                log.warning("process.stop_requested", process=name, next="it stops")
                break
            except (RedisError, OperationalError, InterfaceError) as error:
                wait = 0.0 if _repair(error) else _backoff(outages, LONGEST_OUTAGE_WAIT)
                log.warning("process.connection_lost", process=name, error=str(error), retry_in_s=wait)
                outages += 1
                close_old_connections()
            except Exception:  # the process's edge: a bug in one round must not end the timekeeping
                wait = _backoff(outages, LONGEST_FAULT_WAIT)
                log.exception("process.round_failed", process=name, retry_in_s=wait)
                outages += 1
                close_old_connections()
            stop.wait(wait)
    finally:
        _close(process.close, name)
        connections.close_all()
        log.info("process.stopped", process=name)


def wait_for_redis(*, name: str) -> bool:
    """Wait until Redis answers: it may be started later, or its password be mended. False: told to stop meanwhile.

    SIGTERM and SIGINT mean afterwards what they meant before.
    """
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT)}
    stop, outages = stop_on_signals(), 0
    while not stop.is_set():
        try:
            keys.redis().ping()
            break
        except RedisError as error:
            wait = _backoff(outages, LONGEST_OUTAGE_WAIT)
            log.warning("process.redis_awaited", process=name, error=str(error), retry_in_s=wait)
            outages += 1
            stop.wait(wait)
    for signum, handler in before.items():
        signal.signal(signum, handler)
    return not stop.is_set()


def _repair(error: Exception) -> bool:
    """Whether it was due to what stood under a key, which is gone by now."""
    try:
        return mend.mends(error, keys.redis())
    except RedisError:
        return False


def _backoff(outages: int, longest: float) -> float:
    return min(longest, 2.0 ** min(outages, 10))


def _close(close: Callable[[], None], name: str) -> None:
    try:
        close()
    except RedisError as error:
        log.warning("process.release_failed", process=name, error=str(error), next="its lease ends by itself")
