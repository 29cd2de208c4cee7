"""Jobs of RQ's own that are none of ours: they run by RQ's own means, in a thread beside ours, one at a time."""

import time
from collections.abc import Callable
from typing import Final

import structlog
from rq.exceptions import NoSuchJobError
from rq.worker import SimpleWorker

from jobs.engine.board import Board
from jobs.engine.threads import Threads

log = structlog.get_logger(__name__)
GRACE_SECONDS: Final = 60.0  #: beyond its time, as RQ's registries have it; then it waits in code that RQ cannot end

Stranger = tuple[str, str]  #: the id of RQ's job, and the queue it was taken from


class Strangers:
    """Runs what is taken as `worker` would by itself; the board knows whether one more may be taken."""

    def __init__(self, worker: SimpleWorker, board: Board, wake: Callable[[], None]) -> None:
        self._worker = worker
        self._board = board
        self._wake = wake
        self._threads: Threads[Stranger, None] | None = None
        self._current: Stranger | None = None
        self._deadline = float("inf")

    def take(self, stranger: Stranger) -> None:
        """Run it next."""
        if self._threads is None:
            self._threads = Threads(self._run, self._wake)
            self._threads.start(1)
        self._current, self._deadline = stranger, float("inf")
        self._threads.submit(stranger)

    def give_up_what_hangs(self) -> None:
        """Go on with the next one; RQ's clean-up of registries fails the one that hangs."""
        if self._threads and self._current and time.monotonic() > self._deadline:
            log.error("worker.stranger_hangs", rq_job=self._current[0], next="another thread takes the next one")
            self._threads.give_up(self._current)
            self._over(self._current)

    def stop(self) -> None:
        """Let the thread end when it is idle."""
        if self._threads:
            self._threads.stop()

    def _run(self, stranger: Stranger) -> list[None]:
        rq_id, queue_name = stranger
        worker = self._worker
        try:
            rq_job = worker.job_class.fetch(rq_id, connection=worker.connection, serializer=worker.serializer)
            queue = next(q for q in worker.queues if q.name == queue_name)
            limit = rq_job.timeout or worker.queue_class.DEFAULT_TIMEOUT
            if limit > 0:  # RQ's -1: for ever
                self._deadline = time.monotonic() + limit + GRACE_SECONDS
            worker.execute_job(rq_job, queue)
        except NoSuchJobError:
            log.info("worker.stranger_gone", rq_job=rq_id)
        except Exception:  # the thread's edge: RQ records what its job raises, so this is Redis, or RQ itself
            log.exception("worker.stranger_failed", rq_job=rq_id)
        self._over(stranger)
        return []

    def _over(self, stranger: Stranger) -> None:
        if self._current is stranger:  # one that was given up ends when another may run already
            self._current = None
            self._board.stranger_runs = False
