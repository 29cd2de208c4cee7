"""What each process says of itself, for operators: that it lives, where, how busy it is; and what they say to it.

One hash holds all processes, so that a page reads them with one command, and one set those that were asked to stop.
A process that ends takes itself out; one that was lost stays for a while, with the time of its last status.
"""

import os
import socket
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import structlog
from redis import Redis

from jobs.broker import keys
from scheduler_project import __version__

log = structlog.get_logger(__name__)
LOST_AFTER: Final = timedelta(seconds=30)  #: without a status
LONGEST: Final = 10_000  #: letters of what a process says; more was written by somebody else
ROLES: Final = ("worker", "scheduler", "listener", "monitor")
FORGOTTEN_AFTER: Final = timedelta(minutes=15)  #: one that was replaced must not be complained of for ever


class StopAsked(Exception):
    """An operator has asked this process to stop."""


class ProcessStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a process said of itself last."""

    role: str  #: worker, scheduler, listener or monitor
    name: str
    host: str
    pid: int
    version: str
    state: str  #: active, standby, idle, busy, suspended, stopping
    since: float
    at: float
    in_flight: int | None = None  #: jobs
    busy: int | None = None  #: slots; one may hold several jobs
    concurrency: int | None = None
    stop_asked: bool = False

    @property
    def key(self) -> str:
        """Its name in Redis."""
        return f"{self.role}:{self.name}"

    @property
    def lost(self) -> bool:
        """Whether it has been silent too long."""
        return datetime.now(UTC) - self.last_seen > LOST_AFTER

    @property
    def last_seen(self) -> datetime:
        """When it said this."""
        return datetime.fromtimestamp(self.at, tz=UTC)

    @property
    def started_at(self) -> datetime:
        """When it began."""
        return datetime.fromtimestamp(self.since, tz=UTC)

    @property
    def leads(self) -> bool:
        """Whether it is the active one of its role, of which there is but one."""
        return self.state == "active"


class Heartbeat:
    """The status of one process."""

    def __init__(self, role: str, name: str, connection: Redis) -> None:
        self._role = role
        self._name = name
        self._key = f"{role}:{name}"
        self._connection = connection
        self._since = time.time()

    def beat(
        self, state: str, *, in_flight: int | None = None, busy: int | None = None, concurrency: int | None = None
    ) -> bool:
        """Say that it lives; whether an operator has asked it to stop. Raises redis.RedisError."""
        status = ProcessStatus(
            role=self._role,
            name=self._name,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=__version__,
            state=state,
            since=self._since,
            at=time.time(),
            in_flight=in_flight,
            busy=in_flight if busy is None else busy,
            concurrency=concurrency,
        )
        with self._connection.pipeline(transaction=False) as pipeline:
            pipeline.hset(keys.PROCESSES, self._key, msgspec.json.encode(status))
            pipeline.sismember(keys.STOP_ASKED, self._key)
            return bool(pipeline.execute()[1])

    def beat_or_stop(self, state: str) -> None:
        """Say that it lives. Raises StopAsked when an operator has asked it to stop, and redis.RedisError."""
        if self.beat(state):
            raise StopAsked(self._key)

    def leave(self) -> None:
        """Say nothing more. Raises redis.RedisError."""
        with self._connection.pipeline() as pipeline:
            pipeline.hdel(keys.PROCESSES, self._key)
            pipeline.srem(keys.STOP_ASKED, self._key)
            pipeline.execute()


def statuses(connection: Redis) -> list[ProcessStatus]:
    """What all processes said last, by role and start; those lost long ago are forgotten. Raises redis.RedisError."""
    found: Any = connection.hgetall(keys.PROCESSES)
    asked: Any = connection.smembers(keys.STOP_ASKED)
    read = {field: _status(field, text) for field, text in found.items()}
    if odd := [field for field, status in read.items() if status is None]:
        log.warning("heartbeat.discarded", processes=[field[:100] for field in odd], next="forgotten")
        connection.hdel(keys.PROCESSES, *odd)
    known = [status for status in read.values() if status]
    forgotten = [w.key for w in known if datetime.now(UTC) - w.last_seen > FORGOTTEN_AFTER]
    if forgotten:
        connection.hdel(keys.PROCESSES, *forgotten)
        connection.srem(keys.STOP_ASKED, *forgotten)
    stopping = set(keys.texts(asked))
    kept = [msgspec.structs.replace(w, stop_asked=w.key in stopping) for w in known if w.key not in forgotten]
    return sorted(kept, key=lambda status: (ROLES.index(status.role), status.lost, status.since))


def _status(field: bytes, text: bytes) -> ProcessStatus | None:
    """What a process said; None where no process says so."""
    if len(text) > LONGEST:
        return None
    try:
        status = msgspec.json.decode(text, type=ProcessStatus)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    times_fit = all(0 <= at < keys.LAST_SECOND for at in (status.at, status.since))
    return (
        status
        if status.role in ROLES and times_fit and status.key.encode() == field and status.key.isprintable()
        else None
    )


def ask_to_stop(status: ProcessStatus, connection: Redis) -> None:
    """Ask a process to stop after what it does now; it hears of it with its next status. Raises redis.RedisError."""
    connection.sadd(keys.STOP_ASKED, status.key)
