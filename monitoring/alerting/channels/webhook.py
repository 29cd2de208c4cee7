"""A webhook of one's own: JSON, signed so that the receiver knows who sent it and when.

Signature: `X-Alert-Signature: sha256=<hex>` is the HMAC-SHA256 of `<X-Alert-Timestamp>.<body>` under the shared secret.
A receiver checks it, refuses timestamps (Unix seconds) that are more than some minutes old, and, for an attempt whose
answer was lost is sent again, takes each X-Alert-Delivery once.
"""

import hashlib
import hmac
import time

from monitoring.alerting.channels.base import Answer, Channel, Config, Field, as_body, check_place, post
from monitoring.alerting.message import Message


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """The value of X-Alert-Signature."""
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


class Webhook(Channel):
    """POSTs the message as JSON."""

    name, label, icon = "webhook", "Webhook", "webhook"
    says = "JSON to a URL of yours, signed with HMAC-SHA256 and a timestamp"
    fields = (
        Field("url", "URL", "http:// or https://", check=check_place),
        Field("secret", "Signing secret", "known to the receiver too", secret=True),
    )

    def send(self, message: Message, config: Config) -> Answer:
        """POST it, signed now."""
        body, timestamp = as_body({**message.as_json(), "subject": message.subject}), str(int(time.time()))
        headers = {
            "X-Alert-Timestamp": timestamp,
            "X-Alert-Signature": signature(config["secret"], timestamp, body),
            "X-Alert-Delivery": message.id,
        }
        return post(config["url"], body, headers)
