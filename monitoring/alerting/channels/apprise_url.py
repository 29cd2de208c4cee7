"""Any service that Apprise supports, by its URL: Telegram, Teams, Matrix, ntfy and about a hundred others.

The egress guard covers everything Apprise sends over Python sockets in this thread: all its HTTP, SMTP and
syslog-over-UDP services. Services of the machine itself (desktop, syslog) are refused. Services that need a library of
their own (MQTT, XMPP, SMPP) are not installed.
"""

import os
from typing import Any, Final

import apprise
from django.conf import settings as project
from django.core.exceptions import ValidationError
from django.utils.translation import gettext, gettext_lazy

from monitoring.alerting.channels.base import (
    Channel,
    ChannelResponse,
    Config,
    Field,
    Undeliverable,
    as_text,
    make_guard,
)
from monitoring.alerting.channels.limits import MAIL_BODY, Limit, characters, cut
from monitoring.alerting.egress_guard import AddressRefused
from monitoring.alerting.message import RESOLVE, Message
from monitoring.models import Severity

#: Services of the monitor's own machine: nobody sees their messages, and they have no address to check.
LOCAL: Final = frozenset({"dbus", "kde", "qt", "glib", "gnome", "macosx", "syslog", "windows"})
_TITLE_MARKUP: Final = 40  #: characters that Apprise puts around a title that goes into the body
_TYPES: Final = {
    Severity.INFO: apprise.NotifyType.INFO,
    Severity.WARNING: apprise.NotifyType.WARNING,
    Severity.CRITICAL: apprise.NotifyType.FAILURE,
}


def service(url: str) -> Any:
    """Return the Apprise service of a URL. Raises Undeliverable if there is none, or it is one of LOCAL."""
    asset = apprise.AppriseAsset(
        app_id="Campaign scheduler",
        secure_logging=True,
        storage_mode="memory",
        http_redirects=False,  # a host that nobody has chosen would get the message; a URL may say redirect=yes
    )
    if url.partition(":")[0].lower() in LOCAL:
        raise Undeliverable("services of this machine are not offered")
    found = apprise.Apprise.instantiate(url, asset=asset)
    if found is None:
        raise Undeliverable("Apprise does not know this URL")
    return found


def _check(url: str) -> None:
    try:
        service(url)
    except Undeliverable as unfit:
        raise ValidationError(gettext("Apprise cannot use this URL: %(reason)s.") % {"reason": unfit}) from None


def texts_for(plugin: Any, message: Message) -> tuple[str, str]:
    """Return title and body as the service takes them; Apprise's own way of cutting them says nothing of it.

    A URL with ?overflow=split gets all, in several messages.
    """
    if plugin.overflow_mode == apprise.OverflowMode.SPLIT:
        return message.subject, _lines_for(plugin, as_text(message, MAIL_BODY))
    title = cut(message.subject, Limit(plugin.title_maxlen if plugin.title_maxlen > 0 else plugin.body_maxlen // 2))
    room = plugin.body_maxlen - plugin.overflow_buffer
    if plugin.title_maxlen <= 0:
        room -= characters(title) + _TITLE_MARKUP
    elif plugin.overflow_amalgamate_title:  # with room for Apprise's numbers of parts
        room -= characters(title) + plugin.overflow_max_display_count_width
    return title, _lines_for(plugin, as_text(message, Limit(max(room, 1))))


def _lines_for(plugin: Any, text: str) -> str:
    return " ".join(text.split("\n")) if plugin.body_max_line_count else text  # Apprise drops further lines


class AppriseUrl(Channel):
    name, label, icon = "apprise", "Apprise", "hub"
    says = gettext_lazy("any service that Apprise supports, by its URL")
    fields = (
        Field(
            "url",
            gettext_lazy("Apprise URL"),
            gettext_lazy("e.g. tgram://…, msteams://…, ntfys://…"),
            secret=True,
            check=_check,
        ),
    )

    def send(self, message: Message, config: Config) -> ChannelResponse:
        """Send through Apprise, which reports only success or failure."""
        kind = apprise.NotifyType.SUCCESS if message.action == RESOLVE else _TYPES[message.severity]
        if not project.ALERT_ALLOW_PRIVATE_NETWORKS:
            # Behind a proxy the egress guard would see only the proxy's address.
            os.environ["no_proxy"] = os.environ["NO_PROXY"] = "*"
        try:
            with make_guard():
                plugin = service(config["url"])
                title, body = texts_for(plugin, message)
                sent = plugin.notify(title=title, body=body, notify_type=kind, body_format="text")
        except AddressRefused as refused:
            raise Undeliverable(str(refused)) from None
        if not sent:
            raise ConnectionError("Apprise could not deliver it; its own words stand in the monitor's log")
        return ChannelResponse("accepted by Apprise")
