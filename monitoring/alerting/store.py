"""Stores alerts: raises, acknowledges and resolves them.

While an alert is open, or within ALERT_THROTTLE_SECONDS after the monitor resolved it, repeats (the same key) are
counted on its row. The monitor notifies the handlers, not this module. An alert raised in a transaction is rolled back
with it.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext

from jobs import audit, taking_back
from jobs.errors import StateConflict
from monitoring.alerting.isolation import isolate
from monitoring.models import Alert, Kind, Severity
from scheduler_project.links import page
from scheduler_project.logs import mask
from scheduler_project.text import LONGEST_TRACEBACK, clean, line, of_error, readable, shorten

log = structlog.get_logger(__name__)
MONITOR: Final = "monitor"  #: the actor of alerts that resolve by themselves
_KIND: Final = "alert"  #: in an operator action's `undo`
LONGEST: Final = 200  #: characters of a key or title
LONGEST_DETAILS: Final = 100_000  #: characters of an alert's details as JSON
DEEPEST: Final = 20  #: levels of details; deeper ones become text, which whoever reads them later can do, too
MOST_CAMPAIGNS: Final = 20  #: listed in an alert's details; all are counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    kind: Kind
    key: str
    severity: Severity
    title: str
    message: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    job_type: str = ""
    campaigns: Mapping[str, int] = field(default_factory=dict)  #: occurrences by campaign, "" for none
    count: int = 1


def critical(title: str, message: str = "", details: Mapping[str, Any] | None = None) -> None:
    """Raise an alert that needs attention now. Never raises: what cannot be recorded is logged."""
    _from_code(Severity.CRITICAL, title, message, details)


def warning(title: str, message: str = "", details: Mapping[str, Any] | None = None) -> None:
    """Raise an alert that needs attention. Never raises: what cannot be recorded is logged."""
    _from_code(Severity.WARNING, title, message, details)


def info(title: str, message: str = "", details: Mapping[str, Any] | None = None) -> None:
    """Raise an alert for information. Never raises: what cannot be recorded is logged."""
    _from_code(Severity.INFO, title, message, details)


def _from_code(severity: Severity, title: str, message: str, details: Mapping[str, Any] | None) -> None:
    try:
        key = f"code:{severity.word}:{title}"
        record(Finding(kind=Kind.CODE, key=key, severity=severity, title=title, message=message, details=details or {}))
    except Exception as error:  # noqa: BLE001 - callers are in trouble already: an alert must not add to it
        reason = of_error(readable(error))
        log.error("alert.record_failed", title=title, message=message, severity=severity.word, error=reason)


@transaction.atomic
def record(finding: Finding, *, at: datetime | None = None, reopen: bool = True) -> Alert:
    """Count `finding` on the open or just resolved alert with its key, or open one. Raises django.db's errors."""
    now = at or timezone.now()
    key, title = key_of(finding.key), line(mask(finding.title), LONGEST)
    alert = _find_for_update(key, now, reopen=reopen)
    if alert is None:
        try:
            with transaction.atomic():
                alert = Alert.objects.create(
                    kind=finding.kind,
                    key=key,
                    severity=finding.severity,
                    title=title,
                    opened_at=now,
                )
            log.warning("alert.opened", alert=alert.pk, kind=finding.kind, title=finding.title)
        except IntegrityError:  # opened concurrently
            alert = Alert.objects.select_for_update().get(key=key, resolved_at=None)
    elif alert.resolved_at:
        log.warning("alert.reopened", alert=alert.pk, kind=finding.kind, title=finding.title)
        alert.resolved_at, alert.resolved_by, alert.acknowledged_at, alert.acknowledged_by = None, "", None, ""
    _count(alert, finding, now)
    return alert


def record_each(findings: Iterable[Finding], *, at: datetime) -> list[Alert]:
    """Record each finding in a savepoint of its own: one that cannot be recorded is logged and costs no other.

    Raises django.db's errors of an outage.
    """
    recorded = []
    for finding in findings:
        with isolate("alert.record_failed", key=finding.key, title=finding.title, message=finding.message):
            recorded.append(record(finding, at=at))
    return recorded


def _find_for_update(key: str, now: datetime, *, reopen: bool) -> Alert | None:
    """Lock and return the alert on which repeats of this key are counted: the open one, else one just resolved."""
    recent = Q(resolved_by=MONITOR, resolved_at__gt=now - settings.ALERT_THROTTLE)
    wanted = Q(resolved_at=None) | recent if reopen else Q(resolved_at=None)
    rows = Alert.objects.select_for_update().filter(wanted, key=key)
    return rows.order_by(F("resolved_at").desc(nulls_first=True), "-id").first()


def _count(alert: Alert, finding: Finding, now: datetime) -> None:
    fresh = Counter(alert.fresh)
    fresh.update(finding.campaigns or {"": finding.count})
    # Details of alerts raised by code are free-form: a "campaigns" there is not our count.
    campaigns = Counter({} if finding.kind == Kind.CODE else alert.details.get("campaigns", {}))
    campaigns.update({name: n for name, n in finding.campaigns.items() if name})
    alert.fresh, alert.is_fresh = dict(fresh), True
    alert.severity, alert.title, alert.message = (
        finding.severity,
        line(mask(finding.title), LONGEST),
        _mask(finding.message),
    )
    alert.job_type, alert.last_at = finding.job_type, now
    alert.details = _as_json(finding.details)
    if campaigns:
        alert.details["campaigns"] = dict(campaigns.most_common(MOST_CAMPAIGNS))
    alert.count += finding.count
    alert.save()


