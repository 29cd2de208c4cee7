"""A line of the monitor's log."""

import logging
from typing import Final

import structlog
from django.utils.translation import gettext_lazy

from monitoring.alerting.channels.base import Channel, ChannelResponse, Config
from monitoring.alerting.message import RESOLVE, Message
from monitoring.models import Severity

log = structlog.get_logger("alerts")
_LEVELS: Final = {
    Severity.INFO: logging.INFO,
    Severity.WARNING: logging.WARNING,
    Severity.CRITICAL: logging.ERROR,
}


class Log(Channel):
    name, label, icon = "log", gettext_lazy("Log"), "subject"
    says = gettext_lazy("a line in the monitor's log, at the level of the alert's severity")

    def send(self, message: Message, config: Config) -> ChannelResponse:
        level = logging.INFO if message.action == RESOLVE else _LEVELS[message.severity]
        log.log(
            level,
            "alert.sent",
            action=message.action,
            kind=message.kind,
            title=message.title,
            alert_message=message.message,
            count=message.count,
            details=dict(message.details),
            links=dict(message.links),
            runbook=message.runbook,
        )
        return ChannelResponse("logged")
