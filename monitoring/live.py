"""What the live pages of alerts and deliveries follow."""

from collections.abc import Mapping
from typing import Any, Final

from monitoring.menu import count_open
from monitoring.models import Alert, Delivery
from ops.admin.base import read_key
from ops.live import pages
from ops.live.hub import Names, Topic, hub
from ops.live.topics import read_newest

MOST: Final = 100  #: rows that may change: open alerts, pending deliveries


def register() -> None:
    """Add the topics, and which page follows which."""
    hub.add("alerts", Topic(read=_read_alerts, is_allowed=_may_see))
    hub.add("open_alerts", Topic(read=lambda _names: {"": count_open()}, is_allowed=_may_see))
    hub.add("deliveries", Topic(read=_read_deliveries, is_allowed=_may_see))
    hub.add("delivery", Topic(read=_read_each, is_allowed=_may_see, is_name=lambda name: read_key(name) is not None))
    pages.add_everywhere("open_alerts")
    pages.add_page("admin:monitoring_alert_changelist", "alerts")
    pages.add_page("admin:monitoring_alert_change", "alerts", "deliveries")
    pages.add_page("admin:monitoring_delivery_changelist", "deliveries")
    pages.add_page("admin:monitoring_delivery_change", "delivery:{object_id}")


def _may_see(user: Any) -> bool:
    return any(user.has_perm(f"jobs.{name}") for name in ("view_job", "acknowledge_alerts", "manage_alerts"))


def _read_alerts(_names: Names) -> Mapping[str, Any]:
    opened = Alert.objects.filter(resolved_at=None).order_by("-pk").values_list("pk", "count", "acknowledged_at")
    return {"": (read_newest(Alert.objects.all()), list(opened[:MOST]))}


def _read_deliveries(_names: Names) -> Mapping[str, Any]:
    pending = Delivery.objects.pending().order_by("target", "pk").values_list("pk", "attempts")
    return {"": (read_newest(Delivery.objects.all()), list(pending[:MOST]))}


def _read_each(names: Names) -> Mapping[str, Any]:
    rows = Delivery.objects.filter(pk__in=map(int, names)).order_by()
    return {str(pk): rest for pk, *rest in rows.values_list("pk", "status", "attempts", "next_at")}
