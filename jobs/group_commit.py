"""Callers that write at the same time share a transaction.

The first caller becomes the leader: it writes its own item together with all that wait. Then the first caller that came
meanwhile becomes the leader. A call returns when its own item is written, or raises its own error: if several items
cannot be written together, each thread writes its own item alone.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

MOST_ITEMS: Final = 100  #: in one transaction
WAIT_FOR_LEADER_S: Final = 0.2  #: for it to take an item; then its caller writes alone: a leader may wait for a lock
LOST_AFTER_S: Final = 10.0  #: then an item is written again, alone: its leader is gone, or waits for a lock
POLL_S: Final = 0.0001

T = TypeVar("T")
R = TypeVar("R")


class _Place(Generic[T, R]):
    """A caller's place in the queue."""

    __slots__ = ("answer", "is_taken", "item", "wakes")

    def __init__(self, item: T) -> None:
        self.item = item
        self.is_taken = False  #: by a leader, who answers
        self.answer: R | None = None  #: None: it was not written
        self.wakes = threading.Lock()  #: released once, to answer or to lead
        self.wakes.acquire()


class GroupCommit(Generic[T, R]):
    """`write` writes several items in one transaction and returns an answer for each, in order; none is None.

    To write an item again must do no harm: a leader may be interrupted after the commit.
    """

    def __init__(self, write: Callable[[Sequence[T]], Sequence[R]]) -> None:
        self._write = write
        self._start_empty()
        os.register_at_fork(after_in_child=self._start_empty)

    def _start_empty(self) -> None:
        """A forked child has none of the threads that wait or lead."""
        self._mutex = threading.Lock()  # for all that follows, and for what is taken
        self._queue: deque[_Place[T, R]] = deque()
        self._leader: _Place[T, R] | None = None
        self._last_size = 0  #: how many were written together

    @property
    def waiting(self) -> int:
        """How many items no leader has taken."""
        return len(self._queue)

    def add(self, item: T) -> R:
        """Write an item and return its answer. Raises what `write` raises for it alone."""
        mine: _Place[T, R] = _Place(item)
        try:
            with self._mutex:
                self._queue.append(mine)
                self._appoint()
            if self._leader is not mine:
                _wait(mine)
            if self._leader is mine:
                self._lead(mine)
        finally:
            self._leave(mine)
        return self._write([item])[0] if mine.answer is None else mine.answer

    def _appoint(self) -> None:
        """Let the first one lead, if nobody does."""
        if self._leader is None and self._queue:
            self._leader = self._queue[0]
            self._leader.wakes.release()

    def _leave(self, mine: _Place[T, R]) -> None:
        with self._mutex:
            if mine in self._queue:
                self._queue.remove(mine)
            if self._leader is mine:
                self._leader = None
                self._appoint()

    def _lead(self, mine: _Place[T, R]) -> None:
        """Write what waits, and answer."""
        batch: list[_Place[T, R]] = []
        try:
            self._let_others_come()
            with self._mutex:
                while self._queue and len(batch) < MOST_ITEMS:
                    batch.append(self._queue.popleft())
                    batch[-1].is_taken = True
            self._last_size = len(batch)
            answers = self._write([place.item for place in batch])
            for place, answer in zip(batch, answers, strict=True):
                place.answer = answer
        except Exception:  # of several, each caller writes its own alone and raises its own error
            if len(batch) == 1:
                raise
        finally:
            for place in batch:
                if place is not mine:
                    place.wakes.release()

    def _let_others_come(self) -> None:
        """After several were written together, wait while more come: they were all let go a moment ago."""
        came = 1
        while came < self._last_size:
            time.sleep(POLL_S)
            before, came = came, self.waiting
            if came == before:
                break


def _wait(mine: _Place[T, R]) -> None:
    """Wait until it is answered or leads, or for as long as its caller may have to."""
    if not mine.wakes.acquire(timeout=WAIT_FOR_LEADER_S) and mine.is_taken:
        mine.wakes.acquire(timeout=LOST_AFTER_S)
