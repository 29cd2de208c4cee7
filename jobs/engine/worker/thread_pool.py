"""The threads that run handlers: a fixed number of slots, freed even if a handler never returns."""

import threading
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from itertools import count
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

import structlog
from django.db import connections

log = structlog.get_logger(__name__)
T = TypeVar("T")
R = TypeVar("R")


class Threads(Generic[T, R]):
    """Runs `work` on tasks in its own threads and keeps the answers; each thread calls `on_end` after a task.

    A free thread takes the task of the lowest rank, of several the one that was submitted first.
    """

    def __init__(self, work: Callable[[T], Iterable[R]], on_end: Callable[[], None]) -> None:
        self._done: SimpleQueue[R] = SimpleQueue()
        self._tasks: list[tuple[int, int, T]] = []  # a heap, by rank and number
        self._numbers = count()
        self._calls: SimpleQueue[bool] = SimpleQueue()  # True for each task in the heap, False to end a thread
        self._work = work
        self._on_end = on_end
        self._pending: dict[int, T] = {}  # tasks neither done nor given up, by id()
        self._lock = threading.Lock()
        self._started = 0

    def start(self, size: int) -> None:
        for _ in range(size):
            self._start()

    def submit(self, task: T, rank: int = 0) -> None:
        self._pending[id(task)] = task
        heappush(self._tasks, (rank, next(self._numbers), task))
        self._calls.put(True)

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
        return len(self._tasks)

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
            self._calls.put(False)

    def _start(self) -> None:
        self._started += 1
        threading.Thread(target=self._serve, name="job", daemon=True).start()

    def _serve(self) -> None:
        try:
            while self._calls.get():
                _rank, _number, task = heappop(self._tasks)
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
