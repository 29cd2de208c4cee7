"""How many requests one process may have in flight: halved when the main API slows down, then grown by one a second.

It is the congestion window of TCP (additive increase, multiplicative decrease). Each process has its own, without a
round trip to Redis: processes that share a slow server all see that it is slow, and each halves its own part.

An answer is slow if it took SLOW times the quiet median of its kind. The window is halved when two thirds of a
window's answers are slow, and at once when the main API refuses a request for its size or for the number of requests
(413, 429). After that only requests count that began later, so it is halved at most once in a round trip.

The quiet median of a kind is that of its latest requests while few were in flight, or of the latest ones at all if
those were faster. Halving a window leads to few in flight, so a main API that is slower from now on has its new quiet
median within some round trips, and full concurrency after `most` seconds.

Pure: the times are seconds of one monotonic clock. Not thread-safe.
"""

from collections import deque
from collections.abc import Collection, Hashable
from typing import Final

SLOW: Final = 3.0  #: times the quiet median
SLOW_SHARE: Final = 2 / 3  #: not half: of a kind with two speeds, such as cached and not, some are always slow
LEAST_QUIET_S: Final = 0.010  #: shorter medians count as this, so that the noise of milliseconds halves nothing
FEW: Final = 2  #: requests in flight that are no load
FEWEST: Final = 5  #: answers that are judged together in a small window
LEARNED_FROM: Final = 3  #: answers that make a quiet median, so that a first slow one does not
REMEMBERED: Final = 5  #: latest answers of a kind
MOST_KINDS: Final = 500


class _Kind:
    """What is known about one kind of request; seconds."""

    __slots__ = ("latest", "quiet", "with_few")

    def __init__(self) -> None:
        self.latest: deque[float] = deque(maxlen=REMEMBERED)
        self.with_few: deque[float] = deque(maxlen=REMEMBERED)
        self.quiet: float | None = None

    def learn(self, seconds: float, *, few: bool) -> None:
        self.latest.append(seconds)
        if few:
            self.with_few.append(seconds)
            if len(self.with_few) >= LEARNED_FROM:
                self.quiet = _median(self.with_few)
        if (self.quiet is None or seconds < self.quiet) and len(self.latest) >= LEARNED_FROM:
            median = _median(self.latest)
            self.quiet = median if self.quiet is None else min(median, self.quiet)


def _median(values: Collection[float]) -> float:
    """Of a few values the upper one in the middle; statistics.median takes four times as long."""
    return sorted(values)[len(values) // 2]


class Window:
    """The number of requests that may be in flight, from 1 to `most`.

    It starts half full and grows by one with each answer until it is full or halved: so the first answers, which tell
    the quiet median, are those to half as many requests.
    """

    def __init__(self, most: int, *, now: float) -> None:
        self.most = most
        self._size = max(1, most // 2)  #: at `_since`
        self._since = now
        self._is_starting = True
        self._halved_at = float("-inf")
        self._kinds: dict[Hashable, _Kind] = {}
        self._ratios: deque[float] = deque()  #: the latest answers' times to their quiet medians, since it was halved

    def size(self, now: float) -> int:
        if self._size == self.most:
            return self.most
        grown = self._size + int(now - self._since)
        if grown >= self.most:
            self._size = grown = self.most
        return grown

    def note_answer(self, kind: Hashable, seconds: float, *, in_flight: int, began: float, now: float) -> bool:
        """Learn from an answer without errors. Returns whether the window was halved.

        Requests of one `kind` cost the main API about the same. `in_flight` counts the requests of this process when
        this one began or ended, whichever were more, itself included.
        """
        if began <= self._halved_at:
            return False
        if self._is_starting:
            self._size = min(self.most, self._size + 1)
            self._is_starting = self.size(now) < self.most
        known = self._kinds.get(kind)
        if known is None:
            if len(self._kinds) >= MOST_KINDS:
                self._kinds.clear()
            known = self._kinds[kind] = _Kind()
        known.learn(seconds, few=in_flight <= FEW)
        return known.quiet is not None and self._judge(seconds / max(known.quiet, LEAST_QUIET_S), now)

    def note_refusal(self, *, began: float, now: float) -> bool:
        """The main API answered 413 or 429. Returns whether the window was halved."""
        if began <= self._halved_at:
            return False
        self._halve(now)
        return True

    def quiet_median(self, kind: Hashable) -> float | None:
        """In seconds; None if it is not known yet."""
        known = self._kinds.get(kind)
        return known.quiet if known else None

    def _judge(self, ratio: float, now: float) -> bool:
        size, ratios = self.size(now), self._ratios
        together = max(FEWEST, size)
        ratios.append(ratio)
        while len(ratios) > together:
            ratios.popleft()
        if ratio < SLOW:
            return False
        if size < self.most:  # no growth while it is slow
            self._size, self._since = size, now
        if len(ratios) < together or sum(one >= SLOW for one in ratios) < SLOW_SHARE * together:
            return False
        self._halve(now)
        return True

    def _halve(self, now: float) -> None:
        self._size, self._since, self._is_starting = max(1, self.size(now) // 2), now, False
        self._halved_at = now
        self._ratios.clear()
