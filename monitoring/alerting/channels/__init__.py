"""The channels that alerts are sent over, one file each. To add one, add a file and list its class in CHANNELS."""

from typing import Final

from monitoring.alerting.channels.apprise_url import AppriseUrl
from monitoring.alerting.channels.base import Channel, ChannelResponse, Field, Undeliverable
from monitoring.alerting.channels.email import Email
from monitoring.alerting.channels.log import Log
from monitoring.alerting.channels.pagerduty import PagerDuty
from monitoring.alerting.channels.slack import Slack
from monitoring.alerting.channels.webhook import Webhook

CHANNELS: Final[dict[str, Channel]] = {
    channel.name: channel for channel in (Log(), Email(), Webhook(), Slack(), PagerDuty(), AppriseUrl())
}

__all__ = ["CHANNELS", "Channel", "ChannelResponse", "Field", "Undeliverable"]
