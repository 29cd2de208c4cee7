"""Heartbeats: each process reports its status for operators, and learns whether it should stop.

One hash holds all statuses, so that a page reads them with one command; one set holds the stop requests. A process that
ends removes itself; a lost one stays listed for a while, with the time of its last heartbeat.
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
from jobs.broker.scripts import script
from scheduler_project import __version__

log = structlog.get_logger(__name__)
LOST_AFTER: Final = timedelta(seconds=30)  #: without a heartbeat
LONGEST: Final = 10_000  #: bytes; a longer status was not written by the service
ROLES: Final = ("worker", "scheduler", "listener", "monitor")
FORGOTTEN_AFTER: Final = timedelta(minutes=15)  #: a replaced process must not be reported as lost for ever


class StopRequested(Exception):
    """An operator has requested that this process stop."""


class ProcessStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A process's last heartbeat."""

    role: str  #: worker, scheduler, listener or monitor
    name: str
    host: str
    pid: int
    version: str
    state: str  #: active, standby, idle, busy, suspended, stopping
    since: float
    at: float
    in_flight: int | None = None  #: jobs
    busy: int | None = None  #: slots; a slot may hold several jobs
    concurrency: int | None = None
    stop_asked: bool = False

    @property
    def key(self) -> str:
        """The field in Redis."""
        return f"{self.role}:{self.name}"

    @property
    def lost(self) -> bool:
        return datetime.now(UTC) - self.last_seen > LOST_AFTER

    @property
    def last_seen(self) -> datetime:
        return datetime.fromtimestamp(self.at, tz=UTC)

    @property
    def started_at(self) -> datetime:
        return datetime.fromtimestamp(self.since, tz=UTC)

    @property
    def leads(self) -> bool:
        """Whether it is the one active instance of its role."""
        return self.state == "active"


class Heartbeat:
    """Sends the heartbeats of one process."""

    def __init__(self, role: str, name: str, connection: Redis) -> None:
        self._role = role
        self._name = name
        self._key = f"{role}:{name}"
        self._connection = connection
        self._since = time.time()

    def beat(
        self, state: str, *, in_flight: int | None = None, busy: int | None = None, concurrency: int | None = None
    ) -> bool:
        """Send a heartbeat. Returns whether an operator has requested a stop. Raises redis.RedisError."""
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
        return bool(script("beat").run(self._connection, msgspec.json.encode(status), process=self._key))

    def beat_or_stop(self, state: str) -> None:
        """Send a heartbeat. Raises StopRequested if an operator has requested a stop, and redis.RedisError."""
        if self.beat(state):
            raise StopRequested(self._key)

    def leave(self) -> None:
        """Remove the status and any stop request. Raises redis.RedisError."""
        with self._connection.pipeline() as pipeline:
            pipeline.hdel(keys.PROCESSES, self._key)
            pipeline.srem(keys.STOP_ASKED, self._key)
            pipeline.execute()


def statuses(connection: Redis) -> list[ProcessStatus]:
    """All processes by role and start; removes those lost long ago, but the last of a role. Raises redis.RedisError."""
    found: Any = connection.hgetall(keys.PROCESSES)
    asked: Any = connection.smembers(keys.STOP_ASKED)
    read = {field: _status(field, text) for field, text in found.items()}
    if odd := [field for field, status in read.items() if status is None]:
        log.warning("heartbeat.discarded", processes=[field[:100] for field in odd], next="removed")
        connection.hdel(keys.PROCESSES, *odd)
    known = [status for status in read.values() if status]
    last = {w.role: w.key for w in sorted(known, key=lambda status: status.at)}  # tells since when a role is missing
    forgotten = [w.key for w in known if datetime.now(UTC) - w.last_seen > FORGOTTEN_AFTER and w.key != last[w.role]]
    if forgotten:
        connection.hdel(keys.PROCESSES, *forgotten)
        connection.srem(keys.STOP_ASKED, *forgotten)
    stopping = set(keys.texts(asked))
    kept = [msgspec.structs.replace(w, stop_asked=w.key in stopping) for w in known if w.key not in forgotten]
    return sorted(kept, key=lambda status: (ROLES.index(status.role), status.lost, status.since))


def _status(field: bytes, text: bytes) -> ProcessStatus | None:
    """Decode a status; None if it is malformed."""
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


def ask_to_stop(status: ProcessStatus, connection: Redis) -> bool:
    """Request that a process stop; it learns of it with its next heartbeat. Raises redis.RedisError.

    Returns whether nobody had requested it before.
    """
    return bool(script("beat").run(connection, process=status.key))


def forget_stop(status: ProcessStatus, connection: Redis) -> None:
    """Take the request back. Raises redis.RedisError."""
    connection.srem(keys.STOP_ASKED, status.key)
