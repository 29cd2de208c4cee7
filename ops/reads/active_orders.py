"""What operators have stopped and not resumed, for the banner on every page: pauses, a forced breaker, suspension."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import structlog
from redis import RedisError
from rq.suspension import WORKERS_SUSPENDED

from jobs import pauses
from jobs.broker import depths, keys
from jobs.main_api.breaker import Forced
from jobs.main_api.client import main_api
from jobs.models import Pause

log = structlog.get_logger(__name__)
KEPT_S: Final = 2.0  #: how long a view of Redis is cached: every page needs one


@dataclass(frozen=True, slots=True)
class ActiveOrders:
    pauses: list[Pause]
    forced: Forced | None
    suspended: bool

    def __bool__(self) -> bool:
        return bool(self.pauses or self.forced or self.suspended)


class InRedis(NamedTuple):
    forced: Forced | None = None
    suspended: bool = False


class Cache:
    """This process's last view of Redis, which `read` reads."""

    def __init__(self, read: Callable[[], InRedis]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._view, self._began = InRedis(), float("-inf")
        self._asked = float("-inf")  # when the latest read began, of those that `expire` does not doubt

    def find(self) -> InRedis:
        """Read Redis again after KEPT_S; the last view stays valid meanwhile, and while Redis is down."""
        began = time.monotonic()
        with self._lock:
            if began - self._asked < KEPT_S:
                return self._view
            self._asked = began
        try:
            view = self._read()
        except RedisError as error:
            log.debug("active_orders.read_failed", error=str(error), next="the last view is shown")
            return self._view
        with self._lock:
            if began >= self._began:  # a slow read must not put an older view in place of what was read since
                self._view, self._began = view, began
            return self._view

    def expire(self) -> None:
        """Read Redis again for the next page; call it after a change."""
        with self._lock:
            self._asked = float("-inf")


def _read_redis() -> InRedis:
    return InRedis(main_api().breaker.snapshot().forced, bool(keys.redis().exists(WORKERS_SUSPENDED)))


_cache = Cache(_read_redis)
expire = _cache.expire


def find_active_orders() -> ActiveOrders:
    """One query, and a read of Redis at most every KEPT_S."""
    found = _cache.find()
    return ActiveOrders(pauses.active(), found.forced, found.suspended)


def count_blocked(pause: Pause) -> int:
    """How many due jobs a pause blocks, of those that workers have reached so far. Raises redis.RedisError."""
    return depths.held_back_by(pause.kind, pause.name, keys.redis())
