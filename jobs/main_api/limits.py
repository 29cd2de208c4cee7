"""The main API's limits, as an operator has set them: a copy in Redis, which every process reads."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from redis import Redis
from redis.client import Pipeline

KEY: Final = "scheduler:budget:limits"  #: hash {in_flight, per_second}; empty values: no limit
_LONGEST: Final = 9  #: digits


class Limits(NamedTuple):
    """For all processes together; None: no limit."""

    in_flight: int | None = None
    per_second: int | None = None

    @property
    def exist(self) -> bool:
        return self.in_flight is not None or self.per_second is not None

    def __str__(self) -> str:
        """In words.

        >>> str(Limits(10, 1)), str(Limits())
        ('10 requests in flight, 1 request per second', 'no limit')
        """
        parts = ((self.in_flight, "in flight"), (self.per_second, "per second"))
        return ", ".join(f"{n:,} request{'' if n == 1 else 's'} {of}" for n, of in parts if n) or "no limit"


def publish(limits: Limits, connection: Redis) -> None:
    """Copy the limits to Redis. Raises redis.RedisError."""
    connection.hset(KEY, mapping={name: "" if n is None else n for name, n in limits._asdict().items()})


def sync(find: Callable[[], Limits], connection: Redis) -> None:
    """Publish what `find` reads from the database, if the copy differs.

    If somebody publishes meanwhile, `find` reads again: it may have read from before their change. Raises
    redis.RedisError and database errors.
    """

    def copy(pipeline: Pipeline) -> None:
        limits, known = find(), read(pipeline)
        pipeline.multi()
        if known != limits:
            publish(limits, pipeline)

    connection.transaction(copy, KEY)


def decode(found: dict[bytes, bytes]) -> Limits | None:
    """The hash's content; None if it is missing or malformed.

    >>> decode({b"in_flight": b"10", b"per_second": b""}), decode({})
    (Limits(in_flight=10, per_second=None), None)
    """
    values = [found.get(name.encode()) for name in Limits._fields]
    if not all(value == b"" or (value and value.isdigit() and len(value) <= _LONGEST) for value in values):
        return None
    return Limits(*(int(value) or None if value else None for value in values))


def read(connection: Redis) -> Limits | None:
    """The copy in Redis; None if it is missing or malformed. Raises redis.RedisError."""
    found: Any = connection.hgetall(KEY)
    return decode(found)
