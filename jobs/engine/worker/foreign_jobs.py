"""Plain RQ jobs, which other code enqueued: refused, or, if allowed, run one at a time beside scheduler jobs."""

import time
from collections.abc import Callable
from typing import Final

import structlog
from django.db import close_old_connections, connection
from rq.exceptions import NoSuchJobError
from rq.worker import SimpleWorker

from jobs import counters
from jobs.broker import enqueue, keys, rq_guard
from jobs.broker.aside import move_aside
from jobs.engine.worker import rq_mirror
from jobs.engine.worker.rq_mirror import RQMirror
from jobs.engine.worker.thread_pool import Threads
from jobs.models import Job
from jobs.states import WAITING, State

log = structlog.get_logger(__name__)
GRACE_SECONDS: Final = 60.0  #: beyond the timeout, as in RQ's registries; a job that takes longer is hung

ForeignJob = tuple[str, str]  #: RQ's job ID and queue


class ForeignJobs:
    """Runs plain RQ jobs as RQ's own worker would; `mirror.foreign_runs` keeps a second one from being fetched."""

    def __init__(self, worker: SimpleWorker, mirror: RQMirror, wake: Callable[[], None]) -> None:
        self._worker = worker
        self._mirror = mirror
        self._wake = wake
        self._threads: Threads[ForeignJob, None] | None = None
        self._current: ForeignJob | None = None
        self._deadline = float("inf")

    def take(self, foreign: ForeignJob) -> None:
        """Run it next."""
        if self._threads is None:
            self._threads = Threads(self._run, self._wake)
            self._threads.start(1)
        self._current, self._deadline = foreign, float("inf")
        self._threads.submit(foreign)

    def abandon_hung(self) -> None:
        """Free the slot of a hung job; RQ's registry clean-up marks it as failed."""
        if self._threads and self._current and time.monotonic() > self._deadline:
            log.error("worker.foreign_job_hung", rq_job=self._current[0], next="another thread takes the next one")
            self._threads.give_up(self._current)
            self._over(self._current)

    def stop(self) -> None:
        """End the thread once it is idle."""
        if self._threads:
            self._threads.stop()

    def _run(self, foreign: ForeignJob) -> list[None]:
        rq_id, queue_name = foreign
        try:
            if not self._is_ours(rq_id):
                self._run_or_refuse(rq_id, queue_name)
        except NoSuchJobError:
            log.info("worker.foreign_job_vanished", rq_job=rq_id)
        except Exception:  # top of the thread: RQ records a job's own errors, so this is Redis or RQ itself
            log.exception("worker.foreign_job_failed", rq_job=rq_id)
        finally:
            close_old_connections()
            connection.close()
        self._over(foreign)
        return []

    def _is_ours(self, rq_id: str) -> bool:
        """Whether a row has this ID. If so, the database decides, and the lost or changed hash is rewritten."""
        key = keys.uuid_of(rq_id)
        row = Job.objects.filter(pk=key).first() if key else None
        if row is None:
            return False
        log.warning("worker.hash_rewritten", job_id=rq_id, cause="the hash was lost or changed", state=row.state)
        if row.state in (*WAITING, State.QUEUED):
            enqueue.enqueue([row])
        rq_mirror.restore([rq_id], self._worker.connection)
        return True

    def _run_or_refuse(self, rq_id: str, queue_name: str) -> None:
        worker = self._worker
        rq_job = worker.job_class.fetch(rq_id, connection=worker.connection, serializer=worker.serializer)
        if refusal := rq_guard.refusal(rq_job):
            move_aside([rq_id], refusal, worker.connection)
            return
        queue = next(q for q in worker.queues if q.name == queue_name)
        limit = rq_job.timeout or worker.queue_class.DEFAULT_TIMEOUT
        if limit > 0:  # RQ's -1 means no limit
            self._deadline = time.monotonic() + limit + GRACE_SECONDS
        counters.add("foreign_rq_jobs", "run")
        worker.execute_job(rq_job, queue)

    def _over(self, foreign: ForeignJob) -> None:
        if self._current is foreign:  # an abandoned job may end while the next one runs
            self._current = None
            self._mirror.foreign_runs = False
