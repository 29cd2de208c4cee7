"""The loop of every process: `poll` does what is due and returns how long to wait."""

import gc
import signal
import threading
from collections.abc import Callable
from typing import Final, Protocol

import structlog
from django.db import InterfaceError, OperationalError, close_old_connections, connections
from redis import RedisError

from jobs.broker import keys, mend
from jobs.main_api.client import main_api
from jobs.processes import watchdog
from jobs.processes.heartbeat import StopRequested

log = structlog.get_logger(__name__)
LONGEST_OUTAGE_WAIT: Final = 5.0  # seconds, so that jobs are not late for long after an outage
LONGEST_FAULT_WAIT: Final = 60.0
YOUNG_OBJECTS: Final = 10_000  # per garbage collection; one batch of jobs makes more than Python's default of 700


class Process(Protocol):
    """Something to poll until it should stop."""

    def poll(self) -> float:
        """Do what is due now; return the seconds until something may be due again.

        Raises StopRequested if an operator has requested a stop.
        """

    def close(self) -> None:
        """Release what the process holds."""


def stop_on_signals(*, margin_s: float = watchdog.MARGIN_S) -> threading.Event:
    """Return an event that SIGTERM and SIGINT set; the process ends soon after SHUTDOWN_GRACE_SECONDS in any case."""
    stop = threading.Event()

    def handle(signum: int, _frame: object) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    watchdog.install(stop.set, margin_s=margin_s)
    return stop


def freeze_startup_objects() -> None:
    """Exclude start-up objects from garbage collection: a full collection would stall every thread for 80 ms."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


def run(process: Process, stop: threading.Event, *, name: str) -> None:
    """Poll until `stop` is set, which ends a wait at once, or an operator requests a stop.

    During an outage of Redis or the database it retries after 1, 2, 4, 5, 5 … seconds; after a bug, after up to 60.
    """
    freeze_startup_objects()
    main_api().transport.gate.must_stop = stop.is_set
    log.info("process.started", process=name)
    outages = 0
    try:
        while not stop.is_set():
            try:
                wait = process.poll()
                outages = 0
            except StopRequested:
                log.warning("process.stop_requested", process=name, next="it stops")
                break
            except (RedisError, OperationalError, InterfaceError) as error:
                wait = 0.0 if _repair(error) else _backoff(outages, LONGEST_OUTAGE_WAIT)
                log.warning("process.connection_lost", process=name, error=str(error), retry_in_s=wait)
                outages += 1
                close_old_connections()
            except Exception:  # top of the process: a bug in one round must not end it
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
    """Wait until Redis answers: it may start later, or its password be corrected. Returns False if stopped meanwhile.

    Restores the handlers of SIGTERM and SIGINT afterwards.
    """
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT)}
    stop, outages = stop_on_signals(), 0
    while not stop.is_set():
        try:
            keys.redis().ping()
            break
        except RedisError as error:
            wait = _backoff(outages, LONGEST_OUTAGE_WAIT)
            log.warning("process.redis_unreachable", process=name, error=str(error), retry_in_s=wait)
            outages += 1
            stop.wait(wait)
    for signum, handler in before.items():
        signal.signal(signum, handler)
    return not stop.is_set()


def _repair(error: Exception) -> bool:
    """Delete the key of a wrong type that caused the error, if that is the cause. Returns whether it was."""
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
        log.warning("process.release_failed", process=name, error=str(error), next="its lease expires")
