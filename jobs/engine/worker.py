"""The worker: one coordinator that claims and records in batches, and QUEUE_CONCURRENCY threads that run handlers.

To everybody else it is an RQ worker: rqworker, rqstats, rqsuspend, the dashboard and RQ's commands know it.
"""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from types import FrameType
from typing import Any, Final

import msgspec
import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connections
from django.utils import timezone
from redis import RedisError
from rq.suspension import is_suspended
from rq.timeouts import TimerDeathPenalty
from rq.worker import SimpleWorker, WorkerStatus

from jobs import actor as actors
from jobs import ledger
from jobs.engine import attempt, board, carrier, commands, keys
from jobs.engine.attempt import Ended
from jobs.engine.board import Taken
from jobs.engine.flight import Flight, run_group
from jobs.engine.intake import Intake
from jobs.engine.pool import orphaned
from jobs.engine.presence import Presence
from jobs.engine.stops import Stops, overran
from jobs.engine.strangers import Strangers
from jobs.engine.threads import Threads
from jobs.ledger import Ending
from jobs.statements import Claimed

log = structlog.get_logger(__name__)
IDLE_SECONDS: Final = 1.0  # between looks at the queues when no message wakes the worker
SWITCH_SECONDS: Final = 0.0005  # Python's 5 ms would be what a job waits for the coordinator while handlers compute
SHOW_AFTER: Final = 0.1  # seconds: what ends sooner is never shown as started
_AWAY: Final = (RedisError, OperationalError, InterfaceError)


@contextmanager
def _noting(errors: list[RedisError]) -> Iterator[None]:
    """Go on after an outage of Redis, which the caller raises when it has done what needs no Redis."""
    try:
        yield
    except RedisError as error:
        errors.append(error)


