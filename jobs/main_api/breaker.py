"""The circuit breaker for the main API, shared by all processes through Redis.

CLOSED -> OPEN when at least `threshold` calls ended within WINDOW_S and half of them were faults;
OPEN -> HALF-OPEN after `duration`, for a single probe by one process; success closes it, a fault opens it again.
An operator can force it open or closed for all processes until it is set back to automatic.

pybreaker provides the names of the states. Its `call()` is not used: it holds a lock while the call runs.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from pybreaker import STATE_CLOSED, STATE_HALF_OPEN, STATE_OPEN
from redis import Redis

from jobs.errors import CircuitOpen
from jobs.main_api.recent_calls import WINDOW_S, RecentCalls, RecentError, decode, moment, unless_away
from scheduler_project.logs import mask

log = structlog.get_logger(__name__)
FAULT_SHARE: Final = 0.5
VIEW_S: Final = 0.2  # maximum age of this process's view of the shared state
STATE_KEY: Final = "scheduler:breaker:state"  # JSON {until, openedAt, error}; missing: closed
FORCED_KEY: Final = "scheduler:breaker:forced"  # JSON {state, by, reason, at}; missing: automatic
FORCED_LOOK_S: Final = 300.0  # maximum time before a job checks a breaker that is forced open again
PROBE_KEY: Final = "scheduler:breaker:probe"


@dataclass(frozen=True, slots=True)
class Forced:
    """An operator's override."""

    state: str
    by: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The breaker's state for operators."""

    state: str
    until: datetime | None
    opened_at: datetime | None
    last_error: str
    forced: Forced | None = None


