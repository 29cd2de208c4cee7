"""The monitor process: watches, opens and resolves alerts, and lets them be delivered. Of several one is active.

Its lease is a row of the database, for Redis may be what is gone. While the database is gone it tells the handlers it
knew last, straight from memory, and writes it down when the database is back.
"""

import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

import structlog
from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import Q
from django.utils import timezone
from redis import RedisError

from jobs.broker import keys
from jobs.processes.heartbeat import Heartbeat
from monitoring import health
from monitoring.alerting import auto_resolve, dead_letters, delivery, routing, store
from monitoring.alerting.code_handlers import registered
from monitoring.alerting.conditions import Conditions, condition, fired_late
from monitoring.alerting.message import TRIGGER, Message, message_of
from monitoring.alerting.routing import Target
from monitoring.alerting.store import Finding, record
from monitoring.checks import CHECKS
from monitoring.health import Found, Round
from monitoring.models import Alert, Delivery, Kind, MonitorState, Notice, Severity

log = structlog.get_logger(__name__)
LEASE: Final = timedelta(seconds=15)
EVERY_S: Final = 1.0
CONDITIONS_EVERY_S: Final = 5.0
CLEAN_UP_EVERY_S: Final = 3600.0
BATCHES: Final = 5  #: of deaths in one round
GRACE_S: Final = 10.0  #: for what is being sent when the process is told to stop


class Monitor:
    """A Process of jobs/processes/loop.py."""

    def __init__(self, *, conditions: Conditions | None = None, looks: Round | None = None) -> None:
        self._owner = uuid4().hex
        self._heartbeat = Heartbeat("monitor", self._owner, keys.redis())
        self._round = looks or Round(CHECKS)
        self._conditions = conditions or Conditions()
        self._lanes = delivery.Lanes()
        self._active = False
        self._redis_answers = True
        self._renewed_at = self._looked_at = self._cleaned_at = float("-inf")
        self._targets: dict[str, Target] = {}
        self._outage: Outage | None = None

    def poll(self) -> float:
        """One round; seconds until the next. Raises StopRequested, and django.db's errors when the database fails."""
        now = timezone.now()
        found = self._round.components() if self._active else {}
        self._redis_answers = not found or found["redis"].status == health.UP
        if found and found["database"].status == health.DOWN:
            return self._without_database(found, now)
        if self._outage:
            self._outage.write_down()
            self._outage = None
        if not self._lead(now):
            return LEASE.total_seconds() / 4
        for _ in range(BATCHES):
            if not dead_letters.collect(now):
                break
        if found and time.monotonic() - self._looked_at >= CONDITIONS_EVERY_S:
            self._looked_at = time.monotonic()
            self.watch(found, now)
        routing.route(now)
        self._lanes.work(timezone.now())
        self._targets = routing.targets()
        self._clean_up(now)
        return EVERY_S

    def close(self) -> None:
        """Let what is being sent end, give the lease back, and be gone."""
        self._lanes.wait(GRACE_S)
        try:
            if self._active:
                MonitorState.objects.filter(owner=self._owner).update(until=timezone.now())
        except DatabaseError as error:
            log.warning("monitor.not_released", error=str(error), next="its lease ends by itself")
        try:
            if self._redis_answers:
                self._heartbeat.leave()
        except RedisError as error:
            log.debug("monitor.unseen", error=str(error), next="its last word is forgotten by itself")

    def watch(self, found: Found, now: datetime) -> None:
        """Open what began, resolve what ended."""
        still_open = list(Alert.objects.filter(resolved_at=None))
        keys = frozenset(alert.key for alert in still_open)
        holds, judged = self._conditions.look(found, now, still_open=keys)
        late = self._late()
        _open((f for f in [*holds, *late] if f.key not in keys), now)
        held = {finding.key for finding in [*holds, *late]}
        over = [a for a in still_open if (a.kind in judged and a.key not in held) or auto_resolve.has_ended(a, found)]
        refused = found["api"].status == health.DEGRADED
        if refused and Kind.CREDENTIAL_REFUSED.value not in keys:
            _open([_credential(found["api"].message)], now)
        store.resolve(over, actor=store.MONITOR)

    def _late(self) -> list[Finding]:
        state = MonitorState.objects.get()
        awaits, late = fired_late(state.cron)
        if awaits != state.cron:
            MonitorState.objects.filter(pk=state.pk).update(cron=awaits)
        return late

    def _lead(self, now: datetime) -> bool:
        """Whether this is the active monitor. The row is taken when its owner's time is over."""
        if self._active and time.monotonic() - self._renewed_at < LEASE.total_seconds() / 4:
            return True
        MonitorState.objects.get_or_create(name="monitor", defaults={"until": now})
        free = MonitorState.objects.filter(Q(owner=self._owner) | Q(until__lte=now))
        held = bool(free.update(owner=self._owner, until=now + LEASE))
        self._renewed_at = time.monotonic()
        if held != self._active:
            log.info("monitor.active" if held else "monitor.standby", monitor=self._owner[:8])
        self._active = held
        if self._redis_answers:  # one that hangs would cost the lease
            self._say("active" if held else "standby")
        return held

    def _say(self, state: str) -> None:
        """Show among the processes that it lives. Raises StopRequested when an operator has asked it to stop."""
        try:
            self._heartbeat.beat_or_stop(state)
        except RedisError as error:
            log.debug("monitor.unseen", error=str(error), next="Redis may be what is gone: it watches all the same")

    def _without_database(self, found: Found, now: datetime) -> float:
        """Tell whom we knew last that the database is gone, once each."""
        gone = self._conditions.since_down("database", down=True) >= self._conditions.gone_s
        if self._outage is None and gone:
            self._outage = Outage(found["database"].message, now)
        if self._outage:
            self._outage.tell(self._targets)
        return EVERY_S

    def _clean_up(self, now: datetime) -> None:
        """Forget, hourly, what ended longer ago than RETENTION_DAYS."""
        if time.monotonic() - self._cleaned_at < CLEAN_UP_EVERY_S:
            return
        self._cleaned_at = time.monotonic()
        old = Alert.objects.filter(resolved_at__lt=now - settings.RETENTION).values_list("pk", flat=True)
        Alert.objects.filter(pk__in=list(old[:1000])).delete()
        Delivery.objects.filter(created_at__lt=now - settings.RETENTION, alert=None).delete()


