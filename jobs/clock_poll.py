"""When to ask for the campaigns' world clocks, and which of them have moved.

A main API that publishes no world time is asked every few seconds: one request for all campaigns, less often while
nothing moves, and not at all while no campaign is active.
"""

from collections.abc import Iterable
from typing import Final

from jobs.main_api.model import Campaign

MOST_INTERVALS: Final = 12  #: the longest pause between two polls, in intervals


class ClockPoll:
    """Times are seconds of one monotonic clock."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._wait_s = every_s
        self._next_at: float | None = None  #: None: not before the clocks have been read otherwise
        self._seen: dict[str, str | None] = {}

    def is_due(self, now: float) -> bool:
        return bool(self._every_s) and self._next_at is not None and now >= self._next_at

    def read(self, campaigns: Iterable[Campaign], now: float) -> dict[str, Campaign]:
        """Note the clocks as they are now. Returns the campaigns whose clocks have moved since the last time."""
        found = {campaign.id: campaign for campaign in campaigns if campaign.is_active and campaign.current_world_time}
        moved = {i: one for i, one in found.items() if self._seen.get(i) != one.current_world_time}
        self._seen = {i: one.current_world_time for i, one in found.items()}
        self._wait_s = self._every_s if moved else min(2 * self._wait_s, MOST_INTERVALS * self._every_s)
        self._next_at = now + self._wait_s if found else None
        return moved

    def postpone(self, now: float) -> None:
        """The clocks could not be read."""
        self._wait_s = min(2 * self._wait_s, MOST_INTERVALS * self._every_s)
        self._next_at = now + self._wait_s
