"""What alerts add to the operators' menu."""

from typing import Any, Final

from django.http import HttpRequest

from monitoring.models import Alert
from ops.menu import Group, add_badge, add_group

MOST: Final = 100  #: alerts that are counted one by one


def register() -> None:
    """Show the pages of alerts, with how many are open."""
    add_group(group)
    add_badge("admin:monitoring_alert_changelist", open_badge)


def group(user: Any) -> Group:
    """Who manages alerts sees them even without seeing jobs."""
    see = "jobs.view_job" if user.has_perm("jobs.view_job") else "jobs.manage_alerts"
    return (
        "Alerts",
        [
            ("Alerts", "admin:monitoring_alert_changelist", "notifications", see),
            ("Alert handlers", "admin:monitoring_alerthandler_changelist", "campaign", "jobs.manage_alerts"),
            ("Deliveries", "admin:monitoring_delivery_changelist", "outbox", see),
        ],
    )


def open_badge(request: HttpRequest) -> str:
    """How many alerts are open and not acknowledged; empty for none."""
    number = Alert.objects.filter(resolved_at=None, acknowledged_at=None)[:MOST].count()
    return f"{MOST - 1}+" if number == MOST else str(number or "")
