"""PagerDuty, Events API v2: an opened alert triggers an incident, a resolved one resolves it."""

import socket
from typing import Any, Final

from django.utils.translation import gettext_lazy

from monitoring.alerting.channels.base import Channel, ChannelResponse, Config, Field, check_receiver_url, post
from monitoring.alerting.channels.limits import (
    PAGERDUTY_EVENT,
    PAGERDUTY_KEY,
    PAGERDUTY_SUMMARY,
    Limit,
    as_body,
    cut,
    fit,
)
from monitoring.alerting.message import RESOLVE, Message
from monitoring.models import Severity

EVENTS_URL: Final = "https://events.pagerduty.com/v2/enqueue"
_SEVERITIES: Final = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "critical"}


def _key(message: Message) -> str:
    """Return the alert's key, or a digest of one that is too long: a part of it could be another alert's."""
    if PAGERDUTY_KEY.of(message.alert) <= PAGERDUTY_KEY.size:
        return message.alert
    return f"campaign-scheduler-{message.thread}"


class PagerDuty(Channel):
    """Sends both events with the alert's key, which PagerDuty matches them by."""

    name, label, icon = "pagerduty", "PagerDuty", "emergency"
    says = gettext_lazy("PagerDuty incident (Events API v2), resolved with the alert")
    fields = (
        Field(
            "routing_key",
            gettext_lazy("Integration key"),
            gettext_lazy("From an Events API v2 integration."),
            secret=True,
        ),
        Field(
            "url",
            gettext_lazy("URL"),
            gettext_lazy("Leave empty for https://events.pagerduty.com/v2/enqueue."),
            required=False,
            check=check_receiver_url,
            is_receiver=True,
        ),
    )

    def send(self, message: Message, config: Config) -> ChannelResponse:
        event: dict[str, Any] = {
            "routing_key": config["routing_key"],
            "event_action": "resolve" if message.action == RESOLVE else "trigger",
            "dedup_key": _key(message),
        }
        more = {"count": message.count, "links": message.links, "runbook": message.runbook}
        if message.action != RESOLVE:
            event["payload"] = {
                "summary": cut(message.subject, PAGERDUTY_SUMMARY),
                "source": socket.gethostname(),
                "severity": _SEVERITIES[message.severity],
                "timestamp": message.timestamp,
                "component": "campaign-scheduler",
                "class": message.kind,
                "custom_details": {"message": message.message, **more, **message.details},
            }
            event["links"] = [
                {"href": address, "text": name.capitalize()}
                for name, address in message.links.items()
                if address.startswith("http")
            ]
            room = PAGERDUTY_EVENT.size - len(as_body({**event, "payload": {**event["payload"], "custom_details": {}}}))
            if len(as_body(event["payload"]["custom_details"])) > room:
                details = {"message": message.message, **more, "details": message.details}
                event["payload"]["custom_details"] = fit(details, Limit(room), among=("message", "details"))
        return post(config.get("url") or EVENTS_URL, as_body(event), {})
