"""The alerts' part of the admin's menu."""

from typing import Final

from django.http import HttpRequest
from django.utils.translation import gettext

from monitoring.models import Alert
from ops.menu import Group, add_badge, add_group
from scheduler_project.fixed_query import FixedQuery

MOST: Final = 100  #: the badge stops counting here
SEE: Final = ("jobs.view_job", "jobs.manage_alerts")  #: one of them is enough to see alerts


def register() -> None:
    """Add the alerts' pages to the menu, with a badge for open alerts."""
    add_group(group)
    add_badge("admin:monitoring_alert_changelist", open_badge, *SEE)


def group() -> Group:
    """Return the group; users who manage alerts see it even if they may not see jobs."""
    manage = ("jobs.manage_alerts",)
    return (
        gettext("Alerts"),
        [
            (gettext("Alerts"), "admin:monitoring_alert_changelist", "notifications", SEE),
            (gettext("Alert handlers"), "admin:monitoring_alerthandler_changelist", "campaign", manage),
            (gettext("Deliveries"), "admin:monitoring_delivery_changelist", "outbox", SEE),
        ],
    )


def count_open() -> int:
    """Return the number of open, unacknowledged alerts, up to MOST."""
    return len(_OPEN.rows())


_OPEN: Final = FixedQuery(
    lambda: Alert.objects.filter(resolved_at=None, acknowledged_at=None).order_by().values_list("pk")[:MOST]
)


def open_badge(request: HttpRequest) -> str:
    """Return the number of open, unacknowledged alerts; empty if there are none."""
    number = count_open()
    return f"{MOST - 1}+" if number == MOST else str(number or "")
