"""Slack, through an incoming webhook."""

from typing import Any, Final

from django.utils.translation import gettext_lazy

from monitoring.alerting.channels.base import Channel, ChannelResponse, Config, Field, as_text, check_receiver_url, post
from monitoring.alerting.channels.limits import SLACK_SECTION, SLACK_TEXT, Limit, as_body, characters, cut
from monitoring.alerting.message import RESOLVE, Message
from monitoring.models import Severity

_COLOURS: Final = {Severity.INFO: "#439FE0", Severity.WARNING: "#DAA038", Severity.CRITICAL: "#A30200"}


def escape(text: str) -> str:
    """Escape text so that it mentions nobody and links nowhere.

    >>> escape("<!channel> & all")
    '&lt;!channel&gt; &amp; all'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _when_escaped(limit: Limit) -> Limit:
    """The limit of a text that is escaped afterwards, so that no half of an escape ends it."""
    return Limit(limit.size, lambda part: characters(escape(part)))


class Slack(Channel):
    """Posts to an incoming webhook. Its URL is a secret."""

    name, label, icon = "slack", "Slack", "tag"
    says = gettext_lazy("Slack channel (incoming webhook)")
    fields = (
        Field(
            "url",
            gettext_lazy("Webhook URL"),
            "https://hooks.slack.com/services/…",
            secret=True,
            check=check_receiver_url,
        ),
    )

    def send(self, message: Message, config: Config) -> ChannelResponse:
        colour = "#2EB67D" if message.action == RESOLVE else _COLOURS[message.severity]
        text: dict[str, Any] = {"type": "mrkdwn", "text": escape(as_text(message, _when_escaped(SLACK_SECTION)))}
        payload = {
            "text": escape(cut(message.subject, _when_escaped(SLACK_TEXT))),
            "attachments": [{"color": colour, "blocks": [{"type": "section", "text": text}]}],
        }
        return post(config["url"], as_body(payload), {})
