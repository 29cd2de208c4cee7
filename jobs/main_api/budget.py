"""Permits within the main API's limits, for all processes together; kept in Redis by budget.lua.

Without a limit nothing is asked of Redis but, once a second, whether there is one. With one, a request takes a permit
before it is sent and gives it back after; a permit that is not given back, because its process was killed, expires.
Those who wait are served by campaign in turn, so that one with a thousand jobs does not delay another's only one.

While Redis is away, each process keeps to its share: the limits divided by the last known number of processes.
"""

import itertools
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import structlog
from redis import Redis, RedisError
from redis.exceptions import ResponseError

from jobs.main_api import limits as published
from jobs.main_api.limits import Limits

log = structlog.get_logger(__name__)
VIEW_S: Final = 1.0  #: maximum age of this process's view of the limits
RETRY_S: Final = 1.0  #: between two tries while Redis is away
TIMEOUT_S: Final = 1.0  #: for an answer of Redis; a slower one is taken to be away
SLACK: Final = timedelta(seconds=5)  #: by which a permit outlives its request's timeout
URGENT: Final = "!"  #: the lane of requests that go first
IN_FLIGHT: Final = "scheduler:budget:in_flight"  # sorted set: permits by their expiry
GRANTED: Final = "scheduler:budget:granted"  # list: the times of the latest permits
PROCESSES: Final = "scheduler:budget:processes"  # sorted set: processes by when they last asked
TURNS: Final = "scheduler:budget:turns"  # list: the lanes in which somebody waits
WAITING: Final = "scheduler:budget:waiting:{}"  # list: the tickets in a lane
MAILBOX: Final = "scheduler:budget:mailbox:{}"  # list: permits for a process that waits
HELD_UNTIL: Final = "scheduler:budget:held"  # expires when Retry-After is over
SCRIPT: Final = Path(__file__).with_name("budget.lua")
_SLICE_S: Final = 0.1  #: how often a thread that waits looks whether it must stop
_SHARE_SLICE_S: Final = 0.02  #: the same, for its share while Redis is away
_LISTEN_S: Final = 0.5  #: for how long Redis is listened to at a time
_PRECISE_S: Final = 0.1  #: shorter waits are slept: Redis ends a blocking command up to 100 ms late


