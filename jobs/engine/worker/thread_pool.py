"""The threads that run handlers: a fixed number of slots, freed even if a handler never returns."""

import threading
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

import structlog
from django.db import connections

log = structlog.get_logger(__name__)
T = TypeVar("T")
R = TypeVar("R")


class Threads(Generic[T, R]):
    """Runs `work` on tasks in its own threads and keeps the answers; each thread calls `on_end` after a task."""

    def __init__(self, work: Callable[[T], Iterable[R]], on_end: Callable[[], None]) -> None:
        self._done: SimpleQueue[R] = SimpleQueue()
        self._tasks: SimpleQueue[T | None] = SimpleQueue()
        self._work = work
        self._on_end = on_end
        self._pending: dict[int, T] = {}  # tasks neither done nor given up, by id()
        self._lock = threading.Lock()
        self._started = 0

    def start(self, size: int) -> None:
        for _ in range(size):
            self._start()

    def submit(self, task: T) -> None:
        self._pending[id(task)] = task
        self._tasks.put(task)

    def answers(self) -> list[R]:
        """Return the answers since the last call."""
        found: list[R] = []
        try:
            while True:
                found.append(self._done.get_nowait())
        except Empty:
            return found

    @property
    def has_answers(self) -> bool:
        return not self._done.empty()

    @property
    def waiting(self) -> int:
        """How many tasks no thread has taken yet, given-up ones included."""
        return self._tasks.qsize()

    @property
    def unfinished(self) -> int:
        """How many tasks run or wait for a thread."""
        return len(self._pending)

    def give_up(self, task: T) -> None:
        """Replace the thread that runs `task`; the old one ends as soon as it can. No-op if `task` is done."""
        with self._lock:
            if self._pending.pop(id(task), None) is not None:
                self._start()

    def stop(self) -> None:
        """End every thread once it is idle."""
        for _ in range(self._started):
            self._tasks.put(None)

    def _start(self) -> None:
        self._started += 1
        threading.Thread(target=self._serve, name="job", daemon=True).start()

    def _serve(self) -> None:
        try:
            while (task := self._tasks.get()) is not None:
                if id(task) in self._pending:
                    self._run(task)
                with self._lock:
                    kept = self._pending.pop(id(task), None) is not None
                self._end()
                if not kept:
                    return
        finally:
            connections.close_all()

    def _end(self) -> None:
        try:
            self._on_end()
        except Exception:  # top of the thread: an error in there must not take the slot
            log.exception("thread_pool.end_failed", next="the thread takes its next task")

    def _run(self, task: T) -> None:
        for answer in self._work(task):
            self._done.put(answer)
            if id(task) not in self._pending:
                return
