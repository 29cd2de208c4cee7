"""One process's requests in flight, as many as its window allows; those who wait take turns by campaign."""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from typing import Final

from jobs.main_api.budget import URGENT
from jobs.main_api.window import Window

SLICE_S: Final = 0.1  #: how often a thread that waits looks whether the window has grown, or it must stop


class _Waiter:
    __slots__ = ("admitted", "event")

    def __init__(self) -> None:
        self.event = threading.Event()
        self.admitted = False


class Room:
    """Thread-safe. Whoever enters must leave."""

    def __init__(self, most: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._window = Window(most, now=clock())
        self._lock = threading.Lock()
        self._in_flight = 0
        self._closed_until = 0.0
        self._urgent: deque[_Waiter] = deque()
        self._lanes: dict[str, deque[_Waiter]] = {}  #: in the order of their turns

    def enter(
        self, lane: str, *, until: float, must_stop: Callable[[], bool], meanwhile: Callable[[], None] | None = None
    ) -> int:
        """Wait for room until `until`. Returns how many are in flight then, this one included; 0 if it is too late.

        `meanwhile` is called now and then while it waits.
        """
        with self._lock:
            now = self._clock()
            if not self._lanes and not self._urgent and self._has_room(now):
                self._in_flight += 1
                return self._in_flight
            if now >= until or must_stop() or self._closed_until > until:
                return 0
            waiter = _Waiter()
            (self._urgent if lane == URGENT else self._lanes.setdefault(lane, deque())).append(waiter)
            self._admit(now)
        while not waiter.event.wait(min(SLICE_S, max(0.0, until - self._clock()))):
            now = self._clock()
            with self._lock:
                self._admit(now)
                if not waiter.admitted and (now >= until or must_stop() or self._closed_until > until):
                    self._forget(lane, waiter)
                    return 0
            if meanwhile:
                meanwhile()
        return self._in_flight

    def enter_at_once(self, now: float) -> int:
        """As `enter`, without waiting; 0 if it would have to."""
        with self._lock:
            if self._lanes or self._urgent or not self._has_room(now):
                return 0
            self._in_flight += 1
            return self._in_flight

    def leave(self) -> int:
        """Returns how many were in flight, this one included."""
        with self._lock:
            self._in_flight -= 1
            if self._lanes or self._urgent:
                self._admit(self._clock())
            return self._in_flight + 1

    def close_until(self, moment: float) -> None:
        """Let nobody in before `moment`."""
        with self._lock:
            self._closed_until = max(self._closed_until, moment)

    @property
    def closed_until(self) -> float:
        return self._closed_until

    def size(self) -> int:
        """How many may be in flight now."""
        with self._lock:
            return self._window.size(self._clock())

    @property
    def most(self) -> int:
        return self._window.most

    @property
    def waiting(self) -> int:
        """How many wait for room."""
        with self._lock:
            return len(self._urgent) + sum(map(len, self._lanes.values()))

    def note_answer(self, kind: Hashable, seconds: float, *, in_flight: int, began: float) -> bool:
        with self._lock:
            return self._window.note_answer(kind, seconds, in_flight=in_flight, began=began, now=self._clock())

    def note_refusal(self, *, began: float) -> bool:
        with self._lock:
            return self._window.note_refusal(began=began, now=self._clock())

    def _has_room(self, now: float) -> bool:
        return now >= self._closed_until and self._in_flight < self._window.size(now)

    def _admit(self, now: float) -> None:
        """Admit whoever is next."""
        while (self._urgent or self._lanes) and self._has_room(now):
            waiter = self._next()
            self._in_flight += 1
            waiter.admitted = True
            waiter.event.set()

    def _next(self) -> _Waiter:
        if self._urgent:
            return self._urgent.popleft()
        lane = next(iter(self._lanes))
        waiters = self._lanes.pop(lane)
        waiter = waiters.popleft()
        if waiters:
            self._lanes[lane] = waiters
        return waiter

    def _forget(self, lane: str, waiter: _Waiter) -> None:
        waiters = self._urgent if lane == URGENT else self._lanes[lane]
        waiters.remove(waiter)
        if not waiters and lane != URGENT:
            del self._lanes[lane]