class Worker(SimpleWorker):
    """An RQ worker that runs several jobs at once and keeps the database's record of them."""

    death_penalty_class = TimerDeathPenalty  # strangers' jobs run in a thread, without signals

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.concurrency: int = settings.QUEUE_CONCURRENCY
        self._wakeup = threading.Event()
        self._stopping = threading.Event()
        self._flight = Flight()
        self._board = board.Board(self.name, self.queue_names(), keys.own_redis())
        self._strangers = Strangers(self, self._board, self._wakeup.set)
        self._intake = Intake(self._board, self._flight, self.concurrency, self._strangers.take)
        self._unrecorded: list[Ended] = []
        self._unanswered: tuple[list[Taken], datetime] | None = None  # a claim that the database has not answered
        self._renew_at = 0.0
        self._kept_up_at = 0.0
        self._looked_at = 0.0
        self._suspended = False
        self._stops = Stops()
        self._presence = Presence("worker", self.name, self.connection)

    @property
    def connection_timeout(self) -> int:
        """Seconds. RQ's own 415 s are made for blocking reads: a Redis that hangs so long would cost all leases."""
        return keys.TIMEOUT_SECONDS

    # -- the life of the process

    def work(
        self, burst: bool = False, logging_level: str | None = None, date_format: str = "", log_format: str = "",
        max_jobs: int | None = None, max_idle_time: int | None = None, with_scheduler: bool = False,
        dequeue_strategy: Any = None,
    ) -> bool:  # fmt: skip
        """Work until stopped, or with `burst` until the queues are empty; whether any job was done."""
        self._begin()
        try:
            done = self._cycles(burst=burst, max_jobs=max_jobs, max_idle_s=max_idle_time)
            self._drain()
        finally:
            self._threads.stop()
            self._strangers.stop()
            self._leave()
        return bool(done)

    def _begin(self) -> None:
        sys.setswitchinterval(SWITCH_SECONDS)
        self.register_birth()
        self.subscribe()
        if self.pubsub is None:
            raise RuntimeError("RQ did not subscribe")
        self.pubsub.subscribe(**{keys.QUEUED_CHANNEL: lambda _message: self._wakeup.set()})
        self._install_signal_handlers()
        self._threads: Threads[list[Claimed], Ended] = Threads(self.concurrency, run_group, self._wakeup.set)
        log.info("worker.started", worker=self.name, queues=self.queue_names(), concurrency=self.concurrency)

    def _cycles(self, *, burst: bool, max_jobs: int | None, max_idle_s: int | None) -> int:
        """Cycle until stopped, or until there is nothing left to do within the limits; how many jobs ended."""
        done, idle_since = 0, time.monotonic()
        while not self._stopping.is_set():
            ended, took = self._cycle_through_outages(max_jobs - done if max_jobs else None)
            done += ended
            if took or self._busy() or self._board.come_again:
                idle_since = time.monotonic()
            elif (
                burst or (max_jobs and done >= max_jobs) or (max_idle_s and time.monotonic() - idle_since > max_idle_s)
            ):
                break
            if self._board.come_again and len(self._flight) < self.concurrency:
                continue
            if not (took or self._intake.groups) or len(self._flight) >= self.concurrency:
                self._wait()
        return done

    def request_stop(self, signum: int | None, frame: FrameType | None) -> None:
        """Take nothing new, finish what runs (SIGTERM, SIGINT and RQ's shutdown command)."""
        self._shutdown_requested_date = timezone.now()
        self._stopping.set()
        self._wakeup.set()

    def _install_signal_handlers(self) -> None:
        signal.signal(signal.SIGINT, self.request_stop)
        signal.signal(signal.SIGTERM, self.request_stop)

    def handle_payload(self, message: Any) -> None:
        """RQ's commands, heard in its own thread: shutdown stops gracefully, stop-job gives a running job up."""
        try:
            command = commands.read(message["data"])
        except msgspec.DecodeError as error:
            log.warning("worker.command_refused", worker=self.name, error=str(error))
            return
        if command.command == commands.SHUTDOWN:
            log.info("worker.shutdown_command", worker=self.name)
            self.request_stop(None, None)
        elif command.command in commands.STOPS:
            self._stops.ask(command)
            self._wakeup.set()
        else:
            log.warning("worker.command_refused", worker=self.name, command=command.command)

    def _pubsub_exception_handler(self, exc: Exception, pubsub: Any, pubsub_thread: Any) -> None:
        """Go on hearing, whatever became of Redis; RQ ends its thread where a connection is not refused but hangs."""
        log.warning("worker.does_not_hear", worker=self.name, error=str(exc), retry_in_s=IDLE_SECONDS)
        time.sleep(IDLE_SECONDS)

    def _busy(self) -> bool:
        return bool(self._flight or self._intake.groups or self._unrecorded or self._board.stranger_runs)

    def _wait(self) -> None:
        """Until a thread has ended something or something was queued; not so long where there is news to show.

        News goes to Redis with the next turn; only what finds none for a while is told by itself.
        """
        if not self._wakeup.wait(SHOW_AFTER if self._board.has_news or self._unshown() else IDLE_SECONDS):
            self._show()
        self._wakeup.clear()

    def _drain(self) -> None:
        """Finish what runs within SHUTDOWN_GRACE_SECONDS; the rest is left to its lease."""
        until = time.monotonic() + settings.SHUTDOWN_GRACE.total_seconds()
        if self._busy():
            log.info("worker.draining", worker=self.name, running=len(self._flight))
        while self._busy() and time.monotonic() < until:
            self._cycle_through_outages(0)
            self._wakeup.wait(0.2)
            self._wakeup.clear()
        for job in self._flight.jobs():
            log.error("worker.left_running", worker=self.name, job_id=job.id, next="runs again after its lease")

    def _leave(self) -> None:
        try:
            self._board.show(timezone.now())
            self._presence.leave()
            self.register_death()
            self.unsubscribe()
        except RedisError as error:
            log.warning("worker.not_unregistered", worker=self.name, error=str(error), next="it expires")
        connections.close_all()
        log.info("worker.stopped", worker=self.name)

    # -- one cycle

    def _cycle_through_outages(self, limit: int | None) -> tuple[int, int]:
        try:
            return self._cycle(limit)
        except _AWAY as error:
            log.warning("worker.outage", worker=self.name, error=str(error), retry_in_s=IDLE_SECONDS)
        except Exception:  # the process's edge: a bug in one cycle must not lose what the other threads run
            log.exception("worker.cycle_failed", worker=self.name, retry_in_s=IDLE_SECONDS)
        close_old_connections()
        self._stopping.wait(IDLE_SECONDS)
        return 0, 0

    def _cycle(self, limit: int | None) -> tuple[int, int]:
        """Show what ended, take for the free slots, record the ends and claim; how many ended and were claimed.

        One script and one transaction, side by side where only fast jobs are in flight: then Redis gives the next ids
        while the database records. The database hears of an end before Redis does: what falls between is shown by the
        next cycle.
        """
        now = timezone.now()
        self._renew_leases(now)
        self._unrecorded += self._threads.answers()
        self._unrecorded += overran(self._flight, self._unrecorded, self._threads.give_up)
        self._unrecorded += self._stops.endings(self._flight, self._unrecorded, self._threads.give_up)
        self._board.come_again = False
        idle = self.concurrency - self._flight.busy(self._unrecorded)
        takes = not (self._suspended or self._stopping.is_set())
        away: list[RedisError] = []  # what ended is recorded all the same
        with _noting(away):
            self._keep_up()
            if takes:
                room = None if limit is None else limit - self._flight.busy(()) - len(self._unrecorded)
                self._intake.begin(now, idle=idle, limit=room)
        endings = [attempt.ending_of(e, now) for e in self._unrecorded]
        with _noting(away):
            self._intake.end()
            if takes and limit is None and not away:
                self._intake.begin_ahead(now, idle=idle)
        try:
            ended = self._record_and_claim(now, endings, idle)
        finally:
            with _noting(away):
                self._intake.end()
        if away:
            raise away[0]
        return ended

    def _record_and_claim(self, now: datetime, endings: list[Ending], idle: int) -> tuple[int, int]:
        idle -= self._begin_unanswered(now)
        groups = self._intake.groups[: max(0, idle)]
        ids = [i for group in groups for i in group.ids]
        worker, start = self.name, partial(self._start, groups)
        self._unanswered = (groups, now) if groups else None
        ended, claimed = ledger.cycle(endings, ids, actor=actors.worker(worker), worker=worker, now=now, start=start)
        self._intake.claimed(groups)
        left = set(ids) - {job.id for job in claimed}
        unrecorded, self._unrecorded = self._unrecorded, []
        shown = {e.job.id for e in unrecorded if (group := self._flight.land(e)) and group.shown}
        self.successful_job_count += len(ended)
        for e in ended:
            self._board.ended(e, shown=e.job.id in shown)
        # Redis may be away from here on: what was claimed runs by now, and the feeder does what is missed.
        if left:
            board.give_back(left, self.connection)
        carrier.carry([e.job for e in ended if e.due_at is not None])
        if len(ended) < len(unrecorded):
            taken = {id(e.job) for e in ended}
            board.show_as_recorded([e.job for e in unrecorded if id(e.job) not in taken], self.connection)
        return len(ended), len(ids)

    def _begin_unanswered(self, now: datetime) -> int:
        """Begin what the last claim has claimed although its answer was lost with the connection; how many groups.

        Nobody else would: the row is this worker's until its lease ends, and then the outcome would be called unknown.
        """
        if self._unanswered is None:
            return 0
        groups, at = self._unanswered
        ids = [i for group in groups for i in group.ids]
        claimed = attempt.claimed_at(at, ids, worker=self.name, until=now + settings.LEASE)
        self._start(groups, claimed)
        if claimed:
            log.warning(
                "worker.answer_was_lost", worker=self.name, jobs=len(claimed), next="claimed all the same: begun"
            )
        begun = {job.id for job in claimed}
        return sum(not begun.isdisjoint(group.ids) for group in groups)

    def _start(self, groups: list[Taken], claimed: list[Claimed]) -> None:
        """Give each group of what was taken to a thread, without what could not be claimed."""
        self._unanswered = None
        by_id = {job.id: job for job in claimed}
        for taken in groups:
            # pop: an id that was carried twice is one job.
            jobs = [job for i in taken.ids if (job := by_id.pop(i, None))]
            if jobs:
                self._flight.add(jobs)
                self._threads.submit(jobs)

    def _renew_leases(self, now: datetime) -> None:
        """Every third of a lease renew those of all in flight, whether Redis is there or not; in every cycle until it
        has worked, so that no lease ends because the database was away when it was to be renewed.
        """
        if (ticks := time.monotonic()) < self._renew_at:
            return
        held = [job.id for job in self._flight.jobs()]
        if held:
            ledger.renew_leases(held, worker=self.name, until=now + settings.LEASE)
        self._renew_at = ticks + settings.LEASE.total_seconds() / 3

    def _keep_up(self) -> None:
        """Every second look at suspension and the parent; every third of a lease tell RQ that this worker lives."""
        ticks = time.monotonic()
        if ticks - self._looked_at < IDLE_SECONDS:
            return
        self._looked_at = ticks
        self._note_started()
        self._strangers.give_up_what_hangs()
        if ticks - self._kept_up_at >= settings.LEASE.total_seconds() / 3 or not self._kept_up_at:
            self._kept_up_at = ticks
            self.heartbeat()
            for group in self._flight:
                group.fresh = False
        if orphaned() and not self._stopping.is_set():
            log.warning("worker.orphaned", worker=self.name, next="it finishes what runs and stops")
            self.request_stop(None, None)
        suspended = is_suspended(self.connection, self)
        if suspended != self._suspended:
            log.info("worker.suspended" if suspended else "worker.resumed", worker=self.name)
            self._suspended = suspended
        state = WorkerStatus.SUSPENDED if suspended else WorkerStatus.BUSY if self._busy() else WorkerStatus.IDLE
        known: Any = self.connection.hmget(self.key, "state", "birth")
        if known[1] is None:  # Redis was emptied, or this process stood still until RQ had forgotten it
            self.connection.delete(self.key)
            self.register_birth()
        if known[0] != state.value.encode():
            self.set_state(state)
        told = "stopping" if self._stopping.is_set() else str(state.value)
        jobs, busy = sum(1 for _ in self._flight.jobs()), len(self._flight)
        asked = self._presence.tell(told, in_flight=jobs, busy=busy, concurrency=self.concurrency)
        if asked and not self._stopping.is_set():
            log.warning("worker.stop_asked", worker=self.name, next="it finishes what runs and stops")
            self.request_stop(None, None)

    def _unshown(self) -> bool:
        return any(not group.fresh for group in self._flight)

    def _note_started(self) -> None:
        """What has run for a while is shown as started, with the next turn; once more before RQ's tools forget it."""
        for group in self._flight:
            if not group.fresh and time.monotonic() - group.began >= SHOW_AFTER:
                group.shown = group.fresh = True
                self._board.started(list(group.jobs.values()))

    def _show(self) -> None:
        """Tell what is still to be told."""
        self._note_started()
        try:
            self._board.show(timezone.now())
        except RedisError as error:
            log.warning("worker.not_shown", worker=self.name, error=str(error), next="told with the next turn")