class Outage:
    """The alert of a database that is gone: sent from memory, a thread for each target, until it arrives."""

    def __init__(self, reason: str, began: datetime) -> None:
        self._finding = condition(
            Kind.DATABASE_GONE, "The database does not answer", reason, severity=Severity.CRITICAL
        )
        self._began = began
        self._told: dict[str, datetime] = {}
        self._tries: dict[str, tuple[threading.Thread, float, int]] = {}
        log.error("monitor.database_gone", error=reason, next="told from memory")

    def tell(self, targets: dict[str, Target]) -> None:
        """Tell whoever is to hear of it and has not: again after 5, 10, 20 … seconds where that fails."""
        f = self._finding
        alert = Alert(kind=f.kind, key=f.key, severity=f.severity, title=f.title, message=f.message, fresh={"": 1})
        alert.opened_at = self._began  # it names the alert, for the receiver to know its end by
        for name, target in targets.items():
            thread, at, tries = self._tries.get(name, (None, 0.0, 0))
            waits = name in self._told or (thread is not None and thread.is_alive()) or time.monotonic() < at
            if waits or not target.wants(alert) or target.is_quiet(alert, timezone.now()):
                continue
            message = replace(message_of(alert, TRIGGER, count=1, at=self._began), id=f"database-{uuid4().hex[:12]}")
            thread = threading.Thread(target=self._send, args=[target, message], name="outage", daemon=True)
            again = time.monotonic() + delivery.backoff(tries + 1).total_seconds()
            self._tries[name] = (thread, again, tries + 1)
            thread.start()

    def _send(self, target: Target, message: Message) -> None:
        try:
            if target.handler:
                delivery.send_by(target.handler, message)
            else:
                registered()[target.name].call(message)
            self._told[target.name] = timezone.now()
            log.info("alert.delivered", handler=target.label, action=message.action, title=message.title)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is a failed attempt, tried again
            log.warning("alert.not_delivered", handler=target.label, error=str(error), next="tried again")

    @transaction.atomic
    def write_down(self) -> None:
        """Make it an alert with what was told, which the next look resolves."""
        alert = record(self._finding, at=self._began, reopen=False)
        for name, at in self._told.items():
            Notice.objects.get_or_create(alert=alert, target=name, defaults={"told_at": at, "thinks_open": True})
        if self._told:
            Alert.objects.filter(pk=alert.pk).update(fresh={}, is_fresh=False)


def _open(found: Iterable[Finding], now: datetime) -> None:
    for finding in found:
        record(finding, at=now)


def _credential(message: str) -> Finding:
    words = f"{message}. Correct API_SERVICE_ACCOUNT_TOKEN; then retry the jobs that met it."
    return condition(Kind.CREDENTIAL_REFUSED, "The main API refuses our credential", words, severity=Severity.CRITICAL)
