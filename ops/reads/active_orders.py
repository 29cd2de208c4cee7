"""What an operator has ordered and still holds, for the banner on every page: pauses, a forced breaker, suspension."""

import time
from dataclasses import dataclass
from typing import Final

import structlog
from redis import Redis, RedisError
from rq.suspension import is_suspended

from jobs import pauses
from jobs.broker import keys
from jobs.broker import pauses as parking
from jobs.main_api.breaker import Forced
from jobs.main_api.client import main_api
from jobs.models import Pause

log = structlog.get_logger(__name__)
KEPT_S: Final = 2.0  #: how old a page's view of Redis may be: every page asks


@dataclass(frozen=True, slots=True)
class Orders:
    """What holds now."""

    pauses: list[Pause]
    forced: Forced | None
    suspended: bool

    def __bool__(self) -> bool:
        return bool(self.pauses or self.forced or self.suspended)


class _Seen:
    """What this process saw in Redis last."""

    def __init__(self) -> None:
        self.at = float("-inf")
        self.forced: Forced | None = None
        self.suspended = False

    def look(self, connection: Redis) -> None:
        """Look again where it is too long ago; while Redis is away the last view holds."""
        if time.monotonic() - self.at < KEPT_S:
            return
        self.at = time.monotonic()
        try:
            self.forced = main_api().breaker.snapshot().forced
            self.suspended = bool(is_suspended(connection))
        except RedisError as error:
            log.debug("standing.redis_away", error=str(error), next="the last view holds")

    def forget(self) -> None:
        """Look again at the next page: something was changed here."""
        self.at = float("-inf")


_seen = _Seen()
forget = _seen.forget


def orders() -> Orders:
    """What holds now; one query, and Redis at most every KEPT_S."""
    _seen.look(keys.redis())
    return Orders(pauses.active(), _seen.forced, _seen.suspended)


def count_blocked(pause: Pause) -> int:
    """How many due jobs a pause blocks, of those that workers have reached so far. Raises redis.RedisError."""
    return parking.held(pause.kind, pause.name, keys.redis())
