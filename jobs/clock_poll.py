"""When to ask for the campaigns' world clocks, and which of them have moved.

A main API that publishes no world time is asked every few seconds: one request for all campaigns, less often while
that finds nothing that a message has not announced, and not at all while no campaign is active. So a main API that does
publish world time is asked once a minute, however many campaigns move.
"""

from collections.abc import Iterable
from typing import Final

from jobs.main_api.model import Campaign

MOST_INTERVALS: Final = 12  #: the longest pause between two polls, in intervals
SHARE: Final = 0.05  #: of the time that answers may take: the list of 10,000 campaigns costs the main API a second


class ClockPoll:
    """Times are seconds of one monotonic clock."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._wait_s = every_s
        self._least_s = 0.0
        self._next_at: float | None = None  #: None: not before the clocks have been read otherwise
        self._seen: dict[str, str | None] = {}

    def is_due(self, now: float) -> bool:
        return bool(self._every_s) and self._next_at is not None and now >= self._next_at

    def read(self, campaigns: Iterable[Campaign], now: float, *, took_s: float = 0.0) -> dict[str, Campaign]:
        """Note the clocks as they are now. Returns the campaigns whose clocks have moved since the last time.

        `took_s`: how long the answer took.
        """
        found = {campaign.id: campaign for campaign in campaigns if campaign.is_active and campaign.current_world_time}
        moved = {i: one for i, one in found.items() if self._seen.get(i) != one.current_world_time}
        self._seen = {i: one.current_world_time for i, one in found.items()}
        self._least_s = took_s / SHARE
        if found:
            self.postpone(now)
        else:
            self._next_at = None
        return moved

    def hasten(self, now: float) -> None:
        """A clock has moved, and no message announced it: poll again soon."""
        self._wait_s = self._every_s
        if self._next_at is not None:
            self._next_at = min(self._next_at, now + max(self._every_s, self._least_s))

    def postpone(self, now: float) -> None:
        """Poll less often: the clocks could not be read, or tell nothing new."""
        self._wait_s = min(2 * self._wait_s, MOST_INTERVALS * self._every_s)
        self._next_at = now + max(self._wait_s, self._least_s)
