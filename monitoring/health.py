"""The health of each component, checked in parallel with a deadline and reused for SHARED_S, in the predecessor's JSON.

django-health-check gives the checks' interface. Its view is not used, because it answers curl in HTML and every fault
with 500; nor is `get_result`, which adds a second to each timeout and hides the reason of unexpected errors.
"""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from copy import copy
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import psutil
from django.db import connections
from health_check.exceptions import HealthCheckException, ServiceWarning

from monitoring.checks import CHECKS, DEADLINE_S, NEEDED, Check
from scheduler_project import __version__
from scheduler_project.logs import mask

UP, DEGRADED, DOWN = "up", "degraded", "down"
SHARED_S: Final = 5.0  #: how long this process reuses a round of checks


@dataclass(frozen=True, slots=True)
class Component:
    status: str
    message: str
    checked: datetime
    critical: bool
    brief: str | None = None  #: the message for a page that has its numbers elsewhere
    since: datetime | None = None  #: when this process saw it become so; None: it was so at the first check


Found = Mapping[str, Component]


class Round:
    """A set of checks that runs at most once in SHARED_S, however many callers ask."""

    def __init__(self, checks: Mapping[str, Check], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._checks = checks
        self._clock = clock
        self._lock = threading.Lock()
        self._running: dict[str, Future[Component]] = {}
        self._found: Found = {}
        self._found_at = 0.0

    def components(self) -> Found:
        """Return every component, at most SHARED_S old and within DEADLINE_S, whatever hangs."""
        with self._lock:
            if not self._found or self._clock() - self._found_at >= SHARED_S:
                self._found = self._look()
                self._found_at = self._clock()
            return self._found

    @property
    def known(self) -> Found:
        """The results of the last round, however old; empty before the first."""
        return self._found

    @property
    def age_s(self) -> float:
        """How old `known` is."""
        return self._clock() - self._found_at

    def forget(self) -> None:
        """Drop the results, so that the next call checks again."""
        with self._lock:
            self._found = {}

    def _look(self) -> Found:
        for name, check in self._checks.items():
            # A check that hangs is not started again, so threads do not pile up.
            if name not in self._running or self._running[name].done():
                self._running[name] = _start(check)
        wait(self._running.values(), timeout=DEADLINE_S)
        found = {}
        for name, check in self._checks.items():
            future = self._running[name]
            if future.done():
                found[name] = future.result()
                del self._running[name]
            else:
                late = f"No answer within {DEADLINE_S:g} s"
                found[name] = Component(DOWN, late, datetime.now(UTC), check.critical)
        return {name: replace(component, since=self._since(name, component)) for name, component in found.items()}

    def _since(self, name: str, component: Component) -> datetime | None:
        before = self._found.get(name)
        if before is None:
            return None
        return before.since if before.status == component.status else component.checked


HEALTH: Final = Round(CHECKS)
READINESS: Final = Round(NEEDED)


def examine(check: Check) -> Component:
    """Run a check in this thread and return the component's health. Never raises."""
    check = copy(check)  # so that concurrent runs do not share `message`
    try:
        check.check_component()
        status, message = UP, check.message
    except ServiceWarning as warning:
        status, message = DEGRADED, str(warning.message)
    except HealthCheckException as fault:
        status, message = DOWN, str(fault.message)
    except Exception as error:  # noqa: BLE001 - a check that fails unexpectedly means that the component is down
        status, message = DOWN, mask(f"{type(error).__name__}: {error}")
    return Component(status, message, datetime.now(UTC), check.critical, check.brief)


def overall(found: Found) -> str:
    """Return healthy, degraded or unhealthy; unhealthy only if a critical component is down."""
    if any(c.critical and c.status == DOWN for c in found.values()):
        return "unhealthy"
    return "healthy" if all(c.status == UP for c in found.values()) else "degraded"


def as_json(found: Found, *, details: bool) -> dict[str, Any]:
    """Return the predecessor's JSON shape; without `details`, reasons are left out."""
    return {
        "status": overall(found),
        "timestamp": _stamp(datetime.now(UTC)),
        "components": {
            name: {
                "status": c.status,
                "message": c.message if details else _public(c),
                "lastChecked": _stamp(c.checked),
            }
            for name, c in found.items()
        },
        "version": __version__,
        "uptime": uptime_seconds(),
    }


def _public(component: Component) -> str:
    """Return a message without addresses and exceptions."""
    return {UP: component.message, DEGRADED: "Degraded", DOWN: "Unavailable"}[component.status]


def uptime_seconds() -> int:
    """Return this process's age."""
    return int(time.time() - psutil.Process().create_time())


def _start(check: Check) -> "Future[Component]":
    """Run a check in a daemon thread: an executor's thread would keep the process from exiting."""
    answer: Future[Component] = Future()

    def look() -> None:
        try:
            answer.set_result(examine(check))
        finally:
            connections.close_all()

    threading.Thread(target=look, name="health", daemon=True).start()
    return answer


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
