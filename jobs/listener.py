"""The pub/sub listener: reacts to world time advances and entity changes that the main API publishes.

worldTimeAdvanced: a campaign's first message is handled at once; those within WINDOW after it are folded into one
trailing run at the end of the window, so that the last advance of a burst is never lost. A message is a hint: anybody
who can write to Redis may send one. The world time that counts is read from the main API, for up to fifty campaigns in
one request; a message that is ahead of it is looked into again. entityModified is folded in the same way. At start,
after a reconnect and every few minutes, between messages, the listener catches up with those that it has missed
(catch_up.py).
"""

import time
from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import Any, Final
from uuid import uuid4

import structlog
from django.conf import settings
from redis import Redis, RedisError
from redis.client import PubSub

from jobs import actor as actors
from jobs import counters, service
from jobs.calendar_poll import CalendarPoll
from jobs.catch_up import CatchUp, world_time_of
from jobs.errors import InvalidJob, JobError
from jobs.main_api.client import MainApi
from jobs.main_api.folding import FoldingWindow, Key, Windows
from jobs.main_api.heard import Notes
from jobs.main_api.messages import (
    PATTERNS,
    WORLD_TIME_ADVANCED,
    Malformed,
    Message,
    account_of,
    kind_of,
    read_message,
)
from jobs.main_api.model import Campaign
from jobs.main_api.reading import READ_BATCH
from jobs.models import AdvanceSource, CampaignClock
from jobs.processes.heartbeat import Heartbeat
from jobs.processes.lease import DURATION, Lease
from jobs.registry import types_on_entity
from jobs.schedules import clocks, store
from jobs.schedules.advances import react
from jobs.world.clock import WorldTime
from scheduler_project import text

log = structlog.get_logger(__name__)
WINDOW: Final = 5.0  # seconds
MOST_LOOKS: Final = 3  #: for a world time that was announced; the poll and catching up may still find it


