"""The gate that every request to the main API passes: its limits for all processes, and this process's own window.

It protects the main API before the circuit breaker has to. The budget (budget.py) holds back requests that exceed the
limits set by an operator, the window (window.py) those for which a slow main API has no capacity, and a 429 with
Retry-After holds back all of them until that time. Waiting costs a job nothing: if there is no room in time, NoPermit
ends the attempt, which is retried and not counted.

Requests that belong to no job (health checks, pages, the listener) and the breaker's probe count as all others, and go
first: they are few.
"""

import time
from collections.abc import Callable, Hashable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import structlog
from redis import RedisError

from jobs.errors import NoPermit
from jobs.main_api import calls, traffic
from jobs.main_api.budget import URGENT, Budget
from jobs.main_api.room import Room

log = structlog.get_logger(__name__)
CONNECTIONS: Final = 10  #: requests in flight, of one process
WAIT_FOR_ROOM_S: Final = 20.0  #: at most; then the attempt ends
BACK_IN_S: Final = 5.0  #: after that, before the next
LONGEST_CLOSED_S: Final = 60.0  #: for which a Retry-After stops all requests; its own job waits as long as it says
_NO_WAIT_S: Final = 0.005  #: what entering takes without waiting, at most
_RENEW_EVERY_S: Final = 2.0  #: a permit whose request waits for the window


class Waited(NamedTuple):
    """A request that had to wait, as the gate's observers get it."""

    seconds: float
    got_in: bool


class Admitted(NamedTuple):
    """A request that was let in."""

    ticket: str  #: of its permit; empty without a limit
    began: float  #: by time.monotonic
    in_flight: int  #: of this process, itself included
    has_waited: bool


class Gate:
    """One process's way to the main API; thread-safe. Whoever enters must leave."""

    def __init__(self, budget: Budget, *, most: int = CONNECTIONS) -> None:
        self.budget = budget
        self.room = Room(most)
        self.must_stop: Callable[[], bool] = lambda: False  #: whether waits end, because the process is to stop
        self.wait_observers: list[Callable[[Waited], None]] = []
        self.halving_observers: list[Callable[[str], None]] = []  #: called with the cause

    def enter(self, *, timeout_s: float, urgent: bool = False) -> Admitted:
        """Wait for room, fairly between campaigns, for a request that may take `timeout_s`. Raises NoPermit."""
        asked = time.monotonic()
        if asked < self.budget.open_until and (in_flight := self.room.enter_at_once(asked)):
            return Admitted("", asked, in_flight, False)
        attempt = calls.current()
        if attempt is None:
            lane, job_id, until = URGENT, "", asked + min(WAIT_FOR_ROOM_S, timeout_s)
        else:
            lane, job_id = URGENT if urgent else f":{attempt.campaign_id}", attempt.job_id
            until = min(asked + WAIT_FOR_ROOM_S, max(attempt.deadline - timeout_s, (asked + attempt.deadline) / 2))
        ticket, in_flight = self._enter(lane, job_id, until)
        began = time.monotonic()
        has_waited = began - asked > _NO_WAIT_S
        if has_waited or not in_flight:
            self._notify_wait(Waited(began - asked, got_in=bool(in_flight)))
        if not in_flight:
            raise self._refusal(began - asked)
        return Admitted(ticket or "", began, in_flight, has_waited)

    def leave(self, entry: Admitted) -> int:
        """Return how many requests of this process were in flight when this one began or ended, whichever were more."""
        in_flight = max(self.room.leave(), entry.in_flight)
        if entry.ticket:
            self.budget.release(entry.ticket)
        return in_flight

    def note_answer(self, entry: Admitted, kind: Hashable, seconds: float, *, in_flight: int) -> None:
        """Learn how long the main API took for an answer without errors, or took without one."""
        if self.room.note_answer(kind, seconds, in_flight=in_flight, began=entry.began):
            self._note_halving("latency")

    def note_refusal(self, entry: Admitted, status: int, retry_after: timedelta | None) -> None:
        """The main API answered 413 or 429."""
        if self.room.note_refusal(began=entry.began):
            self._note_halving(str(status))
        if status == 429 and retry_after:
            seconds = min(retry_after.total_seconds(), LONGEST_CLOSED_S)
            self.room.close_until(time.monotonic() + seconds)
            self.budget.hold_all(seconds)
            log.warning("main_api.told_to_wait", seconds=seconds, next="no process sends anything until then")

    def _enter(self, lane: str, job_id: str, until: float) -> tuple[str | None, int]:
        """Take a permit and a place in the room: the ticket, and how many are in flight; 0 if it was too late."""
        if (held_until := self.budget.held_until()) > self.room.closed_until:
            self.room.close_until(held_until)
        ticket = self.budget.acquire(lane, job_id, until=until, must_stop=self.must_stop)
        if ticket is None:
            return None, 0
        in_flight, renew = 0, self._renewer(ticket) if ticket else None
        try:
            in_flight = self.room.enter(lane, until=until, must_stop=self.must_stop, meanwhile=renew)
        finally:
            if ticket and not in_flight:
                self.budget.release(ticket)
        return ticket, in_flight

    def _renewer(self, ticket: str) -> Callable[[], None]:
        renewed_at = time.monotonic()

        def renew() -> None:
            nonlocal renewed_at
            if time.monotonic() - renewed_at >= _RENEW_EVERY_S:
                renewed_at = time.monotonic()
                self.budget.renew(ticket)

        return renew

    def _refusal(self, waited_s: float) -> NoPermit:
        closed_s = self.room.closed_until - time.monotonic()
        if self.must_stop():
            why, wait_s = "main API: not sent, because this process is to stop", 0.0
        elif closed_s > 0:
            why, wait_s = f"main API: it asked to send nothing for {closed_s:.0f} s (HTTP 429)", closed_s
        else:
            limits, wait_s = self.budget.limits(), BACK_IN_S
            of = f"its limit is {limits}" if limits.exist else f"{self.room.size()} requests in flight are the most now"
            why = f"main API: no room within {waited_s:.0f} s: {of}"
        return NoPermit(why, datetime.now(UTC) + timedelta(seconds=wait_s))

    def _notify_wait(self, wait: Waited) -> None:
        for observer in self.wait_observers:
            observer(wait)

    def _note_halving(self, cause: str) -> None:
        size, most = self.room.size(), self.room.most
        log.warning("main_api.concurrency_halved", cause=cause, in_flight=size, of=most, next="it grows by 1 a second")
        try:
            traffic.report(self.budget.process, size, most, cause, self.budget.connection)
        except RedisError as error:
            log.debug("main_api.halving_not_reported", error=str(error), next="pages do not show it")
        for observer in self.halving_observers:
            observer(cause)