def _mask(text: str) -> str:
    """Mask and shorten a text: an error may quote a URL with its password, and handlers send it anywhere."""
    return shorten(mask(text), LONGEST_TRACEBACK)


def key_of(text: str) -> str:
    """Return a finding's key as alerts have it: masked, and if it is long, cut and ended with a digest of it."""
    kept = line(mask(text), LONGEST * 10)
    if len(kept) <= LONGEST:
        return kept
    return f"{kept[: LONGEST - 10]}…{blake2b(text.encode(errors='replace'), digest_size=4).hexdigest()}"


def _as_json(details: Mapping[str, Any]) -> Any:
    """Convert details to JSON, other types to text. Of what cannot be converted only the reason is kept."""
    try:
        text = json.dumps({str(name): value for name, value in details.items()}, default=str, skipkeys=True)
        if len(text) > LONGEST_DETAILS:
            return {"details": shorten(mask(text), LONGEST_TRACEBACK)}
        return clean(_mask_json(json.loads(text, parse_constant=str)))
    except Exception as error:  # noqa: BLE001 - anybody's __str__, what contains itself, or is nested too deeply
        return {"details_error": of_error(readable(error), clean=mask)}


def _mask_json(value: Any, depth: int = 0) -> Any:
    """Mask the strings of decoded JSON, keys too, and numbers that are or contain a secret."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict | list) and depth == DEEPEST:
        return shorten(mask(json.dumps(value)), LONGEST_TRACEBACK)
    if isinstance(value, dict):
        return {mask(name): _mask_json(one, depth + 1) for name, one in value.items()}
    if isinstance(value, list):
        return [_mask_json(one, depth + 1) for one in value]
    text = mask(str(value))
    return value if text == str(value) else text


def open_alerts(*, limit: int = 100) -> QuerySet[Alert]:
    """Return at most `limit` unresolved alerts, the most severe and latest first."""
    return Alert.objects.filter(resolved_at=None).order_by("acknowledged_at", "-severity", "-last_at")[:limit]


def acknowledge(alerts: Iterable[Alert], *, actor: str) -> int:
    """Mark alerts as seen: repeats are counted but not sent. Returns how many were open."""
    changes = {"acknowledged_at": timezone.now(), "acknowledged_by": actor[:120]}
    return _end(alerts, Q(resolved_at=None, acknowledged_at=None), changes, actor=actor, verb="acknowledged")


def resolve(alerts: Iterable[Alert], *, actor: str) -> int:
    """Resolve alerts; targets that got them get the resolution. Returns how many were open."""
    changes = {"resolved_at": timezone.now(), "resolved_by": actor[:120]}
    return _end(alerts, Q(resolved_at=None), changes, actor=actor, verb="resolved")


def undo_of(alert: Alert) -> str:
    """What takes it back that an operator acknowledged or resolved the alert."""
    return f"{_KIND}/{alert.pk}"


def _changes_of(changes: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The time of the change; an alert had none before."""
    return {name: (None, value.isoformat()) for name, value in changes.items() if name.endswith("_at")}


def _is_as_left(key: str, changes: taking_back.Changes) -> bool:
    """No alert on the same has been raised since: two would be open, or repeats would be counted on the other."""
    alert = Alert.objects.filter(pk=key).first()
    if alert is None or not changes:
        return False
    now = {name: at.isoformat() for name in ("acknowledged_at", "resolved_at") if (at := getattr(alert, name))}
    again = alert.resolved_at and Alert.objects.filter(key=alert.key, pk__gt=alert.pk).exists()
    return not again and {**now, **taking_back.fields_after(changes)} == now


def _take_back(key: str, changes: taking_back.Changes, actor: str) -> None:
    """Open, or unseen, again. What was sent stays sent; the monitor resolves it where its cause is gone.

    Raises StateConflict if it would be open twice.
    """
    alert = Alert.objects.select_for_update().get(pk=key)
    emptied: dict[str, Any] = {}
    for name in changes:
        emptied |= {name: None, f"{name.removesuffix('_at')}_by": ""}
    try:
        with transaction.atomic():
            Alert.objects.filter(pk=key).update(**emptied)
    except IntegrityError:  # another one on the same was opened meanwhile
        raise StateConflict(gettext("it has been changed since")) from None
    verb = "reopened" if "resolved_at" in changes else "marked as unseen"
    log.info("alert.taken_back", alert=alert.pk, title=alert.title, verb=verb, actor=actor)
    link = page("monitoring_alert_change", alert.pk)
    audit.record(actor=actor, verb=verb, target=f"alert {alert.title}"[:200], link=link)


taking_back.add(_KIND, taking_back.Way("jobs.acknowledge_alerts", _is_as_left, _take_back))


@transaction.atomic
def _end(alerts: Iterable[Alert], where: Q, changes: Mapping[str, Any], *, actor: str, verb: str) -> int:
    rows = Alert.objects.select_for_update().filter(where, pk__in=[alert.pk for alert in alerts])
    matching = list(rows)
    Alert.objects.filter(pk__in=[alert.pk for alert in matching]).update(**changes)
    for alert in matching:
        event = "alert.resolved" if verb == "resolved" else "alert.acknowledged"
        log.info(event, alert=alert.pk, title=alert.title, actor=actor)
        if actor != MONITOR:
            target, link = f"alert {alert.title}"[:200], page("monitoring_alert_change", alert.pk)
            undo = undo_of(alert)
            audit.record(actor=actor, verb=verb, target=target, link=link, changes=_changes_of(changes), undo=undo)
    return len(matching)
