"""The pauses as Redis has them: every fetch of a worker reads them (lua/fair_share.lua); the database decides."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from redis import Redis

from jobs.broker import keys
from jobs.broker.scripts import script

Pauses = Mapping[str, datetime | None]  #: until when, by pause ("campaign:c-1"); None: until it is resumed


def publish(read: Callable[[], Pauses], connection: Redis) -> bool:
    """Tell the workers what `read` finds in the database, unless somebody else has begun to do so meanwhile, who will
    find the same or newer.

    Raises redis.RedisError and database errors.
    """
    version: Any = connection.incr(keys.PAUSED_VERSION)
    return bool(script("pause").run(connection, version=int(version), pauses=list(_fields(read()).items())))


def stands(pauses: Pauses, connection: Redis) -> bool:
    """Whether Redis knows just these. Raises redis.RedisError."""
    known: Any = connection.hgetall(keys.PAUSED)
    wanted = {"known": "", **_fields(pauses)}
    return bool(known == {key.encode(): value.encode() for key, value in wanted.items()})


def parked(queue: str, connection: Redis) -> dict[str, int]:
    """How many ids of a queue are parked, by the key of their list. Raises redis.RedisError."""
    places: Any = connection.smembers(keys.PARKED)
    mine = sorted(place for place in keys.texts(places) if place.startswith(f"{queue}:"))
    lists = [keys.PARKED_IDS.format(place) for place in mine]
    return {key: int(length) for key in lists if (length := connection.llen(key))}


def held(kind: str, name: str, connection: Redis) -> int:
    """How many ids a pause holds back: the whole queue, or what is parked of a type or campaign and its backlogs.

    Raises redis.RedisError.
    """
    queues = [name] if kind == "queue" else list(settings.RQ_QUEUES)
    count = 0
    with connection.pipeline(transaction=False) as pipeline:
        for queue in queues:
            if kind == "queue":
                pipeline.llen(f"rq:queue:{queue}")
                pipeline.hvals(keys.BACKLOGGED.format(queue))
            else:
                pipeline.llen(keys.PARKED_IDS.format(f"{queue}:{kind}:{name}"))
            if kind == "campaign":
                pipeline.llen(keys.BACKLOG.format(queue, name))
        for answer in pipeline.execute():
            sizes = answer if isinstance(answer, list) else [answer]
            count += sum(int(keys.number(size) or 0) for size in sizes)
    return count


def _fields(pauses: Pauses) -> dict[str, str]:
    return {key: "" if until is None else f"{until.timestamp():.6f}" for key, until in pauses.items()}
