"""Catching up with world times whose messages were missed.

Each campaign's world time is compared with the last one processed, a few hundred campaigns per poll; those that differ
are processed, a few per second. A main API that publishes no world time is polled for its clocks (clock_poll.py).
"""

import time
from collections.abc import Callable
from datetime import datetime
from itertools import islice
from typing import Final, NamedTuple

import structlog
from django.conf import settings

from jobs import counters
from jobs.clock_poll import ClockPoll
from jobs.errors import JobError, TooLarge
from jobs.main_api.client import MainApi
from jobs.main_api.model import Campaign
from jobs.models import CampaignClock
from jobs.schedules import clocks
from jobs.world.clock import WorldTime

log = structlog.get_logger(__name__)
EVERY: Final = 180.0  # seconds
RETRY_AFTER: Final = 5.0  # seconds
COMPARED: Final = 500  # campaigns per poll
AT_ONCE: Final = 20  # campaigns that are behind; after these,
EACH: Final = 0.05  # seconds between campaigns, a load that the main API can take beside its own work
MESSAGE_LAG: Final = 1.0  # seconds that a message may come later than a poll that has found the same


class _Listed(NamedTuple):
    """A campaign of a list whose read began then."""

    campaign: Campaign
    began: datetime


class CatchUp:
    """Calls `process` with each campaign that is behind, and its world time.

    `process` returns False if a message announced the move.
    """

    def __init__(self, api: MainApi, process: Callable[[str, WorldTime], bool]) -> None:
        self._api = api
        self._process = process
        self._at = 0.0
        self._clocks = ClockPoll(settings.WORLD_TIME_POLL.total_seconds())
        self._found: dict[str, _Listed] = {}  # a poll has seen their clocks move; compared at `_compare_at`
        self._compare_at = 0.0
        self._polled: set[str] = set()  # those of them that are compared or processed
        self._to_compare: dict[str, _Listed] = {}
        self._behind: dict[str, WorldTime] = {}
        self._next_behind_at = 0.0

    @property
    def is_running(self) -> bool:
        """Whether campaigns are left to compare or to process."""
        return bool(self._found or self._to_compare or self._behind)

    @property
    def continues_at(self) -> float | None:
        """When the next poll has work, by the monotonic clock; None while nothing is left."""
        if self._to_compare:
            return 0.0
        moments = [self._compare_at] if self._found else []
        return min([*moments, self._next_behind_at] if self._behind else moments, default=None)

    def request(self) -> None:
        """Have the next poll read every campaign's world time: messages may have been missed."""
        self._at = 0.0

    def forget(self) -> None:
        """Leave what is left to another listener."""
        self._found, self._to_compare, self._behind = {}, {}, {}

    def drop_older(self, campaign_id: str, received: WorldTime) -> None:
        """Drop the campaign if this message's world time is the same or later."""
        listed = self._found.get(campaign_id) or self._to_compare.get(campaign_id)
        read = _reading_of(listed.campaign) if listed else self._behind.get(campaign_id)
        if read and read <= received:
            for left in (self._found, self._to_compare, self._behind):
                left.pop(campaign_id, None)
            self._polled.discard(campaign_id)

    def poll(self) -> None:
        """Read the clocks if it is time; then compare or process some campaigns."""
        if time.monotonic() >= self._at:
            self.begin()
        elif self._clocks.is_due(time.monotonic()):
            self._poll_clocks()
        if self._found and time.monotonic() >= self._compare_at:
            self._to_compare |= self._found
            self._polled |= self._found.keys()
            self._found = {}
        if self._to_compare:
            self._compare()
        if not self._to_compare:
            self._process_some()

    def begin(self) -> None:
        """Read every campaign's world time."""
        began, read_began = time.monotonic(), clocks.begin_read()
        self._at = began + EVERY
        try:
            campaigns = self._api.campaigns(fresh=True)
        except JobError as error:
            again_s = EVERY if isinstance(error, TooLarge) else RETRY_AFTER  # the list costs the main API a second
            self._at = time.monotonic() + again_s
            counters.add("listener_catch_ups", "failed")
            log.warning("listener.catch_up_failed", error=str(error), retry_in_s=again_s)
            return
        self._to_compare = {campaign.id: _Listed(campaign, read_began) for campaign in campaigns}
        self._clocks.read(campaigns, time.monotonic(), took_s=time.monotonic() - began)
        self._found.clear()
        self._polled.clear()
        self._next_behind_at = time.monotonic() - AT_ONCE * EACH

    def _poll_clocks(self) -> None:
        """Find the clocks that have moved since they were last read."""
        began, read_began = time.monotonic(), clocks.begin_read()
        try:
            campaigns = self._api.campaigns(fresh=True)
        except JobError as error:
            self._clocks.postpone(time.monotonic())
            log.debug("listener.poll_failed", error=str(error))
            return
        now = time.monotonic()  # a slow answer must leave time for messages
        moved = self._clocks.read(campaigns, now, took_s=now - began)
        if not self._found:
            self._compare_at = now + MESSAGE_LAG
        self._found |= {campaign_id: _Listed(campaign, read_began) for campaign_id, campaign in moved.items()}

    def _compare(self) -> None:
        some = list(islice(self._to_compare.values(), COMPARED))
        known: dict[str, CampaignClock] = {}
        for began in {listed.began for listed in some}:
            known |= clocks.remember_all([listed.campaign for listed in some if listed.began == began], began)
        for campaign, _ in some:
            reading = self._reading_behind(campaign, known[campaign.id])
            if reading is not None:
                self._behind[campaign.id] = reading
            else:
                self._polled.discard(campaign.id)
            del self._to_compare[campaign.id]
        if not self._to_compare:
            counters.add("listener_catch_ups", "done")
            log.info("listener.clocks_compared", behind=len(self._behind))

    def _process_some(self) -> None:
        """Process a few campaigns. Each stays listed until it is done, so that a database outage loses nothing."""
        now = time.monotonic()
        self._next_behind_at = max(self._next_behind_at, now - AT_ONCE * EACH)
        while self._behind and self._next_behind_at <= now:
            campaign_id, reading = next(iter(self._behind.items()))
            if self._process(campaign_id, reading) and campaign_id in self._polled:
                counters.add("listener_polled_advances")
                self._clocks.hasten(now)
            self._polled.discard(campaign_id)
            del self._behind[campaign_id]
            self._next_behind_at += EACH

    def _reading_behind(self, campaign: Campaign, clock: CampaignClock) -> WorldTime | None:
        """The world time to catch up with, if any."""
        reading = world_time_of(campaign)
        return None if reading is None or reading.isoformat() == clock.processed_world_time else reading


def world_time_of(campaign: Campaign) -> WorldTime | None:
    """The world time of an active campaign, if it has one; a malformed one is logged and ignored."""
    if not campaign.is_active or not campaign.current_world_time:
        return None
    try:
        return WorldTime.parse(campaign.current_world_time)
    except ValueError as error:
        counters.add("unusable_texts", "currentWorldTime")
        log.warning("listener.clock_rejected", campaign_id=campaign.id, error=str(error)[:300])
        return None


def _reading_of(campaign: Campaign) -> WorldTime | None:
    try:
        return WorldTime.parse(campaign.current_world_time or "")
    except ValueError:
        return None
