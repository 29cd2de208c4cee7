"""Adds components to the dashboard's status line: the checks of /health that are not processes of ours."""

import threading
from typing import Final

from django.urls import reverse
from django.utils.translation import gettext

from monitoring.alerting.unreached import find_unreached
from monitoring.health import HEALTH, Round
from monitoring.models import Alert, Severity
from ops.reads.status import Component as Shown
from ops.reads.status import Status, add_source, expect
from ops.reads.verdict import Incident, add_incidents

NAMES: Final = {"database": "database", "redis": "Redis", "api": "main API", "rqQueue": "jobs"}
SHOWN: Final = 5  #: open alerts
WAIT_FOR_CHECKS_S: Final = 0.1  #: of a page, for the first ones of its process, or the first after nobody looked
OLD_S: Final = 30.0  #: older results are shown only if there are no newer ones in time
_STATUS: Final[dict[str, Status]] = {"up": "up", "degraded": "degraded", "down": "down"}


class DashboardSource:
    """Returns the last known results at once and refreshes them in the background.

    They are as old as the last page of this process: a fault that is long over is not shown again.
    """

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
        refresh.join(WAIT_FOR_CHECKS_S if not self._round.known or self._round.age_s > OLD_S else 0)
        found = self._round.known
        return [
            Shown(name, _STATUS.get(at.status, "unknown"), at.message if at.brief is None else at.brief, at.since)
            if (at := found.get(key))
            else Shown(name, "unknown", gettext("being checked"))
            for key, name in NAMES.items()
        ]


def find_incidents() -> list[Incident]:
    """The handlers that cannot be reached, then the open alerts, most severe and oldest first, at most SHOWN."""
    alerts = Alert.objects.filter(resolved_at=None).order_by("-severity", "opened_at")[:SHOWN]
    unreached = [
        Incident(
            title=gettext("Alert handler not reached: %(name)s") % {"name": one.name},
            url=one.url,
            is_critical=True,
            since=one.since,
            acknowledged_by="",
        )
        for one in find_unreached()
    ]
    return unreached + [
        Incident(
            title=alert.title,
            url=reverse("admin:monitoring_alert_change", args=[alert.pk]),
            is_critical=alert.severity >= Severity.CRITICAL,
            since=alert.opened_at,
            acknowledged_by=alert.acknowledged_by,
        )
        for alert in alerts
    ]


def register() -> None:
    """Add the components and open alerts to the dashboard, and let it report a missing monitor."""
    expect("monitor")
    add_source("monitoring", DashboardSource(HEALTH).components)
    add_incidents("monitoring", find_incidents)
