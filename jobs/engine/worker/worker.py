"""The worker: QUEUE_CONCURRENCY threads run handlers; cycles claim and record for all of them at once.

From outside it is an ordinary RQ worker: rqworker, rqstats, rqsuspend, the dashboard and RQ's commands work with it.
"""

import signal
import sys
import threading
import time
from types import FrameType
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import connections
from django.utils import timezone
from redis import RedisError
from redis.exceptions import OutOfMemoryError
from rq.suspension import WORKERS_SUSPENDED
from rq.timeouts import TimerDeathPenalty
from rq.worker import SimpleWorker, WorkerStatus

from jobs import type_settings
from jobs.broker import commands, keys
from jobs.engine.worker.cycle import MIRROR_AFTER, Cycles
from jobs.engine.worker.foreign_jobs import ForeignJobs
from jobs.engine.worker.rq_mirror import RQMirror
from jobs.main_api.client import main_api
from jobs.processes import watchdog
from jobs.processes.heartbeat import Heartbeat
from jobs.processes.supervisor import is_orphaned

log = structlog.get_logger(__name__)
IDLE_SECONDS: Final = 1.0  # between polls of the queues when no message wakes the worker
SWITCH_SECONDS: Final = 0.0005  # with Python's 5 ms, a cycle would wait that long for busy handlers


