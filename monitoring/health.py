"""The health of each component: checked side by side with a deadline, shared for SHARED_S, in the seed's shape.

django-health-check gives the checks' interface; its view and `get_result` are not used: the view answers curl in HTML
and every fault with 500, `get_result` adds a second to each timeout and hides the reason of what it did not expect.
"""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import psutil
from django.db import connections
from health_check.exceptions import HealthCheckException, ServiceWarning

from monitoring.checks import CHECKS, DEADLINE_S, NEEDED, Check
from scheduler_project import __version__

UP, DEGRADED, DOWN = "up", "degraded", "down"
SHARED_S: Final = 5.0  # how long one round of checks serves every probe of this process


@dataclass(frozen=True, slots=True)
class Component:
    """What one check found."""

    status: str
    message: str
    checked: datetime
    critical: bool


Found = Mapping[str, Component]


class Round:
    """A set of checks, made at most once in SHARED_S however many ask."""

    def __init__(self, checks: Mapping[str, Check], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._checks = checks
        self._clock = clock
        self._lock = threading.Lock()
        self._running: dict[str, Future[Component]] = {}
        self._found: Found = {}
        self._found_at = 0.0

    def components(self) -> Found:
        """Every component, at most SHARED_S old; comes within DEADLINE_S, whatever hangs."""
        with self._lock:
            if not self._found or self._clock() - self._found_at >= SHARED_S:
                self._found = self._look()
                self._found_at = self._clock()
            return self._found

    @property
    def known(self) -> Found:
        """What the last round found, however old; empty before the first."""
        return self._found

    def forget(self) -> None:
        """Let the next question be looked into anew."""
        with self._lock:
            self._found = {}

    def _look(self) -> Found:
        for name, check in self._checks.items():
            # A check that hangs is waited for again, not started a second time: threads do not pile up.
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
        return found


HEALTH: Final = Round(CHECKS)
READINESS: Final = Round(NEEDED)


def examine(check: Check) -> Component:
    """How one component is, in this thread; raises nothing."""
    check = copy(check)  # `message` is that of this look
    try:
        check.look()
        status, message = UP, check.message
    except ServiceWarning as warning:
        status, message = DEGRADED, str(warning.message)
    except HealthCheckException as fault:
        status, message = DOWN, str(fault.message)
    except Exception as error:  # noqa: BLE001 - a check that cannot be made is a component that is down, with its reason
        status, message = DOWN, f"{type(error).__name__}: {error}"
    return Component(status, message, datetime.now(UTC), check.critical)


def overall(found: Found) -> str:
    """healthy, degraded or unhealthy: unhealthy only when a critical component is down."""
    if any(c.critical and c.status == DOWN for c in found.values()):
        return "unhealthy"
    return "healthy" if all(c.status == UP for c in found.values()) else "degraded"


def as_json(found: Found, *, details: bool) -> dict[str, Any]:
    """The seed's shape; without `details` what is not up says no more than that."""
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
    """Without addresses and exceptions: what is not up says no more than that."""
    return {UP: component.message, DEGRADED: "Degraded", DOWN: "Unavailable"}[component.status]


def uptime_seconds() -> int:
    """How long this process has run."""
    return int(time.time() - psutil.Process().create_time())


def _start(check: Check) -> "Future[Component]":
    """Look in a thread that does not keep the process from ending, as an executor's would."""
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