class Listener:
    """The listener process; one instance is active. `poll` waits for a message for at most a second."""

    def __init__(self, connection: Redis, api: MainApi) -> None:
        self._connection = connection
        self._api = api
        self._account = account_of(settings.API_SERVICE_ACCOUNT_TOKEN)
        self._heartbeat = Heartbeat("listener", uuid4().hex, connection)
        self._lease = Lease("listener", connection)
        self._renewed_at = 0.0
        self._pubsub: PubSub | None = None
        self._notes = Notes(connection)
        self._windows = Windows()
        self._unread: dict[str, Any] | None = None  # kept until it is received, should the database be away meanwhile
        self.catch_up = CatchUp(api, self.catch_up_with)
        self._calendars = CalendarPoll(api)

    def poll(self) -> float:
        """Receive and handle messages. Returns the seconds until the next poll.

        Raises StopRequested, redis.RedisError and database errors.
        """
        if not self._lead():
            self.handle_all()  # the new leader has not received them
            self._unsubscribe()
            return DURATION.total_seconds() / 4
        try:
            pubsub = self._pubsub or self._subscribe()
            if self._unread is None:
                self._unread = pubsub.get_message(ignore_subscribe_messages=True, timeout=self._timeout())
            if self._unread is not None:
                self.receive(self._unread)
                self._unread = None
        except RedisError:
            self._unsubscribe()
            raise
        self._close_windows()
        self.catch_up.poll()
        if not self.catch_up.is_running:
            self._calendars.poll()
        return 0.0

    @property
    def is_waiting(self) -> bool:
        """Whether a message waits for the end of its window."""
        return self._windows.next_end() is not None

    def close(self) -> None:
        """Handle folded messages and release the lease."""
        self.handle_all()
        self._unsubscribe()
        self._lease.release()
        self._heartbeat.leave()

    def _lead(self) -> bool:
        if self._pubsub and time.monotonic() - self._renewed_at < DURATION.total_seconds() / 4:
            return True
        held = self._lease.hold()
        self._renewed_at = time.monotonic()
        self._heartbeat.beat_or_stop("active" if held else "standby")
        return held

    def _subscribe(self) -> PubSub:
        self._pubsub = self._connection.pubsub()
        self._pubsub.psubscribe(*PATTERNS)
        self.catch_up.request()
        counters.add("listener_subscriptions")
        log.info("listener.subscribed", patterns=PATTERNS)
        return self._pubsub

    def _unsubscribe(self) -> None:
        self.catch_up.forget()
        if self._pubsub:
            pubsub, self._pubsub = self._pubsub, None
            pubsub.close()

    def _timeout(self) -> float:
        ends = [at for at in (self._windows.next_end(), self.catch_up.continues_at) if at is not None]
        return max(0.001, min([1.0, *(end - time.monotonic() for end in ends)]))

    def receive(self, received: dict[str, Any]) -> None:
        """Add a message to its window."""
        channel, data = received["channel"], received["data"]
        counters.add("listener_messages", kind_of(channel))
        try:
            message = read_message(channel, data)
        except Malformed as error:
            counters.add("unusable_texts", "message")
            log.warning(
                "listener.message_rejected", channel=repr(channel)[:300], error=str(error), data=repr(data[:200])
            )
            return
        self._notes.note(channel)
        kind = message.kind
        if message.world_time:
            self.catch_up.drop_older(message.campaign_id, message.world_time)
        else:
            if not self._concerns_us(message) or not types_on_entity(message.entity_type):
                return
            message = message._replace(campaign_id=message.campaign_id or store.campaign_of(message.entity_id))
            if not message.campaign_id:
                return
            kind = f"entityModified.{message.entity_type}"
        self._windows.add(Key(message.campaign_id, kind), message)

    def _concerns_us(self, message: Message) -> bool:
        """Drop the cached copy of a changed entity. Returns False for the echo of our own update."""
        if message.modified_by and message.modified_by == self._account:
            counters.add("listener_echoes")
            return False
        if message.version and message.entity_type in ("Settlement", "Structure"):
            self._api.versions.note({message.entity_id: message.version})
        if message.entity_type in ("Event", "Encounter"):
            self._api.cache.drop_effects_of(message.entity_id)
        if message.campaign_id and not CampaignClock.objects.filter(campaign_id=message.campaign_id).exists():
            self._api.cache.drop_campaigns()
        return True

    def _close_windows(self, most: int = READ_BATCH) -> None:
        """Handle windows that are due. A message stays pending until then, so that a database outage loses nothing."""
        now = time.monotonic()
        self._windows.drop_idle(now)
        advances: dict[Key, FoldingWindow] = {}
        for key, window in self._windows.due(now, most).items():
            if window.pending and window.pending.world_time:
                advances[key] = window
            elif window.pending:
                self._handle(window.pending)
                self._windows.settle(key, time.monotonic() + WINDOW)
        if advances:
            self._look_at_clocks(dict(islice(advances.items(), READ_BATCH)))  # the next poll looks at the others

    def _look_at_clocks(self, windows: Mapping[Key, FoldingWindow]) -> None:
        """Read the world times that are said to have moved."""
        began = clocks.begin_read()
        read = self._api.campaigns_by_id([key.campaign_id for key in windows])
        for key, window in windows.items():
            campaign = read[key.campaign_id]
            if isinstance(campaign, JobError):
                error = str(campaign)
                log.warning("listener.clock_unread", campaign_id=key.campaign_id, error=error, retry_in_s=WINDOW)
            elif self._is_settled(campaign, window, began):
                self._windows.settle(key, time.monotonic() + WINDOW)
                continue
            self._windows.postpone(key, time.monotonic() + WINDOW)

    def _is_settled(self, campaign: Campaign | None, window: FoldingWindow, began: datetime) -> bool:
        """React to the campaign's world time, whose read began then.

        Returns whether nothing later is to be expected of the message.
        """
        if campaign is None:
            return True
        reading, said = world_time_of(campaign), window.pending.world_time if window.pending else None
        if reading is None:
            clocks.remember_all([campaign], began)  # a missing world time is believed by recalculations only
            return True
        clocks.remember(campaign, began)
        self._advance(campaign.id, reading)
        window.looks += 1
        return said is None or said <= reading or window.looks >= MOST_LOOKS

    def handle_all(self) -> None:
        """Handle folded messages now, before their windows end."""
        self._windows.end_all()
        self._close_windows(len(self._windows))

    def _handle(self, message: Message) -> None:
        what = f"{text.line(message.operation, 20)} {text.line(message.entity_id, text.LONGEST_ID)}"
        kind = f"{message.kind}.{message.entity_type}"
        self._submit(
            message.campaign_id,
            types_on_entity(message.entity_type),
            subject=f"{what} {time.time():.3f}",
            reason=f"{kind} {what}",
        )

    def _advance(self, campaign_id: str, reading: WorldTime, *, source: AdvanceSource = AdvanceSource.MESSAGE) -> bool:
        """React to the world time that the main API has, unless it was processed: a replayed message changes nothing.

        Any other counts: after a restore from a backup, world time has moved backwards. But a reading may also be older
        than what a job has done since, so such a clock is read again. What cannot be read is found by catching up.
        Returns whether it was new.
        """
        clock, _ = CampaignClock.objects.get_or_create(campaign_id=campaign_id)
        processed = clock.processed_world_time
        try:
            if processed and reading < WorldTime.parse(processed):
                reading = self._read_again(campaign_id, reading)
            return react(campaign_id, reading, source=source, actor=actors.LISTENER) is not None
        except InvalidJob as refused:
            log.warning("listener.submission_rejected", error=str(refused))
        except JobError as error:
            log.warning("listener.clock_unread", campaign_id=campaign_id, error=str(error))
        return False

    def _read_again(self, campaign_id: str, reading: WorldTime) -> WorldTime:
        campaign = self._api.campaign(campaign_id)
        return (world_time_of(campaign) if campaign else None) or reading

    def catch_up_with(self, campaign_id: str, reading: WorldTime) -> bool:
        """Skip a campaign with a pending message: its clock is read at the end of that window anyway.

        Returns whether its world time was new: no message announced it.
        """
        if self._windows.is_pending(Key(campaign_id, WORLD_TIME_ADVANCED)):
            return False
        return self._advance(campaign_id, reading, source=AdvanceSource.CLOCK)

    def _submit(self, campaign_id: str, types: tuple[str, ...], *, subject: str, reason: str) -> None:
        request_id = uuid4().hex  # shared by all jobs of a message
        submissions = [
            service.Submission(
                type=t, campaign_id=campaign_id, payload={}, subject=f"heard:{subject}", request_id=request_id
            )
            for t in types
        ]
        with structlog.contextvars.bound_contextvars(request_id=request_id, campaign_id=campaign_id):
            try:
                service.submit_many(submissions, actor=actors.LISTENER, reason=reason)
            except InvalidJob as refused:
                log.warning("listener.submission_rejected", error=str(refused))
                return
            log.info("listener.jobs_submitted", reason=reason)
