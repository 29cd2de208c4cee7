"""E-mail, over the server of EMAIL_HOST."""

from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage, get_connection
from django.core.validators import validate_email
from django.utils.translation import gettext, gettext_lazy

from monitoring.alerting.channels.base import TIMEOUT_S, Channel, ChannelResponse, Config, Field, as_text
from monitoring.alerting.channels.limits import MAIL_BODY, MAIL_SUBJECT, cut
from monitoring.alerting.message import Message


def recipients(text: str) -> list[str]:
    """Split addresses at commas and line breaks."""
    return [address.strip() for address in text.replace("\n", ",").split(",") if address.strip()]


def _check(text: str) -> None:
    if not recipients(text):
        raise ValidationError(gettext("Enter at least one address."))
    for address in recipients(text):
        validate_email(address)


class Email(Channel):
    """Sends one e-mail to all recipients; the e-mails of one alert form a thread."""

    name, label, icon = "email", gettext_lazy("E-mail"), "mail"
    says = gettext_lazy("to one or more addresses, through EMAIL_HOST")
    fields = (Field("to", gettext_lazy("Recipients"), gettext_lazy("Addresses, separated by commas."), check=_check),)

    def send(self, message: Message, config: Config) -> ChannelResponse:
        """Send the e-mail. Raises smtplib's errors and OSError."""
        to = recipients(config["to"])
        thread = f"<{message.thread}@campaign-scheduler>"
        headers = {"References": thread, "X-Alert-Delivery": message.id}
        mail = EmailMessage(
            cut(message.subject, MAIL_SUBJECT),
            as_text(message, MAIL_BODY),
            to=to,
            headers=headers,
            connection=get_connection(timeout=int(TIMEOUT_S)),
        )
        mail.send()
        return ChannelResponse(f"accepted by the mail server for {len(to)} recipient{'' if len(to) == 1 else 's'}")
