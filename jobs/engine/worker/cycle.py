"""The worker's cycle: record finished jobs, fetch for free slots, claim, start. Every job passes through it."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, close_old_connections, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone
from redis import Redis, RedisError

from jobs.broker import mend
from jobs.engine.worker import rq_mirror
from jobs.engine.worker.cancellation import Cancellations, hand_back, time_out
from jobs.engine.worker.fetch import Fetch
from jobs.engine.worker.in_flight import WAIT_FOR_THREAD_S, Group, InFlight, run_group
from jobs.engine.worker.recorder import AWAY, Recorder
from jobs.engine.worker.rq_mirror import RQMirror
from jobs.engine.worker.thread_pool import Threads
from jobs.ledger import Ending

log = structlog.get_logger(__name__)
RETRY_SECONDS: Final = 1.0  # after an outage
MIRROR_AFTER: Final = 0.1  #: seconds; without a fetch, updates for Redis wait so long
SHOWN_AFTER: Final = 1.0  #: seconds; RQ never sees shorter jobs as started, which costs as much as the rest of a fetch


class Cycles:
    """Everything one worker fetches, runs and records.

    The main thread runs a cycle when jobs are queued. A handler thread runs one itself, on the main thread's database
    connection, when its job ends and nobody else is cycling: waking a second thread costs more than claiming a job.
    While enough short jobs are claimed ahead, nobody cycles: the next cycle records and claims several at a time.
    """

    def __init__(
        self,
        worker: str,
        mirror: RQMirror,
        connection: Redis,
        *,
        run_foreign: Callable[[tuple[str, str]], None],
        wake_main: Callable[[], None],
    ) -> None:
        self.in_flight = InFlight()
        self.cancellations = Cancellations()
        self.takes = True  #: False: fetch nothing new; running jobs continue
        self._worker = worker
        self._mirror = mirror
        mirror.running = self.in_flight.jobs
        self._connection = connection
        self._concurrency: int = settings.QUEUE_CONCURRENCY
        self._wake_main = wake_main
        self.fetch = Fetch(mirror, self.in_flight, self._concurrency, run_foreign)
        self._threads: Threads[Group, Ending] = Threads(run_group, self._lead)
        self._ahead = 0  # groups that the last cycle might claim ahead
        self._is_fast = False  # all in flight were fast then
        self._is_sqlite = connections[DEFAULT_DB_ALIAS].vendor == "sqlite"  # its statements share the GIL with handlers
        self._is_quiet = False  # threads may have left ends to the main thread without waking it
        self.recorder = Recorder(worker, mirror, connection, self.in_flight, self.fetch, self._threads.submit)
        self.lock = threading.RLock()  # held during a cycle
        self._lent: BaseDatabaseWrapper | None = None  # the main thread's connection, for handler threads that cycle

    def start(self, *, lead: bool) -> None:
        """Start the threads. With `lead` they run cycles themselves, which a job limit does not allow."""
        if lead:
            self._lent = connections[DEFAULT_DB_ALIAS]
            self._lent.inc_thread_sharing()
        self._threads.start(self._concurrency)

    def stop(self) -> None:
        """End idle threads and stop cycling. Jobs that still run are freed when their leases expire."""
        with self.lock:
            if self._lent:
                self._lent.dec_thread_sharing()
            self._lent = None
            self.recorder.later.run()
            for job in self.in_flight.jobs():
                log.error(
                    "worker.job_abandoned",
                    worker=self._worker,
                    job_id=job.id,
                    next="it runs again when its lease expires",
                )
        self._threads.stop()

    @property
    def busy(self) -> bool:
        """True while a job is fetched, running or not yet recorded."""
        return bool(self.in_flight or self.fetch.groups or self.recorder.pending)

    @property
    def has_more(self) -> bool:
        """True if the last cycle left jobs that a free slot could take at once, or ends that it is time to record."""
        if self._is_quiet and self._threads.has_answers and not self._has_enough:
            return True
        return bool(self.fetch.groups or self._mirror.has_more) and len(self.in_flight) < self._concurrency

    @property
    def _has_enough(self) -> bool:
        """True if a cycle can wait for more ends: more than a third of what may be claimed ahead waits for a thread.

        For fast jobs, if there is more than one group per thread, so that threads and database work side by side.
        """
        if self._is_fast:
            return self._threads.unfinished + self.in_flight.coming > self._concurrency
        return self._threads.waiting > self._ahead // 3

    def run(self, limit: int | None = None, first: Callable[[], None] | None = None) -> tuple[int, int]:
        """Run one cycle and survive outages, after which it waits. Returns how many jobs ended and were to be claimed.

        Fetches at most `limit` jobs. Calls `first`, which may use Redis, before it fetches.
        """
        with self.lock:
            goes_on = False
            try:
                counts = self._run(limit, first)
                goes_on = self.has_more
                return counts
            except AWAY as error:
                log.warning("worker.connection_lost", worker=self._worker, error=str(error), retry_in_s=RETRY_SECONDS)
                with _defer_errors([]):
                    mend.mends(error, self._connection)
            except Exception:  # top of the thread: a bug in one cycle must not lose the jobs of the other threads
                log.exception("worker.cycle_failed", worker=self._worker, retry_in_s=RETRY_SECONDS)
                self.recorder.record_one_by_one()
            finally:
                if not goes_on:  # otherwise there is time for it in the next cycle
                    self.recorder.later.run()
            close_old_connections()
            time.sleep(RETRY_SECONDS)
            return 0, 0

    def sync(self) -> None:
        """Push pending updates and the running jobs to Redis. Raises redis.RedisError."""
        with self.lock:
            self.note_started()
            self._mirror.sync(timezone.now())

    def note_started(self, *, repeat: bool = False) -> None:
        """Have the next fetch list longer jobs as started; with `repeat` once more, before RQ's tools forget them."""
        with self.lock:
            self.recorder.settle()
            for group in self.in_flight:
                group.fresh = group.fresh and not repeat
                if not group.fresh and time.monotonic() - group.began >= SHOWN_AFTER:
                    group.mirrored = group.fresh = True
                    self._mirror.note_started(list(group.jobs.values()))

    # -- one cycle

    def _lead(self) -> None:
        """In a handler thread whose job ended: run a cycle, or wake the main thread.

        Fast jobs, and ends while others wait for a thread, are left to the main thread, which records and claims many
        at a time. While it cycles it need not be woken if jobs are claimed ahead: it looks for ends afterwards.
        """
        if self._ahead and self._has_enough:
            return
        if not self.lock.acquire(blocking=False):
            if not self._ahead:
                self._wake_main()
            return
        try:
            lent = None if self._leaves_to_main else self._lent
            if lent:
                self._run_on(lent)
        finally:
            self.lock.release()
        if not lent or self.has_more or not self.in_flight:
            self._wake_main()

    @property
    def _leaves_to_main(self) -> bool:
        return bool(self._threads.waiting) or self.in_flight.all_fast()

    def _run_on(self, connection: BaseDatabaseWrapper) -> None:
        """Cycle on this connection until no job ended in the meantime; idle threads take the new jobs."""
        own = connections[DEFAULT_DB_ALIAS]
        connections[DEFAULT_DB_ALIAS] = connection
        try:
            self.run()
            while self._threads.has_answers and not self._leaves_to_main:
                self.run()
        finally:
            connections[DEFAULT_DB_ALIAS] = own

    def _run(self, limit: int | None, first: Callable[[], None] | None) -> tuple[int, int]:
        """Record and claim in one transaction. If all jobs in flight are fast, Redis fetches the next ones meanwhile.

        What the cycle before has claimed is then started meanwhile, too, so that the database hardly waits for Python.
        The database learns of an end before Redis does; after a failure in between, the next cycle updates Redis.
        """
        now = timezone.now()
        self.recorder.renew_leases(now)
        was_fast = self.in_flight.all_fast()
        self._finish()
        self._mirror.has_more = False
        idle, takes = self._concurrency - len(self.in_flight), self.takes
        self._is_fast = self.in_flight.all_fast()
        is_ahead = takes and limit is None and not (self._is_fast and self._is_sqlite)
        ahead = self.in_flight.count_ahead(self._concurrency) if is_ahead else 0
        self._is_quiet = bool(self._ahead or ahead)
        self._ahead = ahead
        # All that it may claim was fetched ahead, of fast types, and the database need not wait for Redis.
        is_straight = is_ahead and self._is_fast and idle <= len(self.fetch.groups)
        if not is_straight:
            self.recorder.settle()
        away: list[RedisError] = []  # finished jobs are recorded even if Redis is down
        with _defer_errors(away):
            if first:
                first()
            self._put_back_late()
            if ahead and not self._is_fast:
                self.fetch.begin_short(now, most=idle + ahead)
            if takes:
                left = None if limit is None else limit - len(self.in_flight) - self.recorder.pending
                self.fetch.begin(now, idle=idle, limit=left)
        with _defer_errors(away):
            self.fetch.end()
            if takes and limit is None and was_fast and not away:
                self.fetch.begin_prefetch(now, idle=idle + ahead)
        try:  # with a fresh time: a job that came due during the fetch must not be claimed before its due time
            counts = self.recorder.record_and_claim(timezone.now(), idle + ahead, may_wait=is_straight)
        finally:
            with _defer_errors(away):
                self.fetch.end()
        if away:
            raise away[0]
        return counts

    def _finish(self) -> None:
        """Remove jobs that ended, timed out or were stopped from those in flight."""
        for ending in self._threads.answers():
            self.finish_one(ending)
        time_out(self.in_flight, self.finish_one, self._threads.give_up)
        self.cancellations.carry_out(self.in_flight, self.finish_one, self._threads.give_up, self.recorder.settle)
        hand_back(self.in_flight, self.finish_one)

    def _put_back_late(self) -> None:
        """Return what was fetched a while ago: another worker may be free, or its campaign paused by now.

        A worker that takes nothing new returns all that it has fetched.
        """
        late = self.fetch.late(before=time.monotonic() - WAIT_FOR_THREAD_S if self.takes else math.inf)
        if late:
            rq_mirror.put_back([i for group in late for i in group.ids], self._connection)
            self.fetch.drop(late)

    def finish_one(self, ending: Ending) -> None:
        if group := self.in_flight.finish(ending):  # otherwise it was stopped or timed out first
            self.recorder.add(ending, shown=group.mirrored)


@contextmanager
def _defer_errors(errors: list[RedisError]) -> Iterator[None]:
    """Collect Redis errors, so that the caller can finish its database work and raise them afterwards."""
    try:
        yield
    except RedisError as error:
        errors.append(error)
