"""What the gates of all processes hold back now, for pages and metrics."""

import os
import socket
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
from redis import Redis

from jobs.main_api import limits as published
from jobs.main_api.budget import HELD_UNTIL, IN_FLIGHT, TURNS, URGENT, WAITING
from jobs.main_api.limits import Limits

WINDOWS: Final = "scheduler:budget:windows"  #: hash: the last halving of each process's window
MOST_LANES: Final = 200  #: read for a page
MOST_TICKETS: Final = 2_000  #: of one campaign
_LONGEST: Final = 1_000  #: bytes of a report
_KEPT_S: Final = 60


class Halved(msgspec.Struct, frozen=True, kw_only=True):
    """A process whose window is not full."""

    host: str
    pid: int
    size: int
    most: int
    cause: str  #: latency, 413 or 429
    at: float

    def now(self, moment: float) -> int:
        """The size by `moment`: it grows by one a second."""
        return min(self.most, self.size + max(0, int(moment - self.at)))


class Traffic(NamedTuple):
    """The requests of all processes."""

    limits: Limits
    in_flight: int  #: permits; 0 without a limit, which nobody counts then
    waiting: dict[str, int]  #: by campaign; empty: jobs without one
    urgent: int  #: waiting requests that belong to no job
    closed_s: float  #: for which the main API has asked to send nothing
    halved: list[Halved]

    @property
    def waits(self) -> int:
        return sum(self.waiting.values()) + self.urgent


def report(process: str, size: int, most: int, cause: str, connection: Redis) -> None:
    """Let pages show that this process's window was halved. Raises redis.RedisError."""
    halved = Halved(host=socket.gethostname(), pid=os.getpid(), size=size, most=most, cause=cause, at=time.time())
    with connection.pipeline(transaction=False) as pipeline:
        pipeline.hset(WINDOWS, process, msgspec.json.encode(halved))
        pipeline.expire(WINDOWS, _KEPT_S)
        pipeline.execute()


def read(connection: Redis) -> Traffic:
    """In two round trips. Raises redis.RedisError."""
    with connection.pipeline(transaction=False) as pipeline:
        pipeline.hgetall(published.KEY)
        pipeline.zcount(IN_FLIGHT, int(time.time() * 1_000_000), "+inf")
        pipeline.lrange(TURNS, 0, MOST_LANES - 1)
        pipeline.llen(WAITING.format(URGENT))
        pipeline.pttl(HELD_UNTIL)
        pipeline.hgetall(WINDOWS)
        limits, in_flight, lanes, urgent, held_ms, windows = pipeline.execute()
    names = [lane.decode(errors="replace") for lane in lanes]
    with connection.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.llen(WAITING.format(name))
        sizes = pipeline.execute()
    now = time.time()
    halved = [one for text in windows.values() if (one := _parse_halved(text)) and one.now(now) < one.most]
    waiting = {name.removeprefix(":"): size for name, size in zip(names, sizes, strict=True) if size}
    known = published.decode(limits) or Limits()
    return Traffic(known, in_flight, waiting, urgent, max(0, held_ms) / 1000, sorted(halved, key=lambda one: one.pid))


def place_of(job_id: str, campaign_id: str, connection: Redis) -> int | None:
    """How many requests of its campaign wait before this job's; None if none of the job's waits.

    Raises redis.RedisError.
    """
    found: Any = connection.lrange(WAITING.format(f":{campaign_id}"), 0, MOST_TICKETS - 1)
    tickets: Sequence[bytes] = found
    suffix = f":{job_id}".encode()
    return next((place for place, ticket in enumerate(tickets) if ticket.endswith(suffix)), None)


def _parse_halved(text: bytes) -> Halved | None:
    """Decode a report; None if it is malformed."""
    try:
        return msgspec.json.decode(text[:_LONGEST], type=Halved)
    except (msgspec.DecodeError, ValueError):
        return None
