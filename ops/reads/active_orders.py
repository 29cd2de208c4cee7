"""What operators have stopped and not resumed, for the banner on every page: pauses, a forced breaker, suspension."""

import time
from dataclasses import dataclass
from typing import Final

import structlog
from redis import Redis, RedisError
from rq.suspension import is_suspended

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


class _Cache:
    """This process's last view of Redis."""

    def __init__(self) -> None:
        self.at = float("-inf")
        self.forced: Forced | None = None
        self.suspended = False

    def refresh(self, connection: Redis) -> None:
        """Read Redis again after KEPT_S; the last view stays valid while Redis is down."""
        if time.monotonic() - self.at < KEPT_S:
            return
        self.at = time.monotonic()
        try:
            self.forced = main_api().breaker.snapshot().forced
            self.suspended = bool(is_suspended(connection))
        except RedisError as error:
            log.debug("active_orders.read_failed", error=str(error), next="the last view is shown")

    def expire(self) -> None:
        """Read Redis again for the next page; call it after a change."""
        self.at = float("-inf")


_cache = _Cache()
expire = _cache.expire


def find_active_orders() -> ActiveOrders:
    """One query, and a read of Redis at most every KEPT_S."""
    _cache.refresh(keys.redis())
    return ActiveOrders(pauses.active(), _cache.forced, _cache.suspended)


def count_blocked(pause: Pause) -> int:
    """How many due jobs a pause blocks, of those that workers have reached so far. Raises redis.RedisError."""
    return depths.held_back_by(pause.kind, pause.name, keys.redis())
