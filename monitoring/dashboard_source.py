"""Adds components to the dashboard's status line: the checks of /health that are not processes of ours."""

import threading
from typing import Final

from monitoring.health import HEALTH, Round
from ops.reads.status import Component as Shown
from ops.reads.status import Status, add_source, expect

NAMES: Final = {"database": "database", "redis": "Redis", "api": "main API", "rqQueue": "jobs"}
PATIENCE_S: Final = 0.1  #: how long a page waits for the first checks of its process
_STATUS: Final[dict[str, Status]] = {"up": "up", "degraded": "degraded", "down": "down"}


class DashboardSource:
    """Returns the last known results at once and refreshes them in the background."""

    def __init__(self, round_: Round) -> None:
        self._round = round_
        self._lock = threading.Lock()
        self._refresh: threading.Thread | None = None

    def components(self) -> list[Shown]:
        with self._lock:
            if self._refresh is None or not self._refresh.is_alive():
                self._refresh = threading.Thread(target=self._round.components, name="dashboard health", daemon=True)
                self._refresh.start()
            refresh = self._refresh
        refresh.join(PATIENCE_S if not self._round.known else 0)
        found = self._round.known
        return [
            Shown(name, _STATUS.get(at.status, "unknown"), at.message if at.brief is None else at.brief)
            if (at := found.get(key))
            else Shown(name, "unknown", "is being looked at")
            for key, name in NAMES.items()
        ]


def register() -> None:
    """Add the components to the dashboard, and let it report a missing monitor."""
    expect("monitor")
    add_source("monitoring", DashboardSource(HEALTH).components)
