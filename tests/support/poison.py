"""What an attacker with access to Redis would write; each leaves a file if it is executed."""

import json
import os
import pickle
import zlib
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from redis import Redis


class Mark:
    """A file that must never appear."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.command = f"touch {path}"

    @property
    def is_there(self) -> bool:
        """Whether something ran."""
        return self.path.exists()

    def as_pickle(self) -> bytes:
        """A pickle that leaves the mark when it is read."""

        class Poison:
            def __reduce__(self) -> Any:
                return os.system, (mark.command,)

        mark = self
        return pickle.dumps(Poison())

    def calls(self) -> Iterator[tuple[str, bytes]]:
        """Data of a job hash that calls os.system, in each serializer's form, and bare poison."""
        call: tuple[Any, ...] = ("os.system", None, (self.command,), {})
        yield "json", zlib.compress(json.dumps(call).encode())
        yield "pickle", zlib.compress(pickle.dumps(call))
        yield "poison", zlib.compress(self.as_pickle())
        yield "poison, not compressed", self.as_pickle()


def plant(redis: Redis, data: bytes, *, queue: str = "default", rq_id: str = "", **fields: Any) -> str:
    """Write a job hash; returns its ID."""
    rq_id = rq_id or str(uuid4())
    moment = "2026-01-01T00:00:00.000000Z"
    fields = {
        "data": data,
        "origin": queue,
        "status": "queued",
        "created_at": moment,
        "enqueued_at": moment,
        "timeout": 180,
        "description": "forged",
        **fields,
    }
    redis.hset(f"rq:job:{rq_id}", mapping=dict[Any, Any](fields))
    return rq_id


def enqueue(redis: Redis, data: bytes, *, queue: str = "default", rq_id: str = "", **fields: Any) -> str:
    """Write a job hash and enqueue it; returns its ID."""
    rq_id = plant(redis, data, queue=queue, rq_id=rq_id, **fields)
    redis.sadd("rq:queues", f"rq:queue:{queue}")
    redis.rpush(f"rq:queue:{queue}", rq_id)
    return rq_id


def poison_results(redis: Redis, rq_id: str, pickled: bytes) -> None:
    """Results of every kind, with a poisoned return value."""
    for kind in range(1, 6):
        redis.xadd(f"rq:results:{rq_id}", {"type": kind, "return_value": b64encode(pickled), "worker_name": "w"})
