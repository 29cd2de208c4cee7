"""The status of each component of the service, one line each.

Processes are read from their heartbeats in Redis. Apps that know more components (monitoring) add a source.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from django.utils.translation import gettext, gettext_noop
from redis import RedisError

from jobs import control
from jobs.actor import name_of
from jobs.main_api.client import main_api
from jobs.processes.heartbeat import ProcessStatus

Status = Literal["up", "degraded", "down", "unknown"]


_NAMES: Final = (
    gettext_noop("breaker"),
    gettext_noop("database"),
    gettext_noop("jobs"),
    gettext_noop("listener"),
    gettext_noop("main API"),
    gettext_noop("monitor"),
    gettext_noop("processes"),
    gettext_noop("scheduler"),
    gettext_noop("workers"),
)
"""Of components, for catalogues."""


@dataclass(frozen=True, slots=True)
class Component:
    name: str
    status: Status
    message: str
    since: datetime | None = None  #: since when it is not up, if that is known
    shows: str = ""  #: the component whose fault this one's shows, if it does

    @property
    def title(self) -> str:
        """Its name on pages."""
        return gettext(self.name)

    @property
    def status_text(self) -> str:
        return {
            "up": gettext("up"),
            "degraded": gettext("degraded"),
            "down": gettext("down"),
            "unknown": gettext("unknown"),
        }[self.status]


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
        own = [
            Component(
                "processes", "unknown", gettext("Redis does not answer (%(error)s)") % {"error": type(error).__name__}
            )
        ]
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
    counts = {"count": len(alive), "busy": busy, "slots": slots, "lost": lost}
    if all(status.state == "suspended" for status in alive):
        text = gettext("%(count)s running, %(busy)s of %(slots)s slots busy, suspended: manage.py rqresume")
        return Component("workers", "degraded", text % counts)
    if lost:
        text = gettext("%(count)s running, %(busy)s of %(slots)s slots busy, %(lost)s lost")
        return Component("workers", "degraded", text % counts)
    return Component("workers", "up", gettext("%(count)s running, %(busy)s of %(slots)s slots busy") % counts)


def _describe_leader(role: str, command: str, statuses: Sequence[ProcessStatus]) -> Component:
    own = [status for status in statuses if status.role == role]
    alive = [status for status in own if not status.lost]
    if not any(status.leads for status in alive):
        return _describe_missing(role, command, own)
    standby = len(alive) - 1
    text = (
        gettext("active, %(count)s on standby") % {"count": standby} if standby else gettext("active, none on standby")
    )
    return Component(role, "up", text)


def _describe_missing(role: str, command: str, lost: Sequence[ProcessStatus]) -> Component:
    since = max((status.last_seen for status in lost), default=None)
    if lost:
        text = gettext("%(count)s lost; none is running: start manage.py %(command)s")
    else:
        text = gettext("none is running: start manage.py %(command)s")
    return Component(role, "down", text % {"count": len(lost), "command": command}, since)


def _describe_breaker() -> Component:
    seen = main_api().breaker.snapshot()
    if seen.forced:
        text = gettext("%(state)s, forced by %(who)s") % {
            "state": describe_breaker(seen.state),
            "who": name_of(seen.forced.by),
        }
    else:
        text = describe_breaker(seen.state)
    if seen.state == "closed":
        return Component("breaker", "degraded" if seen.forced else "up", text)
    if seen.forced:
        why = f" ({seen.forced.reason})" if seen.forced.reason else ""
        return Component("breaker", "degraded", f"{text}{why}", seen.opened_at)
    # All processes know when it opened; each has its own first bad check.
    return Component("breaker", "degraded", f"{text}: {seen.last_error}", seen.opened_at, "main API")


def describe_breaker(state: str) -> str:
    """A state of the circuit breaker in words.

    >>> describe_breaker("half-open")
    'half open'
    """
    return {
        "closed": gettext("closed"),
        "open": gettext("open"),
        "half-open": gettext("half open"),
    }.get(state, state)
