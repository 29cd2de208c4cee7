"""The threads that run handlers: a fixed number of slots; a thread that overruns its time loses its slot."""

import threading
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from django.db import connections

T = TypeVar("T")
R = TypeVar("R")


class Threads(Generic[T, R]):
    """Runs `work` on tasks in threads of its own and keeps the answers; each thread calls `over` when its task is."""

    def __init__(self, work: Callable[[T], Iterable[R]], over: Callable[[], None]) -> None:
        self._done: SimpleQueue[R] = SimpleQueue()
        self._tasks: SimpleQueue[T | None] = SimpleQueue()
        self._work = work
        self._over = over
        self._standing: dict[int, T] = {}  # tasks that are neither done nor given up, by identity
        self._lock = threading.Lock()
        self._started = 0

    def start(self, size: int) -> None:
        """Start so many threads."""
        for _ in range(size):
            self._start()

    def submit(self, task: T) -> None:
        """Run `task` in the next free thread."""
        self._standing[id(task)] = task
        self._tasks.put(task)

    def answers(self) -> list[R]:
        """The answers since the last call."""
        found: list[R] = []
        try:
            while True:
                found.append(self._done.get_nowait())
        except Empty:
            return found

    @property
    def has_answers(self) -> bool:
        """Whether there are answers since the last call of `answers`."""
        return not self._done.empty()

    def give_up(self, task: T) -> None:
        """Start a thread in place of the one that runs `task`, which does no more of it and ends; nothing where it is
        done.
        """
        with self._lock:
            if self._standing.pop(id(task), None) is not None:
                self._start()

    def stop(self) -> None:
        """Let every idle thread end."""
        for _ in range(self._started):
            self._tasks.put(None)

    def _start(self) -> None:
        self._started += 1
        threading.Thread(target=self._serve, name="job", daemon=True).start()

    def _serve(self) -> None:
        try:
            while (task := self._tasks.get()) is not None:
                if id(task) in self._standing:
                    self._run(task)
                with self._lock:
                    kept = self._standing.pop(id(task), None) is not None
                self._over()
                if not kept:
                    return
        finally:
            connections.close_all()

    def _run(self, task: T) -> None:
        for answer in self._work(task):
            self._done.put(answer)
            if id(task) not in self._standing:
                return
