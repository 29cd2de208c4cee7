"""The copy of the job types' settings in Redis, which workers read once a second; the database decides."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import structlog
from redis import Redis
from redis.client import Pipeline

from jobs import overrides
from jobs.broker import keys
from jobs.overrides import Overrides

log = structlog.get_logger(__name__)


def publish(found: Mapping[str, Overrides], connection: Redis) -> None:
    """Copy them to Redis. Raises redis.RedisError."""
    connection.set(keys.TYPE_SETTINGS, msgspec.json.encode({name: own._asdict() for name, own in found.items()}))


def sync(find: Callable[[], Mapping[str, Overrides]], connection: Redis) -> None:
    """Apply what `find` reads from the database in this process, and publish it if the copy differs.

    If somebody publishes meanwhile, `find` reads again: it may have read from before their change. Raises
    redis.RedisError and database errors.
    """

    def copy(pipeline: Pipeline) -> None:
        found, known = find(), read(pipeline)
        overrides.use(found)
        pipeline.multi()
        if known != found:
            publish(found, pipeline)

    connection.transaction(copy, keys.TYPE_SETTINGS)


def read(connection: Redis) -> dict[str, Overrides] | None:
    """The copy; None if it is missing or malformed. Raises redis.RedisError."""
    found: Any = connection.get(keys.TYPE_SETTINGS)
    if found is None:
        return None
    try:
        decoded = msgspec.json.decode(found, type=dict[str, dict[str, int | None]])
        return {name: Overrides(**values) for name, values in decoded.items()}
    except (msgspec.DecodeError, TypeError) as error:  # TypeError: of another release
        log.warning("type_settings.unreadable", error=str(error), next="the last known ones apply")
        return None


def refresh(connection: Redis) -> bool:
    """Apply the copy in this process, if there is one; returns whether there is. Raises redis.RedisError."""
    found = read(connection)
    if found is not None:
        overrides.use(found)
    return found is not None
