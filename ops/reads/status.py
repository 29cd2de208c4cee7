"""How the service's parts are, in one line each, as whoever knows of them tells it.

Processes tell by what they say of themselves in Redis. Whoever watches more (monitoring does) adds a source; without it
the processes are still shown.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from redis import RedisError

from jobs import control
from jobs.main_api.client import main_api
from jobs.processes.heartbeat import ProcessStatus

Status = Literal["up", "degraded", "down", "unknown"]


@dataclass(frozen=True, slots=True)
class Component:
    """One part of the service, and how it is."""

    name: str
    status: Status
    message: str


_ROLES: Final = {"worker", "scheduler", "listener"}  # without which no job runs; others where they are, or are expected
Source = Callable[[], Sequence[Component]]
_sources: dict[str, Source] = {}
_expected: set[str] = set()


def add_source(name: str, source: Source) -> None:
    """Let `source` tell of components too; it must answer at once and raise nothing. A second of one name replaces."""
    _sources[name] = source


def expect(role: str) -> None:
    """Tell of processes of this role, started by the command of its name, although none may have been seen."""
    _expected.add(role)


def components() -> list[Component]:
    """Every component that anybody knows of: the watched ones, then the processes."""
    watched = [component for source in _sources.values() for component in source()]
    try:
        own = processes()
    except RedisError as error:
        own = [Component("processes", "unknown", f"Redis does not answer ({type(error).__name__})")]
    return [*watched, *own]


def processes() -> list[Component]:
    """Workers, schedulers, listeners and the breaker, as Redis knows them. Raises redis.RedisError."""
    words = control.processes()
    return [
        _workers([w for w in words if w.role == "worker"]),
        _led("scheduler", "rqscheduler", words),
        _led("listener", "pubsub_listener", words),
        *(_led(role, role, words) for role in sorted({*_expected, *(w.role for w in words)} - _ROLES)),
        _breaker(),
    ]


def _workers(words: Sequence[ProcessStatus]) -> Component:
    alive = [w for w in words if not w.lost]
    if not alive:
        return _missing("workers", "rqworker", len(words))
    busy, slots = sum(w.busy or 0 for w in alive), sum(w.concurrency or 0 for w in alive)
    lost = len(words) - len(alive)
    says = f"{len(alive)} running, {busy} of {slots} slots busy"
    if all(w.state == "suspended" for w in alive):
        return Component("workers", "degraded", f"{says}, suspended: manage.py rqresume")
    return Component("workers", "degraded" if lost else "up", f"{says}, {lost} lost" if lost else says)


def _led(role: str, command: str, words: Sequence[ProcessStatus]) -> Component:
    own = [w for w in words if w.role == role]
    alive = [w for w in own if not w.lost]
    if not any(w.leads for w in alive):
        return _missing(role, command, len(own))
    standby = len(alive) - 1
    return Component(role, "up", f"active, {standby} on standby" if standby else "active, none on standby")


def _missing(role: str, command: str, lost: int) -> Component:
    was = f"{lost} lost; " if lost else ""
    return Component(role, "down", f"{was}none is running: start manage.py {command}")


def _breaker() -> Component:
    seen = main_api().breaker.snapshot()
    by = f", forced by {seen.forced.by}" if seen.forced else ""
    if seen.state == "closed":
        return Component("breaker", "degraded" if by else "up", f"closed{by}")
    return Component("breaker", "degraded", f"{seen.state}{by}: {seen.last_error}")
