"""What monitoring adds to the dashboard's line of components: the checks of /health that are no process of ours."""

import threading
from typing import Final

from monitoring.health import HEALTH, Round
from ops.reads.status import Component as Shown
from ops.reads.status import Status, add_source, expect

NAMES: Final = {"database": "database", "redis": "Redis", "api": "main API", "rqQueue": "jobs"}
PATIENCE_S: Final = 0.1  #: a page waits so long for the checks of a process that has made none yet
_STATUS: Final[dict[str, Status]] = {"up": "up", "degraded": "degraded", "down": "down"}


class DashboardSource:
    """The last known findings, at once; older ones are looked into anew behind the page's back."""

    def __init__(self, round_: Round) -> None:
        self._round = round_
        self._lock = threading.Lock()
        self._looking: threading.Thread | None = None

    def components(self) -> list[Shown]:
        """What is known now."""
        with self._lock:
            if self._looking is None or not self._looking.is_alive():
                self._looking = threading.Thread(target=self._round.components, name="health panel", daemon=True)
                self._looking.start()
            looking = self._looking
        looking.join(PATIENCE_S if not self._round.known else 0)
        found = self._round.known
        return [
            Shown(name, _STATUS.get(found[key].status, "unknown"), found[key].message)
            if key in found
            else Shown(name, "unknown", "is being looked at")
            for key, name in NAMES.items()
        ]


def register() -> None:
    """Let the dashboard show them, and miss a monitor."""
    expect("monitor")
    add_source("monitoring", DashboardSource(HEALTH).components)
