"""A webhook: JSON with a signature that proves who sent it and when.

`X-Alert-Signature: sha256=<hex>` is the HMAC-SHA256 of `<X-Alert-Timestamp>.<body>` under the shared secret. A receiver
should check it, reject timestamps (Unix seconds) older than a few minutes, and process each X-Alert-Delivery only once:
a delivery whose response was lost is sent again.
"""

import hashlib
import hmac
import time

from django.utils.translation import gettext_lazy

from monitoring.alerting.channels.base import Channel, ChannelResponse, Config, Field, check_receiver_url, post
from monitoring.alerting.channels.limits import WEBHOOK_BODY, as_body, fit
from monitoring.alerting.message import Message


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return the value of X-Alert-Signature."""
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


class Webhook(Channel):
    name, label, icon = "webhook", gettext_lazy("Webhook"), "webhook"
    says = gettext_lazy("JSON POST to your URL, signed with HMAC-SHA256 and a timestamp")
    fields = (
        Field(
            "url",
            gettext_lazy("URL"),
            gettext_lazy("http:// or https://"),
            check=check_receiver_url,
            is_receiver=True,
        ),
        Field("secret", gettext_lazy("Signing secret"), gettext_lazy("Shared secret for the signature."), secret=True),
    )

    def send(self, message: Message, config: Config) -> ChannelResponse:
        content = {**message.as_json(), "subject": message.subject}
        body = as_body(fit(content, WEBHOOK_BODY, among=("details", "message", "title", "subject")))
        timestamp = str(int(time.time()))
        headers = {
            "X-Alert-Timestamp": timestamp,
            "X-Alert-Signature": signature(config["secret"], timestamp, body),
            "X-Alert-Delivery": message.id,
        }
        return post(config["url"], body, headers)
