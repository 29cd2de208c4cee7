"""Folds the messages of one campaign and kind: the first is due at once, those within its window at the window's end.

However many windows are open, a message and a look at what is due cost the same: ends are found in heaps. An entry of
one counts only while its window still ends then; others are passed over.
"""

import heapq
from dataclasses import dataclass
from typing import NamedTuple

from jobs.main_api.messages import Message


class Key(NamedTuple):
    """Messages with the same key become one."""

    campaign_id: str
    kind: str


@dataclass(slots=True)
class FoldingWindow:
    """The window in which one campaign's messages of one kind are folded."""

    until: float
    pending: Message | None = None
    looks: int = 0  #: at a world time that the main API does not have yet


class Windows:
    def __init__(self) -> None:
        self._open: dict[Key, FoldingWindow] = {}
        self._ends: list[tuple[float, Key]] = []  # of windows with a message
        self._idle: list[tuple[float, Key]] = []  # of those without one: they are dropped then

    def add(self, key: Key, message: Message) -> None:
        """Fold a message into its window; a new window ends at once, so that the first message is handled now."""
        window = self._open.setdefault(key, FoldingWindow(until=0.0))
        if window.pending is None:
            heapq.heappush(self._ends, (window.until, key))
        window.pending = _later(window.pending, message)

    def is_pending(self, key: Key) -> bool:
        """Whether a message waits for the end of this window."""
        window = self._open.get(key)
        return window is not None and window.pending is not None

    def next_end(self) -> float | None:
        """When the next window with a message ends; None if no message waits."""
        while self._ends and not self._counts(*self._ends[0]):
            heapq.heappop(self._ends)
        return self._ends[0][0] if self._ends else None

    def due(self, now: float, most: int) -> dict[Key, FoldingWindow]:
        """Return windows with a message that have ended, at most `most`, the first ones first.

        They stay due until they are settled or postponed: an outage meanwhile loses no message.
        """
        found: dict[Key, FoldingWindow] = {}
        while len(found) < most and (end := self.next_end()) is not None and end <= now:
            _, key = heapq.heappop(self._ends)
            found[key] = self._open[key]
        for key, window in found.items():
            heapq.heappush(self._ends, (window.until, key))
        return found

    def settle(self, key: Key, until: float) -> None:
        """The window's message is handled; those that come before `until` wait for it."""
        window = self._open[key]
        window.pending, window.looks, window.until = None, 0, until
        heapq.heappush(self._idle, (until, key))

    def postpone(self, key: Key, until: float) -> None:
        """Handle the window's message then."""
        self._open[key].until = until
        heapq.heappush(self._ends, (until, key))

    def end_all(self) -> None:
        """Let each window end now."""
        for key in [key for key, window in self._open.items() if window.pending is not None]:
            self.postpone(key, 0.0)

    def drop_idle(self, now: float) -> None:
        """Forget the windows that have ended without another message."""
        while self._idle and self._idle[0][0] <= now:
            until, key = heapq.heappop(self._idle)
            window = self._open.get(key)
            if window and window.pending is None and window.until == until:
                del self._open[key]

    def __len__(self) -> int:
        return len(self._open)

    def _counts(self, until: float, key: Key) -> bool:
        window = self._open.get(key)
        return window is not None and window.pending is not None and window.until == until


def _later(pending: Message | None, new: Message) -> Message:
    """Fold two messages into one: a replayed older world time must not replace a later one."""
    was, now = pending.world_time if pending else None, new.world_time
    return pending if pending is not None and was and now and now < was else new
