"""PagerDuty, Events API v2: an opened alert triggers an incident, a resolved one resolves it."""

import socket
from typing import Any, Final

from monitoring.alerting.channels.base import Answer, Channel, Config, Field, as_body, check_receiver_url, post
from monitoring.alerting.message import RESOLVE, Message
from monitoring.models import Severity

EVENTS_URL: Final = "https://events.pagerduty.com/v2/enqueue"
_SEVERITIES: Final = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "critical"}
LONGEST_SUMMARY: Final = 1024


class PagerDuty(Channel):
    """Sends both events with the alert's key, which PagerDuty matches them by."""

    name, label, icon = "pagerduty", "PagerDuty", "emergency"
    says = "an incident of PagerDuty (Events API v2), resolved when the alert is"
    fields = (
        Field("routing_key", "Integration key", "of an Events API v2 integration", secret=True),
        Field("url", "URL", f"empty: {EVENTS_URL}", required=False, check=check_receiver_url),
    )

    def send(self, message: Message, config: Config) -> Answer:
        event: dict[str, Any] = {
            "routing_key": config["routing_key"],
            "event_action": "resolve" if message.action == RESOLVE else "trigger",
            "dedup_key": message.alert,
        }
        if message.action != RESOLVE:
            event["payload"] = {
                "summary": message.subject[:LONGEST_SUMMARY],
                "source": socket.gethostname(),
                "severity": _SEVERITIES[message.severity],
                "timestamp": message.timestamp,
                "component": "campaign-scheduler",
                "class": message.kind,
                "custom_details": {"message": message.message, "count": message.count, **message.details},
            }
        return post(config.get("url") or EVENTS_URL, as_body(event), {})
