"""The status of each component of the service, one line each.

Processes are read from their heartbeats in Redis. Apps that know more components (monitoring) add a source.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from redis import RedisError

from jobs import control
from jobs.actor import name_of
from jobs.main_api.client import main_api
from jobs.processes.heartbeat import ProcessStatus

Status = Literal["up", "degraded", "down", "unknown"]


@dataclass(frozen=True, slots=True)
class Component:
    name: str
    status: Status
    message: str
    since: datetime | None = None  #: since when it is not up, if that is known


_ROLES: Final = {"worker", "scheduler", "listener"}  # always shown; others only if seen or expected
Source = Callable[[], Sequence[Component]]
sources: dict[str, Source] = {}
expected: set[str] = set()


def add_source(name: str, source: Source) -> None:
    """Show the components of `source` too; it must be fast and raise nothing. A source of the same name is replaced."""
    sources[name] = source


def expect(role: str) -> None:
    """Show processes of this role, started by the command of the same name, even if none was seen."""
    expected.add(role)


def find_components() -> list[Component]:
    """The components of all sources, then the processes."""
    watched = [component for source in sources.values() for component in source()]
    try:
        own = find_processes()
    except RedisError as error:
        own = [Component("processes", "unknown", f"Redis does not answer ({type(error).__name__})")]
    return [*watched, *own]


def find_processes() -> list[Component]:
    """Workers, schedulers, listeners and the breaker, from Redis. Raises redis.RedisError."""
    statuses = control.processes()
    return [
        _describe_workers([status for status in statuses if status.role == "worker"]),
        _describe_leader("scheduler", "rqscheduler", statuses),
        _describe_leader("listener", "pubsub_listener", statuses),
        *(
            _describe_leader(role, role, statuses)
            for role in sorted({*expected, *(status.role for status in statuses)} - _ROLES)
        ),
        _describe_breaker(),
    ]


def _describe_workers(statuses: Sequence[ProcessStatus]) -> Component:
    alive = [status for status in statuses if not status.lost]
    if not alive:
        return _describe_missing("workers", "rqworker", statuses)
    busy, slots = sum(status.busy or 0 for status in alive), sum(status.concurrency or 0 for status in alive)
    lost = len(statuses) - len(alive)
    says = f"{len(alive)} running, {busy} of {slots} slots busy"
    if all(status.state == "suspended" for status in alive):
        return Component("workers", "degraded", f"{says}, suspended: manage.py rqresume")
    return Component("workers", "degraded" if lost else "up", f"{says}, {lost} lost" if lost else says)


def _describe_leader(role: str, command: str, statuses: Sequence[ProcessStatus]) -> Component:
    own = [status for status in statuses if status.role == role]
    alive = [status for status in own if not status.lost]
    if not any(status.leads for status in alive):
        return _describe_missing(role, command, own)
    standby = len(alive) - 1
    return Component(role, "up", f"active, {standby} on standby" if standby else "active, none on standby")


def _describe_missing(role: str, command: str, lost: Sequence[ProcessStatus]) -> Component:
    was = f"{len(lost)} lost; " if lost else ""
    since = max((status.last_seen for status in lost), default=None)
    return Component(role, "down", f"{was}none is running: start manage.py {command}", since)


def _describe_breaker() -> Component:
    seen = main_api().breaker.snapshot()
    by = f", forced by {name_of(seen.forced.by)}" if seen.forced else ""
    if seen.state == "closed":
        return Component("breaker", "degraded" if by else "up", f"closed{by}")
    return Component("breaker", "degraded", f"{seen.state}{by}: {seen.last_error}", seen.opened_at)
