"""The calls and faults of the last seconds, from which the breaker decides; counted for all processes in Redis."""

import json
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from redis import Redis, RedisError

log = structlog.get_logger(__name__)
WINDOW_S: Final = 10
ERRORS_KEY: Final = "scheduler:breaker:errors"  # list of JSON {at, error}, newest first
ERRORS_KEPT: Final = 20
LONGEST: Final = 10_000  #: bytes read from a key
BUCKET_KEY: Final = "scheduler:breaker:calls:{}"  # hash {calls, faults} of one second

#: Adds this process's counts to the second's bucket and the last error to the list. Returns the sums over the window.
_COUNT = """
redis.call('HINCRBY', KEYS[1], 'calls', ARGV[1])
redis.call('HINCRBY', KEYS[1], 'faults', ARGV[2])
redis.call('EXPIRE', KEYS[1], 30)
if ARGV[3] ~= '' then
  redis.call('LPUSH', ARGV[4], ARGV[3])
  redis.call('LTRIM', ARGV[4], 0, ARGV[5] - 1)
end
local calls, faults = 0, 0
for _, key in ipairs(KEYS) do
  calls = calls + tonumber(redis.call('HGET', key, 'calls') or 0)
  faults = faults + tonumber(redis.call('HGET', key, 'faults') or 0)
end
return {calls, faults}
"""


@dataclass(frozen=True, slots=True)
class RecentError:
    """A call that counted towards opening the breaker, or a probe that kept it open."""

    at: datetime
    error: str


class RecentCalls:
    """Successes are added to Redis once a second, faults at once. While Redis is away, this process's calls count."""

    def __init__(self, connection: Redis, clock: Callable[[], float]) -> None:
        self._connection = connection
        self._clock = clock
        self._lock = threading.Lock()
        self._unsent = 0  # successes not yet added to the shared window, the last of them at _unsent_at
        self._unsent_at = 0.0
        self._sent_at = 0.0
        self._count = connection.register_script(_COUNT)
        self._local: deque[tuple[float, bool]] = deque(maxlen=1000)  # the window while Redis is away

    def add_success(self, *, send: bool) -> None:
        """Count a call; without `send` only in this process."""
        with self._lock:
            now = self._clock()
            self._local.append((now, False))
            self._unsent, self._unsent_at = self._fresh(now) + 1, now
            if not send or now - self._sent_at < 1:
                return
            calls, self._unsent, self._sent_at = self._unsent, 0, now
        self._add(calls, 0)

    def add_fault(self, error: str, *, send: bool) -> tuple[int, int]:
        """Count a fault; without `send` only in this process. Returns the window's calls and faults, or zeros."""
        with self._lock:
            now = self._clock()
            self._local.append((now, True))
            calls, self._unsent, self._sent_at = self._fresh(now) + 1, 0, now
        return self._add(calls, 1, error) if send else (0, 0)

    def forget(self) -> None:
        """Begin anew in this process; the shared window is `keys`."""
        self._local.clear()

    @property
    def keys(self) -> list[str]:
        """The shared window in Redis, the present second first."""
        second = int(self._clock())
        return [BUCKET_KEY.format(second - back) for back in range(WINDOW_S)]

    def recent_errors(self) -> list[RecentError]:
        """Return the last faults, newest first. Raises redis.RedisError."""
        found: Any = self._connection.lrange(ERRORS_KEY, 0, ERRORS_KEPT - 1)
        return [
            RecentError(moment(e["at"]), str(e["error"])) for text in found if (e := decode(text, ("at",), ("error",)))
        ]

    def _fresh(self, now: float) -> int:
        """The unsent successes, unless they are too old to count."""
        return self._unsent if now - self._unsent_at < WINDOW_S else 0

    def _add(self, calls: int, faults: int, error: str = "") -> tuple[int, int]:
        fault = json.dumps({"at": self._clock(), "error": error[:500]}) if error else ""
        arguments: list[str | int] = [calls, faults, fault, ERRORS_KEY, ERRORS_KEPT]
        counted = unless_away(lambda: self._count(keys=self.keys, args=arguments))
        if counted:
            return int(counted[0]), int(counted[1])
        since = self._clock() - WINDOW_S
        recent = [fault for at, fault in list(self._local) if at >= since]
        return len(recent), sum(recent)


def unless_away(act: Callable[[], Any], default: Any = None) -> Any:
    """Call `act`; without Redis return `default`: this process goes by its own view."""
    try:
        return act()
    except RedisError as error:
        log.debug("breaker.redis_unreachable", error=str(error), next="this process uses its own view")
        return default


def decode(text: bytes | None, moments: tuple[str, ...], texts: tuple[str, ...]) -> dict[str, Any]:
    """Decode an object with these times and texts; empty if it is malformed."""
    try:
        found = json.loads(text[:LONGEST]) if text else {}
        fits = all(0 <= float(found[name]) < 253_402_300_800 for name in moments)
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
        return {}
    return found if fits and all(isinstance(found.get(name), str) for name in texts) else {}


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)
