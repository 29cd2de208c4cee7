"""The copy of the pauses in Redis, which workers read with every fetch (lua/fetch.lua); the database decides."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from redis import Redis

from jobs.broker import keys
from jobs.broker.scripts import script

Pauses = Mapping[str, datetime | None]  #: until when, by pause ("campaign:c-1"); None: until it is resumed


def publish(read: Callable[[], Pauses], connection: Redis) -> bool:
    """Copy what `read` finds in the database to Redis, unless a later call has started, which reads the same or newer.

    Raises redis.RedisError and database errors.
    """
    version = int(script("pause").run(connection))
    return bool(script("pause").run(connection, version=version, pauses=list(_fields(read()).items())))


def is_current(pauses: Pauses, connection: Redis) -> bool:
    """Whether Redis has exactly these pauses. Raises redis.RedisError."""
    known: Any = connection.hgetall(keys.PAUSED)
    wanted = {"known": "", **_fields(pauses)}
    return bool(known == {key.encode(): value.encode() for key, value in wanted.items()})


def _fields(pauses: Pauses) -> dict[str, str]:
    return {key: "" if until is None else f"{until.timestamp():.6f}" for key, until in pauses.items()}