class Breaker:
    """`before_call`, then `record_success`, `record_fault` or `record_unsent`; no lock is held while the call runs.

    Only the probe can close or re-open an open breaker: calls that began before it opened say nothing about now.
    """

    def __init__(
        self,
        connection: Redis,
        *,
        threshold: int,
        duration: timedelta,
        longest_call: timedelta = timedelta(seconds=10),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.listeners: list[Callable[[str, str], None]] = []
        self._connection = connection
        self._threshold = threshold
        self._duration_s = duration.total_seconds()
        self._probe_ms = int((longest_call.total_seconds() + 5) * 1000)  # after that the probing process is dead
        self._clock = clock
        self._lock = threading.Lock()
        self._shared: dict[str, Any] = {}
        self._forced: dict[str, Any] = {}
        self._seen_at = -1.0
        self._calls = RecentCalls(connection, clock)

    def before_call(self) -> bool:
        """Return whether this call is the probe of an open breaker. Raises CircuitOpen if the call must wait."""
        if not self._needs_probe():
            return False
        if not self._win_probe():
            raise CircuitOpen(moment(self._clock() + 1))
        self._seen_at = -1.0  # another process's probe may have ended meanwhile
        if not self._needs_probe():
            self.record_unsent(probe=True)
            return False
        self._notify(STATE_OPEN, STATE_HALF_OPEN)
        return True

    def record_success(self, *, probe: bool) -> None:
        """The main API responded, even if with an error."""
        if probe:
            if self._is_open_by_itself():
                self.close("a probe was answered")
            return
        self._calls.add_success(send=not (self._shared or self._forced))

    def record_fault(self, error: BaseException, *, probe: bool) -> None:
        """The call ended in a transport error or HTTP 5xx."""
        text = mask(str(error))
        if probe:
            self._calls.add_fault(text, send=True)
            self._stay_open(f"probe: {text}")
            return
        is_open = bool(self._shared)
        calls, faults = self._calls.add_fault(text, send=not is_open)
        if is_open or self._forced:
            return
        if calls >= self._threshold and faults >= FAULT_SHARE * calls:
            self._open(f"{faults} of {calls} calls in {WINDOW_S} s failed; last: {text}")

    def record_unsent(self, *, probe: bool) -> None:
        """The call was never sent: it says nothing about the main API, and the next call may be the probe."""
        if probe:
            self._to_redis(lambda r: r.delete(PROBE_KEY))

    def close(self, why: str = "closed by hand") -> None:
        self._shared = {}
        self._calls.forget()
        self._to_redis(lambda r: r.delete(STATE_KEY, PROBE_KEY, *self._calls.keys))
        log.warning("breaker.closed", reason=why)
        self._notify(STATE_OPEN, STATE_CLOSED)

    def snapshot(self) -> Snapshot:
        """Read the current state."""
        self._seen_at = -1.0
        shared = self._view()
        if self._forced:
            forced = Forced(
                self._forced["state"], self._forced["by"], self._forced["reason"], moment(self._forced["at"])
            )
            opened_at = forced.at if forced.state == STATE_OPEN else None
            return Snapshot(forced.state, None, opened_at, forced.reason, forced)
        if not shared:
            return Snapshot(STATE_CLOSED, None, None, "")
        until = float(shared["until"])
        state = STATE_OPEN if self._clock() < until else STATE_HALF_OPEN
        return Snapshot(state, moment(until), moment(float(shared["openedAt"])), str(shared["error"]))

    def force(self, state: str, *, by: str, reason: str) -> None:
        """Force the breaker open or closed for all processes until `release`.

        Raises ValueError for any other state, and redis.RedisError.
        """
        if state not in (STATE_OPEN, STATE_CLOSED):
            raise ValueError(f"{state!r} is none of {STATE_OPEN}, {STATE_CLOSED}")
        was = self.snapshot().state
        forced = {"state": state, "by": by, "reason": reason[:500], "at": self._clock()}
        self._connection.set(FORCED_KEY, json.dumps(forced))
        self._connection.delete(STATE_KEY, PROBE_KEY)
        self._seen_at = -1.0
        log.warning("breaker.forced", state=state, by=by, reason=reason)
        if was != state:
            self._notify(was, state)

    def release(self) -> None:
        """Set the breaker back to automatic, starting closed. Raises redis.RedisError."""
        was = self.snapshot().state
        self._connection.delete(FORCED_KEY, STATE_KEY, PROBE_KEY, *self._calls.keys)
        self._seen_at = -1.0
        log.warning("breaker.released", was=was)
        if was != STATE_CLOSED:
            self._notify(was, STATE_CLOSED)

    def keep(self) -> Callable[[], None]:
        """Return what puts the state back as it is now. Both raise redis.RedisError."""
        kept: Any = self._connection.mget(STATE_KEY, FORCED_KEY)

        def put_back() -> None:
            with self._connection.pipeline() as pipeline:
                pipeline.delete(STATE_KEY, FORCED_KEY)
                for key, text in zip((STATE_KEY, FORCED_KEY), kept, strict=True):
                    if text is not None:
                        pipeline.set(key, text)
                pipeline.execute()
            self._seen_at = -1.0
            log.warning("breaker.put_back", cause="the change could not be recorded")

        return put_back

    def recent_errors(self) -> list[RecentError]:
        """Return the last faults, newest first. Raises redis.RedisError."""
        return self._calls.recent_errors()

    def _needs_probe(self) -> bool:
        """Whether the breaker is open and a probe is due. Raises CircuitOpen before that."""
        shared = self._view()
        if self._forced:
            if self._forced["state"] == STATE_OPEN:
                raise CircuitOpen(moment(self._forced_until()))
            return False
        if not shared:
            return False
        until = float(shared["until"])
        if self._clock() < until:
            raise CircuitOpen(moment(until))
        return True

    def _forced_until(self) -> float:
        """When to check again. The interval grows while it is forced open, or a night would fill the audit trail."""
        now, since = self._clock(), float(self._forced["at"])
        return now + max(self._duration_s, min(now - since, FORCED_LOOK_S))

    def _open(self, why: str) -> None:
        """Open for `duration`, if no other process has done so already."""
        now = self._clock()
        shared: dict[str, Any] = {"until": now + self._duration_s, "openedAt": now, "error": why[:500]}
        first = self._to_redis(lambda r: r.set(STATE_KEY, json.dumps(shared), nx=True), default=True)
        if not first:
            self._seen_at = -1.0
            return
        with self._lock:
            if self._shared:
                return
            self._shared, self._seen_at = shared, now
        self._to_redis(lambda r: r.delete(PROBE_KEY))
        log.warning("breaker.opened", reason=why, until=moment(shared["until"]).isoformat())
        self._notify(STATE_CLOSED, STATE_OPEN)

    def _stay_open(self, why: str) -> None:
        """Wait `duration` for the next probe; it has been open since it opened."""
        if not self._is_open_by_itself():
            return
        now = self._clock()
        shared: dict[str, Any] = {**self._shared, "until": now + self._duration_s, "error": why[:500]}
        is_open = self._to_redis(lambda r: bool(r.set(STATE_KEY, json.dumps(shared), xx=True)), default=True)
        if not is_open:  # somebody has closed it since
            return
        with self._lock:
            self._shared, self._seen_at = shared, now
        self._to_redis(lambda r: r.delete(PROBE_KEY))
        log.warning("breaker.probe_failed", reason=why, until=moment(shared["until"]).isoformat())

    def _is_open_by_itself(self) -> bool:
        """If not, it was closed or forced while a probe ran, and the probe says nothing about that."""
        self._seen_at = -1.0
        return bool(self._view()) and not self._forced

    def _notify(self, was: str, now: str) -> None:
        for listener in self.listeners:
            listener(was, now)

    def _view(self) -> dict[str, Any]:
        now = self._clock()
        if not 0 <= now - self._seen_at < VIEW_S:
            self._seen_at = now
            texts = self._to_redis(lambda r: r.mget(STATE_KEY, FORCED_KEY))
            if texts:
                shared = decode(texts[0], ("until", "openedAt"), ("error",))
                forced = decode(texts[1], ("at",), ("state", "by", "reason"))
                if forced.get("state", STATE_OPEN) not in (STATE_OPEN, STATE_CLOSED):
                    forced = {}
                self._forget_unreadable({STATE_KEY: (texts[0], shared), FORCED_KEY: (texts[1], forced)})
                self._shared, self._forced = shared, forced
        return self._shared

    def _forget_unreadable(self, read: Mapping[str, tuple[bytes | None, dict[str, Any]]]) -> None:
        """Delete unreadable state, which would keep the breaker from ever opening."""
        odd = [key for key, (text, found) in read.items() if text is not None and not found]
        if odd:
            log.warning("breaker.state_reset", keys=odd, next="treated as closed and automatic")
            self._to_redis(lambda r: r.delete(*odd))

    def _win_probe(self) -> bool:
        return bool(self._to_redis(lambda r: r.set(PROBE_KEY, "1", nx=True, px=self._probe_ms), default=True))

    def _to_redis(self, act: Callable[[Redis], Any], default: Any = None) -> Any:
        return unless_away(lambda: act(self._connection), default)
