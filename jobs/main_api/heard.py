"""When messages of each family of channels were last heard, in Redis: the listener notes it, the check reads it."""

import time
from collections.abc import Callable
from typing import Final, NamedTuple

import structlog
from redis import Redis, RedisError

log = structlog.get_logger(__name__)
KEY: Final = "scheduler:heard"  #: hash: seconds since 1970 by family
NOTED_EVERY_S: Final = 60.0
WORLD_TIME, BY_CAMPAIGN, BY_ENTITY = "worldTimeAdvanced", "entityModified", "entity.modified"
_BEGINNING: Final = b"entity.modified."


class Heard(NamedTuple):
    """Seconds since 1970 for each family; 0: never, or not since Redis lost its data."""

    world_time: float = 0.0
    by_campaign: float = 0.0
    by_entity: float = 0.0


class Notes:
    """One listener's notes, at most one a minute for each family."""

    def __init__(self, connection: Redis, *, clock: Callable[[], float] = time.time) -> None:
        self._connection = connection
        self._clock = clock
        self._noted: dict[str, float] = {}

    def note(self, channel: bytes) -> None:
        """Note a message; while Redis is down, nothing."""
        family, now = family_of(channel), self._clock()
        if 0 <= now - self._noted.get(family, float("-inf")) < NOTED_EVERY_S:
            return
        try:
            self._connection.hset(KEY, family, str(round(now)))
        except RedisError as error:
            log.debug("heard.redis_unreachable", error=str(error), next="the next message is noted")
            return
        self._noted[family] = now


def family_of(channel: bytes) -> str:
    if channel.startswith(_BEGINNING):
        return BY_ENTITY
    return WORLD_TIME if channel.endswith(b".worldTimeAdvanced") else BY_CAMPAIGN


def read(connection: Redis) -> Heard | None:
    """What listeners have noted; None while Redis is down."""
    try:
        world_time, by_campaign, by_entity = connection.hmget(KEY, [WORLD_TIME, BY_CAMPAIGN, BY_ENTITY])
        return Heard(*(float(noted or 0) for noted in (world_time, by_campaign, by_entity)))
    except (RedisError, ValueError) as error:
        log.debug("heard.redis_unreachable", error=str(error), next="the point is not judged")
        return None
