"""The message that a handler gets about an alert."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final

from django.conf import settings
from django.utils.translation import gettext, ngettext

from jobs.actor import name_of
from monitoring.alerting.links import links_of, runbook_of
from monitoring.models import Alert, Severity

TRIGGER, RESOLVE, TEST = "trigger", "resolve", "test"
_BREAKS: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")  #: what ends a line, or is no character to see


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `id` is the delivery's and the same in every attempt, so that a receiver recognises a repeat."""

    action: str  #: trigger, resolve or test
    alert: str  #: the same for all messages of one alert
    kind: str
    severity: Severity
    title: str
    message: str
    timestamp: str  #: ISO 8601: the last occurrence, or the resolution
    count: int = 1  #: occurrences that this message covers
    details: Mapping[str, Any] = field(default_factory=dict)
    environment: str = ""
    links: Mapping[str, str] = field(default_factory=dict)  #: pages by name; paths without PUBLIC_URL
    runbook: str = ""  #: what to do first
    id: str = ""

    @property
    def subject(self) -> str:
        """One line: severity or RESOLVED, the title, and the number of repeats."""
        title = _BREAKS.sub(" ", self.title).strip()
        if self.action == RESOLVE:
            return gettext("[RESOLVED] %(title)s") % {"title": title}
        said = {"severity": self.severity.label.upper(), "title": title, "more": self.count - 1}
        if self.count <= 1:
            return gettext("[%(severity)s] %(title)s") % said
        return (
            ngettext(
                "[%(severity)s] %(title)s (and %(more)s more)",
                "[%(severity)s] %(title)s (and %(more)s more)",
                self.count - 1,
            )
            % said
        )

    @property
    def thread(self) -> str:
        """A digest of `alert`: that of an alert from code has its title's characters, which a header may not take."""
        return blake2b(self.alert.encode(errors="replace"), digest_size=16).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """Return the form in which messages are stored and sent."""
        return {**asdict(self), "severity": self.severity.word}


def message_of(alert: Alert, action: str, *, count: int, at: datetime) -> Message:
    text = alert.message
    if action == RESOLVE:
        said = {"who": name_of(alert.resolved_by), "message": alert.message}
        text = gettext("Resolved by %(who)s. It was: %(message)s") % said
    return Message(
        action=action,
        alert=f"campaign-scheduler-{alert.key}-{alert.opened_at:%Y%m%dT%H%M%S}",
        kind=alert.kind,
        severity=Severity(alert.severity),
        title=alert.title,
        message=text,
        timestamp=at.isoformat(timespec="milliseconds"),
        count=count,
        details=alert.details,
        environment=settings.ENVIRONMENT,
        links=links_of(alert),
        runbook=runbook_of(alert.kind),
    )


def from_json(stored: Mapping[str, Any], *, id: str) -> Message:  # noqa: A002 - the field's name
    """Read the message of a stored delivery."""
    severity = next(s for s in Severity if s.word == stored["severity"])
    return Message(**{**stored, "severity": severity, "id": id})