class Worker(SimpleWorker):
    """An RQ worker that runs several jobs at once and keeps the database's record of them."""

    death_penalty_class = TimerDeathPenalty  # plain RQ jobs run in a thread, without signals

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.concurrency: int = settings.QUEUE_CONCURRENCY
        self._wakeup = threading.Event()
        self._stopping = threading.Event()
        self._mirror = RQMirror(self.name, self.queue_names(), keys.own_redis())
        self._foreign_jobs = ForeignJobs(self, self._mirror, self._wakeup.set)
        self.cycles = Cycles(
            self.name, self._mirror, self.connection, run_foreign=self._foreign_jobs.take, wake_main=self._wakeup.set
        )
        self._heartbeat_at = 0.0
        self._checked_at = 0.0
        self._suspended = False
        self._heartbeat = Heartbeat("worker", self.name, self.connection)

    @property
    def connection_timeout(self) -> int:
        """Seconds. RQ's 415 s suit its blocking reads; here, Redis hanging that long would cost all leases."""
        return keys.TIMEOUT_SECONDS

    def work(
        self,
        burst: bool = False,
        logging_level: str | None = None,
        date_format: str = "",
        log_format: str = "",
        max_jobs: int | None = None,
        max_idle_time: int | None = None,
        with_scheduler: bool = False,
        dequeue_strategy: Any = None,
    ) -> bool:
        """Work until stopped, or with `burst` until the queues are empty. Returns whether any job ran."""
        self._begin(lead=max_jobs is None)
        try:
            done = self._work_on(burst=burst, max_jobs=max_jobs, max_idle_s=max_idle_time)
            self._drain()
        finally:
            self.cycles.stop()
            self._foreign_jobs.stop()
            self._leave()
        return bool(done)

    def _begin(self, *, lead: bool) -> None:
        sys.setswitchinterval(SWITCH_SECONDS)
        self._install_signal_handlers()  # before registering, so that a signal never leaves a registered worker behind
        try:
            self.register_birth()
        except OutOfMemoryError as error:  # `_report` does once there is room; until then RQ's tools do not list it
            log.warning("worker.redis_full", worker=self.name, error=str(error), next="it runs jobs, which makes room")
        self.subscribe()
        if self.pubsub is None:
            raise RuntimeError("RQ did not subscribe")
        self.pubsub.subscribe(**{keys.QUEUED_CHANNEL: lambda _message: self._wakeup.set()})
        main_api().transport.gate.must_stop = self._stopping.is_set
        self.cycles.start(lead=lead)
        log.info("worker.started", worker=self.name, queues=self.queue_names(), concurrency=self.concurrency)

    def _work_on(self, *, burst: bool, max_jobs: int | None, max_idle_s: int | None) -> int:
        """Run cycles until stopped, or until the limits are reached. Returns how many jobs ended."""
        idle_since = time.monotonic()
        while not self._stopping.is_set():
            left = max_jobs - self.cycles.recorder.recorded if max_jobs else None
            was_busy = self._busy()  # a job that ends during the cycle may have made room for more
            _, took = self.cycles.run(left, first=self.check_in)
            done = self.successful_job_count = self.cycles.recorder.recorded
            if took or was_busy or self._busy() or self._mirror.has_more:
                idle_since = time.monotonic()
            elif (
                burst or (max_jobs and done >= max_jobs) or (max_idle_s and time.monotonic() - idle_since > max_idle_s)
            ):
                break
            if not (self.cycles.has_more or (took and len(self.cycles.in_flight) < self.concurrency)):
                self._wait()
        return self.cycles.recorder.recorded

    def request_stop(self, signum: int | None, frame: FrameType | None) -> None:
        """Fetch nothing new and finish running jobs (SIGTERM, SIGINT, RQ's shutdown command)."""
        self._shutdown_requested_date = timezone.now()
        self._stopping.set()
        self.cycles.takes = False
        self._wakeup.set()

    def _install_signal_handlers(self) -> None:
        signal.signal(signal.SIGINT, self.request_stop)
        signal.signal(signal.SIGTERM, self.request_stop)
        watchdog.install(self._stopping.set)

    def handle_payload(self, message: Any) -> None:
        """Handle RQ's commands, in RQ's thread: shutdown stops gracefully, stop-job gives up a running job."""
        try:
            command = commands.read(message["data"])
        except ValueError as error:
            log.warning("worker.command_rejected", worker=self.name, error=str(error))
            return
        if command.command == commands.SHUTDOWN:
            log.info("worker.shutdown_requested", worker=self.name)
            self.request_stop(None, None)
        elif command.command in commands.STOPS:
            self.cycles.cancellations.request(command)
            self._wakeup.set()
        else:
            log.warning("worker.command_rejected", worker=self.name, command=command.command)

    def _pubsub_exception_handler(self, exc: Exception, pubsub: Any, pubsub_thread: Any) -> None:
        """Keep listening after any Redis error; RQ's own handler would end the thread after a timeout."""
        log.warning("worker.command_channel_lost", worker=self.name, error=str(exc), retry_in_s=IDLE_SECONDS)
        time.sleep(IDLE_SECONDS)

    def _busy(self) -> bool:
        return self.cycles.busy or self._mirror.foreign_runs

    def _wait(self) -> None:
        """Wait until a job ends or is queued, but less long if there are updates for Redis.

        Updates go out with the next fetch; without one they are sent after MIRROR_AFTER.
        """
        soon = self._mirror.has_news or any(not group.fresh for group in self.cycles.in_flight)
        if not self._wakeup.wait(MIRROR_AFTER if soon else IDLE_SECONDS):
            try:
                self.cycles.sync()
            except RedisError as error:
                log.warning(
                    "worker.mirror_sync_failed", worker=self.name, error=str(error), next="sent with the next fetch"
                )
        self._wakeup.clear()

    def _drain(self) -> None:
        """Finish running jobs within SHUTDOWN_GRACE_SECONDS; the leases of the rest expire."""
        until = time.monotonic() + settings.SHUTDOWN_GRACE.total_seconds()
        if self._busy():
            log.info("worker.drain_started", worker=self.name, running=len(self.cycles.in_flight))
        while self._busy() and time.monotonic() < until:
            self.cycles.run(0, first=self.check_in)
            self._wakeup.wait(0.2)
            self._wakeup.clear()

    def _leave(self) -> None:
        try:
            self.cycles.sync()
            self._heartbeat.leave()
            self.register_death()
            self.unsubscribe()
        except RedisError as error:
            log.warning("worker.unregister_failed", worker=self.name, error=str(error), next="its registration expires")
        connections.close_all()
        log.info("worker.stopped", worker=self.name)

    def check_in(self) -> None:
        """Every second, check suspension and parent, read the types' settings, beat."""
        ticks = time.monotonic()
        if ticks - self._checked_at < IDLE_SECONDS:
            return
        self._checked_at = ticks
        self.cycles.note_started()
        self._foreign_jobs.abandon_hung()
        if is_orphaned() and not self._stopping.is_set():
            log.warning("worker.orphaned", worker=self.name, next="it finishes its jobs and stops")
            self.request_stop(None, None)
        suspended = bool(self.connection.exists(WORKERS_SUSPENDED))  # is_suspended() needs memory
        if suspended != self._suspended:
            log.info("worker.suspended" if suspended else "worker.resumed", worker=self.name)
            self._suspended = suspended
        self.cycles.takes = not (suspended or self._stopping.is_set())
        try:
            self._report(ticks, suspended=suspended)
        except OutOfMemoryError as error:
            log.warning("worker.redis_full", worker=self.name, error=str(error), next="it runs jobs, which makes room")

    def _report(self, ticks: float, *, suspended: bool) -> None:
        """The heartbeat, and then what may need memory in Redis."""
        self._beat("stopping" if self._stopping.is_set() else str(self._find_state(suspended=suspended).value))
        if ticks - self._heartbeat_at >= settings.LEASE.total_seconds() / 3 or not self._heartbeat_at:
            self._heartbeat_at = ticks
            self.cycles.note_started(repeat=True)
            self.cycles.sync()  # a full worker fetches nothing: its jobs must not lose their places below a limit
        type_settings.refresh(self.connection)
        state = self._find_state(suspended=suspended)
        with self.connection.pipeline(transaction=False) as pipeline:
            self.heartbeat(pipeline=pipeline)  # for RQ's tools
            pipeline.hmget(self.key, "state", "birth")
            known = pipeline.execute()[-1]
        if known[1] is None:  # Redis was emptied, or the registration expired while this process was suspended
            self.connection.delete(self.key)
            self.register_birth()
        if known[0] != state.value.encode():
            self.set_state(state)

    def _find_state(self, *, suspended: bool) -> WorkerStatus:
        return WorkerStatus.SUSPENDED if suspended else WorkerStatus.BUSY if self._busy() else WorkerStatus.IDLE

    def _beat(self, reported: str) -> None:
        jobs = sum(1 for _ in self.cycles.in_flight.jobs())
        busy = min(len(self.cycles.in_flight), self.concurrency)  # the others are claimed ahead
        must_stop = self._heartbeat.beat(reported, in_flight=jobs, busy=busy, concurrency=self.concurrency)
        if must_stop and not self._stopping.is_set():
            log.warning("worker.stop_requested", worker=self.name, next="it finishes its jobs and stops")
            self.request_stop(None, None)
