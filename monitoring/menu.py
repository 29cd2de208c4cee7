"""The alerts' part of the admin's menu."""

from typing import Any, Final

from django.http import HttpRequest
from django.utils.translation import gettext

from monitoring.models import Alert
from ops.menu import Group, add_badge, add_group
from scheduler_project.fixed_query import FixedQuery

MOST: Final = 100  #: the badge stops counting here


def register() -> None:
    """Add the alerts' pages to the menu, with a badge for open alerts."""
    add_group(group)
    add_badge("admin:monitoring_alert_changelist", open_badge, "jobs.view_job", "jobs.manage_alerts")


def group(user: Any) -> Group:
    """Return the group; users who manage alerts see it even if they may not see jobs."""
    see = "jobs.view_job" if user.has_perm("jobs.view_job") else "jobs.manage_alerts"
    return (
        gettext("Alerts"),
        [
            (gettext("Alerts"), "admin:monitoring_alert_changelist", "notifications", see),
            (gettext("Alert handlers"), "admin:monitoring_alerthandler_changelist", "campaign", "jobs.manage_alerts"),
            (gettext("Deliveries"), "admin:monitoring_delivery_changelist", "outbox", see),
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
