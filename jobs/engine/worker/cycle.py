"""A worker's cycle: record what ended, take for the free slots, claim, start. A job gets through a worker only so."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Final

import structlog
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, close_old_connections, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone
from redis import Redis, RedisError

from jobs import actor as actors
from jobs.broker import enqueue, mend
from jobs.engine.worker import attempt
from jobs.engine.worker import rq_mirror as board
from jobs.engine.worker.attempt import Ended
from jobs.engine.worker.cancellation import Cancellations, time_out
from jobs.engine.worker.fetch import Fetch
from jobs.engine.worker.in_flight import Finished, InFlight, run_group
from jobs.engine.worker.rq_mirror import Batch, RQMirror
from jobs.engine.worker.thread_pool import Threads
from jobs.ledger import Claimed, moves
from jobs.ledger.moves import Ending

log = structlog.get_logger(__name__)
RETRY_SECONDS: Final = 1.0  # after an outage
SHOW_AFTER: Final = 0.1  #: seconds: what ends sooner is never shown as started
_AWAY: Final = (RedisError, OperationalError, InterfaceError)


class Cycles:
    """What one worker takes, runs and records.

    The main thread cycles when something was queued. When something has ended, the handler's thread that it ended in
    does so where nobody else does, on the main thread's connection: to wake a thread that wakes another one again takes
    longer than to claim a job.
    """

    def __init__(
        self, worker: str, board: RQMirror, connection: Redis, *,
        run_foreign: Callable[[tuple[str, str]], None], wake_main: Callable[[], None],
    ) -> None:  # fmt: skip
        self.flight = InFlight()
        self.stops = Cancellations()
        self.takes = True  #: False: nothing new, and what runs goes on
        self.recorded = 0  #: ends
        self._worker = worker
        self._board = board
        self._connection = connection
        self._concurrency: int = settings.QUEUE_CONCURRENCY
        self._wake_main = wake_main
        self.fetch = Fetch(board, self.flight, self._concurrency, run_foreign)
        self._threads: Threads[list[Claimed], Ended] = Threads(run_group, self._lead)
        self.lock = threading.RLock()  # of whoever cycles
        self._lent: BaseDatabaseWrapper | None = None  # to a handler's thread that cycles
        self._unrecorded: list[Finished] = []
        self.unanswered: tuple[list[Batch], datetime] | None = None  # a claim that the database has not answered
        self._renew_at = 0.0

    def start(self, *, lead: bool) -> None:
        """Start the threads; with `lead` they cycle by themselves, without a limit of jobs."""
        if lead:
            self._lent = connections[DEFAULT_DB_ALIAS]
            self._lent.inc_thread_sharing()
        self._threads.start(self._concurrency)

    def stop(self) -> None:
        """Let every thread end when it is idle, and none cycle any more; what still runs is left to its lease."""
        with self.lock:
            if self._lent:
                self._lent.dec_thread_sharing()
            self._lent = None
            for job in self.flight.jobs():
                log.error("worker.left_running", worker=self._worker, job_id=job.id, next="runs again after its lease")
        self._threads.stop()

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        return bool(self.flight or self.fetch.groups or self._unrecorded)

    @property
    def has_more(self) -> bool:
        """Whether the last cycle has left something that can be had at once."""
        return bool(self.fetch.groups or self._board.has_more_now) and len(self.flight) < self._concurrency

    def run(self, limit: int | None = None, first: Callable[[], None] | None = None) -> tuple[int, int]:
        """One cycle, through outages, after which it waits; how many ended and how many were to be claimed.

        Takes `limit` jobs at most where there is one. `first` is what has to be told to Redis before.
        """
        with self.lock:
            try:
                return self._run(limit, first)
            except _AWAY as error:
                log.warning("worker.outage", worker=self._worker, error=str(error), retry_in_s=RETRY_SECONDS)
                with _noting([]):
                    mend.mends(error, self._connection)
            except Exception:  # the thread's edge: a bug in one cycle must not lose what the other threads run
                log.exception("worker.cycle_failed", worker=self._worker, retry_in_s=RETRY_SECONDS)
                self._set_aside_what_cannot_be_recorded()
            close_old_connections()
            time.sleep(RETRY_SECONDS)
            return 0, 0

    def show(self) -> None:
        """Tell Redis what is still to be told, and what runs. Raises redis.RedisError."""
        with self.lock:
            self.note_started()
            self._board.show(timezone.now())

    def note_started(self, *, anew: bool = False) -> None:
        """What has run for a while is shown as started, with the next turn; `anew` before RQ's tools forget it."""
        with self.lock:
            for group in self.flight:
                group.fresh = group.fresh and not anew
                if not group.fresh and time.monotonic() - group.began >= SHOW_AFTER:
                    group.shown = group.fresh = True
                    self._board.started(list(group.jobs.values()))

    # -- one cycle

    def _lead(self) -> None:
        """In a handler's thread that has come to an end: cycle, or wake the main thread where that is better.

        Fast jobs are recorded and claimed many at a time, which is less to do for all.
        """
        if not self.lock.acquire(blocking=False):
            self._wake_main()
            return
        try:
            lent = None if self.flight.all_fast() else self._lent
            if lent:
                self._run_on(lent)
            if not lent or self.has_more or not self.flight:
                self._wake_main()
        finally:
            self.lock.release()

    def _run_on(self, connection: BaseDatabaseWrapper) -> None:
        """Cycle on this connection until nothing has ended meanwhile; other threads are idle then and take the jobs."""
        own = connections[DEFAULT_DB_ALIAS]
        connections[DEFAULT_DB_ALIAS] = connection
        try:
            self.run()
            while self._threads.has_answers and not self.flight.all_fast():
                self.run()
        finally:
            connections[DEFAULT_DB_ALIAS] = own

    def _run(self, limit: int | None, first: Callable[[], None] | None) -> tuple[int, int]:
        """Record and claim in one transaction, beside which Redis gives what comes next where all in flight is fast.

        The database hears of an end before Redis does: what falls between is shown by the next cycle.
        """
        now = timezone.now()
        self.renew_leases(now)
        self._finish()
        self._board.has_more_now = False
        idle, takes = self._concurrency - len(self.flight), self.takes
        away: list[RedisError] = []  # what ended is recorded all the same
        with _noting(away):
            if first:
                first()
            if takes:
                room = None if limit is None else limit - len(self.flight) - len(self._unrecorded)
                self.fetch.begin(now, idle=idle, limit=room)
        endings = [attempt.ending_of(finished.ended, now) for finished in self._unrecorded]
        with _noting(away):
            self.fetch.end()
            if takes and limit is None and not away:
                self.fetch.begin_ahead(now, idle=idle)
        try:  # the time is a later one: what came due while Redis was asked is not claimed before it was due
            counts = self.record_and_claim(timezone.now(), endings, idle)
        finally:
            with _noting(away):
                self.fetch.end()
        if away:
            raise away[0]
        return counts

    def _finish(self) -> None:
        """Take out of the flight what has ended there, was stopped or is over its time."""
        for ended in self._threads.answers():
            self.finish_one(ended)
        time_out(self.flight, self.finish_one, self._threads.give_up)
        self.stops.carry_out(self.flight, self.finish_one, self._threads.give_up)

    def finish_one(self, ended: Ended) -> None:
        """Take an ended attempt out of the flight, to be recorded by the next cycle."""
        finished = self.flight.finish(ended)
        if finished:  # else it was stopped, or its time was over, before it ended by itself
            self._unrecorded.append(finished)

    def record_and_claim(self, now: datetime, endings: list[Ending], idle: int) -> tuple[int, int]:
        """Record `endings` and claim for `idle` slots in one transaction; how many ended and were to be claimed."""
        idle -= self._begin_unanswered(now)
        groups = self.fetch.groups[: max(0, idle)]
        ids = [i for group in groups for i in group.ids]
        worker, start = self._worker, partial(self._start, groups)
        self.unanswered = (groups, now) if groups else None
        ended, claimed = moves.cycle(endings, ids, actor=actors.worker(worker), worker=worker, now=now, start=start)
        self.fetch.claimed(groups)
        finished, self._unrecorded = self._unrecorded, []
        shown = {e.job.id for e, seen in finished if seen}
        self.recorded += len(ended)
        for e in ended:
            self._board.ended(e, shown=e.job.id in shown)
        # Redis may be away from here on: what was claimed runs by now, and the rescuer does what is missed.
        if left := set(ids) - {job.id for job in claimed}:
            board.give_back(left, self._connection)
        enqueue.enqueue([e.job for e in ended if e.due_at is not None])
        if len(ended) < len(finished):
            taken = {id(e.job) for e in ended}
            board.resync([e.job for e, _ in finished if id(e.job) not in taken], self._connection)
        return len(ended), len(ids)

    def _set_aside_what_cannot_be_recorded(self) -> None:
        """Record each end by itself; one that the database refuses is recorded without its texts and its result.

        It is a job's own fault then, which costs itself: nobody else's end may wait for it.
        """
        now = timezone.now()
        for finished in list(self._unrecorded):
            ending = attempt.ending_of(finished.ended, now)
            try:
                try:
                    ended = self._record([ending], now)
                except _AWAY:
                    return
                except Exception:
                    log.exception("worker.end_not_recorded", job_id=str(ending.job.id), next="without its texts")
                    ended = self._record([ending.bare()], now)
            except _AWAY:
                return
            except Exception:
                log.exception("worker.end_lost", job_id=str(ending.job.id), next="its lease ends")
                ended = []
            self._unrecorded.remove(finished)
            self.recorded += len(ended)
            for e in ended:
                self._board.ended(e, shown=finished.shown)

    def _record(self, endings: list[Ending], now: datetime) -> list[Ending]:
        actor = actors.worker(self._worker)
        return moves.cycle(endings, [], actor=actor, worker=self._worker, now=now)[0]

    def _begin_unanswered(self, now: datetime) -> int:
        """Begin what the last claim has claimed although its answer was lost with the connection; how many groups.

        Nobody else would: the row is this worker's until its lease ends, and then the outcome would be called unknown.
        """
        if self.unanswered is None:
            return 0
        groups, at = self.unanswered
        ids = [i for group in groups for i in group.ids]
        claimed = attempt.claimed_at(at, ids, worker=self._worker, until=now + settings.LEASE)
        self._start(groups, claimed)
        if claimed:
            log.warning("worker.answer_was_lost", worker=self._worker, jobs=len(claimed), next="begun all the same")
        begun = {job.id for job in claimed}
        return sum(not begun.isdisjoint(group.ids) for group in groups)

    def _start(self, groups: list[Batch], claimed: list[Claimed]) -> None:
        """Give each group of what was taken to a thread, without what could not be claimed."""
        self.unanswered = None
        by_id = {job.id: job for job in claimed}
        for taken in groups:
            # pop: an id that was carried twice is one job.
            jobs = [job for i in taken.ids if (job := by_id.pop(i, None))]
            if jobs:
                self.flight.add(jobs)
                self._threads.submit(jobs)

    def renew_leases(self, now: datetime) -> None:
        """Every third of a lease renew those of all in flight, whether Redis is there or not; in every cycle until it
        has worked, so that no lease ends because the database was away when it was to be renewed.
        """
        if (ticks := time.monotonic()) < self._renew_at:
            return
        held = [job.id for job in self.flight.jobs()] + [str(finished.ended.job.id) for finished in self._unrecorded]
        if held:
            moves.renew_leases(held, worker=self._worker, until=now + settings.LEASE)
        self._renew_at = ticks + settings.LEASE.total_seconds() / 3


@contextmanager
def _noting(errors: list[RedisError]) -> Iterator[None]:
    """Go on after an outage of Redis, which the caller raises when it has done what needs no Redis."""
    try:
        yield
    except RedisError as error:
        errors.append(error)
