"""Turns counted occurrences into deliveries: who is notified of what, and when.

Each target has a notice for each alert. The first occurrence is sent at once, then nothing for ALERT_THROTTLE_SECONDS,
then one message for all repeats. A target that got an alert also gets its resolution; a disabled handler gets it once
it is enabled again. Nothing more is sent about an acknowledged alert until it is resolved.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from monitoring.alerting import code_handlers
from monitoring.alerting.isolation import isolate
from monitoring.alerting.message import RESOLVE, TEST, TRIGGER, Message, message_of
from monitoring.models import Alert, AlertHandler, Delivery, Notice, Severity
from scheduler_project.moments import read_zone

log = structlog.get_logger(__name__)
AT_ONCE: Final = 200  #: alerts in one round


@dataclass(frozen=True, slots=True)
class Target:
    """Who may be notified: an alert handler of the admin, or one in code."""

    name: str
    label: str
    kind: str
    minimum: Severity
    handler: AlertHandler | None = None

    def wants(self, alert: Alert) -> int:
        """Count the alert's fresh occurrences that this target wants."""
        handler = self.handler
        if alert.severity < self.minimum:
            return 0
        if handler is None:
            return sum(alert.fresh.values())
        if handler.alert_kinds and alert.kind not in handler.alert_kinds:
            return 0
        if handler.job_types and alert.job_type not in handler.job_types:
            return 0
        fresh: Mapping[str, int] = alert.fresh
        return sum(n for campaign, n in fresh.items() if not handler.campaigns or campaign in handler.campaigns)

    def is_quiet(self, alert: Alert, now: datetime) -> bool:
        """Return whether messages about `alert` wait for the end of the target's quiet hours."""
        h = self.handler
        if h is None or h.quiet_from is None or h.quiet_until is None or h.quiet_from == h.quiet_until:
            return False
        if alert.severity >= Severity.CRITICAL and h.wake_for_critical:
            return False
        try:
            time = now.astimezone(read_zone(h.time_zone)).time()
        except ValueError:  # dropped by an update of the zones, or edited in the database
            log.warning("alert.zone_unknown", handler=h.name, time_zone=h.time_zone, next="quiet hours are ignored")
            return False
        if h.quiet_from < h.quiet_until:
            return h.quiet_from <= time < h.quiet_until
        return time >= h.quiet_from or time < h.quiet_until


def targets() -> dict[str, Target]:
    """Return every target by name."""
    handlers = [target_of(handler) for handler in AlertHandler.objects.filter(enabled=True)]
    functions = [
        Target(name, name.removeprefix(code_handlers.PREFIX), "code", known.minimum)
        for name, known in code_handlers.code_handlers().items()
    ]
    return {target.name: target for target in [*handlers, *functions]}


def target_of(handler: AlertHandler) -> Target:
    minimum = Severity(handler.minimum_severity)
    return Target(f"handler:{handler.pk}", handler.name, handler.kind, minimum, handler)


@transaction.atomic
def route(now: datetime) -> None:
    """Create deliveries for fresh occurrences and for resolved alerts."""
    known = targets()
    for alert in Alert.objects.select_for_update().filter(is_fresh=True).order_by("is_fresh", "id")[:AT_ONCE]:
        with isolate("alert.route_failed", alert=alert.pk, title=alert.title):
            _add_to_notices(alert, known)
    _send_triggers(known, now)
    _send_resolutions(known, now)


def send_test(handler: AlertHandler) -> Delivery:
    """Create a test delivery for `handler`, whatever its filters."""
    message = Message(
        action=TEST,
        alert=f"campaign-scheduler-test-{handler.pk}",
        kind="test",
        severity=Severity.INFO,
        title=gettext("Test alert of the campaign scheduler"),
        message=gettext("The handler %(handler)s works. No action is needed.") % {"handler": handler.name},
        timestamp=timezone.now().isoformat(timespec="milliseconds"),
        environment=settings.ENVIRONMENT,
    )
    return _deliver(target_of(handler), None, message)


def _add_to_notices(alert: Alert, known: Mapping[str, Target]) -> None:
    for target in known.values():
        fresh = target.wants(alert)
        if fresh:
            notice, _ = Notice.objects.get_or_create(alert=alert, target=target.name)
            notice.unsent += fresh
            notice.save(update_fields=["unsent"])
    Alert.objects.filter(pk=alert.pk).update(fresh={}, is_fresh=False)


def _send_triggers(known: Mapping[str, Target], now: datetime) -> None:
    waiting = Notice.objects.unsent().select_related("alert").order_by("id")
    for notice in waiting:
        alert, target = notice.alert, known.get(notice.target)
        was_seen = notice.notified_at or alert.acknowledged_at
        if target is None or (alert.resolved_at and (was_seen or target.is_quiet(alert, now))):
            Notice.objects.filter(pk=notice.pk).update(unsent=0)  # the target is gone, or the alert resolved meanwhile
            continue
        throttled = notice.notified_at is not None and now - notice.notified_at < settings.ALERT_THROTTLE
        if throttled or alert.acknowledged_at or target.is_quiet(alert, now):
            continue
        with isolate("alert.route_failed", alert=alert.pk, title=alert.title, target=notice.target):
            _deliver(target, alert, message_of(alert, TRIGGER, count=notice.unsent, at=alert.last_at))
            Notice.objects.filter(pk=notice.pk).update(unsent=0, notified_at=now, thinks_open=True)


def _send_resolutions(known: Mapping[str, Target], now: datetime) -> None:
    ended = Notice.objects.filter(thinks_open=True, alert__resolved_at__isnull=False).select_related("alert")
    # A disabled handler is owed the resolution until it is enabled again.
    disabled = [target_of(handler).name for handler in AlertHandler.objects.filter(enabled=False)]
    for notice in ended.exclude(target__in=disabled).order_by("id"):
        alert, target = notice.alert, known.get(notice.target)
        if target is not None and target.is_quiet(alert, now):
            continue
        with isolate("alert.route_failed", alert=alert.pk, title=alert.title, target=notice.target):
            if target is not None:
                _deliver(target, alert, message_of(alert, RESOLVE, count=alert.count, at=alert.resolved_at or now))
            Notice.objects.filter(pk=notice.pk).update(thinks_open=False)


def _deliver(target: Target, alert: Alert | None, message: Message) -> Delivery:
    stored: dict[str, Any] = message.as_json()
    return Delivery.objects.create(
        alert=alert,
        target=target.name,
        handler=target.handler,
        handler_name=target.label,
        handler_kind=target.kind,
        action=message.action,
        message=stored,
    )