class Budget:
    """One process's permits; thread-safe."""

    def __init__(self, connection: Redis, *, timeout: timedelta, clock: Callable[[], float] = time.monotonic) -> None:
        self.process = uuid4().hex[:16]
        self.processes = 1  #: that ask for permits, as last known
        self.connection = connection
        self._script = connection.register_script(SCRIPT.read_text())
        self._lease_us = int((timeout + SLACK) / timedelta(microseconds=1))
        self._clock = clock
        self._limits = Limits()
        self._held_until = 0.0
        self._seen_at = float("-inf")
        self.open_until = float("-inf")  #: by `clock`: until then there is no limit, and nobody has to wait
        self._away_until = float("-inf")
        self._is_away = False
        self._outages = 0  #: that are over: Redis may have lost who waits
        self._numbers = itertools.count()
        self._looking = threading.Lock()
        self._lock = threading.Lock()
        self._waiting: dict[str, threading.Event] = {}
        self._held: set[str] = set()
        self._listens = False
        self._sent_at = float("-inf")  #: when the last permit of our share was given

    def limits(self) -> Limits:
        """The limits, at most VIEW_S old; the last known ones while Redis is away or has lost them."""
        if self._clock() - self._seen_at >= VIEW_S:
            is_first = self._seen_at < 0
            if self._looking.acquire(blocking=is_first):  # a second thread uses the view of before, if there is one
                try:
                    self._look()
                finally:
                    self._looking.release()
        return self._limits

    def held_until(self) -> float:
        """Until when, by this process's clock, the main API has asked any process to send nothing."""
        self.limits()
        return self._held_until

    def acquire(self, lane: str, job_id: str, *, until: float, must_stop: Callable[[], bool]) -> str | None:
        """Take a permit, and wait for it until `until`. Returns its ticket, empty without a limit; None if too late."""
        while self.limits().exist:
            ticket, granted = f"{self.process}:{next(self._numbers)}:{job_id}", threading.Event()
            with self._lock:
                self._waiting[ticket] = granted
            outages = self._outages
            self._run("acquire", lane, ticket)
            while not granted.is_set() and self._clock() < until and not must_stop() and outages == self._outages:
                if not (self._is_away and self._take_share(ticket)):
                    self._listen_in_background()
                    granted.wait(_SHARE_SLICE_S if self._is_away else _SLICE_S)
            if granted.is_set() or self._cancel(lane, ticket):
                return ticket
            if outages == self._outages:
                return None
        return ""

    def release(self, ticket: str) -> None:
        with self._lock:
            self._held.discard(ticket)
        self._run("release", ticket)

    def renew(self, ticket: str) -> None:
        """Let the permit expire later."""
        self._run("hold", ticket)

    def hold_all(self, seconds: float) -> None:
        """Let no process send anything for a while."""
        try:
            self.connection.set(HELD_UNTIL, "1", px=max(1, int(seconds * 1000)))
        except RedisError as error:
            self._note_away(error)

    def share(self) -> tuple[int | None, float | None]:
        """This process's part of the limits: requests in flight, and per second."""
        most, per_second = self._limits
        return most and max(1, most // self.processes), per_second and per_second / self.processes

    def _look(self) -> None:
        now = self._clock()
        if now - self._seen_at < VIEW_S:
            return
        try:
            with self.connection.pipeline(transaction=False) as pipeline:
                pipeline.hgetall(published.KEY)
                pipeline.pttl(HELD_UNTIL)
                found, held_ms = pipeline.execute()
        except RedisError as error:
            self._note_away(error)
            return
        finally:
            self._seen_at = now
        self._limits = published.decode(found) or self._limits
        self._held_until = now + held_ms / 1000 if held_ms > 0 else 0.0
        self.open_until = float("-inf") if self._limits.exist or self._held_until else now + VIEW_S

    def _run(self, action: str, *arguments: str) -> int | None:
        """Run the script and hand out what it grants.

        Returns the µs until a permit may be free, -1 if only the end of a request frees one; None if Redis is away.
        """
        if self._clock() < self._away_until:
            return None
        limits = ["" if n is None else n for n in self._limits]
        try:
            answer = self._script(args=[action, self.process, self._lease_us, *limits, *arguments])
            if self._is_away:
                self._come_back()
        except RedisError as error:
            self._note_away(error)
            if isinstance(error, ResponseError) and ("WRONGTYPE" in str(error) or "attempt to" in str(error)):
                self._reset(arguments)
            return None
        tickets, wait, processes = answer
        self.processes = max(1, processes)
        for ticket in tickets:
            self._hand_out(ticket.decode())
        return int(wait)

    def _hand_out(self, ticket: str) -> None:
        with self._lock:
            waiter = self._waiting.pop(ticket, None)
            if waiter:
                self._held.add(ticket)
                waiter.set()
        if not waiter:  # it was given up
            self._run("release", ticket)

    def _cancel(self, lane: str, ticket: str) -> bool:
        """Stop waiting. Returns whether the permit was granted at the last moment."""
        with self._lock:
            was_waiting = self._waiting.pop(ticket, None) is not None
        if was_waiting:
            self._run("cancel", lane, ticket)
        return not was_waiting

    def _take_share(self, ticket: str) -> bool:
        most, per_second = self.share()
        with self._lock:
            now = self._clock()
            if most and len(self._held) >= most:
                return False
            if per_second and now - self._sent_at < 1 / per_second:
                return False
            waiter = self._waiting.pop(ticket, None)
            if waiter:
                self._sent_at = now
                self._held.add(ticket)
                waiter.set()
        return True

    def _listen_in_background(self) -> None:
        with self._lock:
            if self._listens:
                return
            self._listens = True
        threading.Thread(target=self._listen, name="permits", daemon=True).start()

    def _listen(self) -> None:
        """Hand out permits for as long as somebody in this process waits."""
        while True:
            with self._lock:
                if not self._waiting:
                    self._listens = False
                    return
            wait_us = self._run("poll")
            if wait_us is None:
                time.sleep(_SLICE_S)
            elif 0 <= wait_us < _PRECISE_S * 1_000_000:
                time.sleep(max(0.001, wait_us / 1_000_000))
            else:
                self._listen_once()

    def _listen_once(self) -> None:
        try:
            found: Any = self.connection.blpop([MAILBOX.format(self.process)], timeout=_LISTEN_S)
        except RedisError as error:
            self._note_away(error)
            return
        if found:
            self._hand_out(found[1].decode())

    def _note_away(self, error: RedisError) -> None:
        self._away_until = self._clock() + RETRY_S
        if not self._is_away:
            self._is_away = True
            if self._limits.exist:
                most, per_second = self.share()
                log.warning(
                    "budget.redis_unreachable",
                    error=str(error),
                    in_flight=most,
                    per_second=per_second,
                    next="this process keeps to its share of the main API's limits",
                )

    def _come_back(self) -> None:
        """Have Redis count the permits that were given without it. Raises redis.RedisError."""
        with self._lock:
            held = list(self._held)
        if held:
            self._script(args=["hold", self.process, self._lease_us, "", "", *held])
        self._is_away = False
        self._outages += 1

    def _reset(self, arguments: tuple[str, ...]) -> None:
        """Delete keys that the script cannot read; permits and turns are given anew."""
        lane = arguments[0] if len(arguments) > 1 else URGENT
        odd = [IN_FLIGHT, GRANTED, PROCESSES, TURNS, WAITING.format(lane), MAILBOX.format(self.process)]
        log.error("budget.reset", keys=odd, next="permits are given anew")
        try:
            self.connection.delete(*odd)
        except RedisError as error:
            self._note_away(error)
