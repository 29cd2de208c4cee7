"""The monitor process: it opens and resolves alerts and delivers them. One of several monitors is active.

Its lease is a database row, because Redis may be down. While the database is down it notifies the handlers it last knew
from memory, and records the alert when the database is back.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

import structlog
from django.conf import settings
from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext
from redis import RedisError

from jobs.broker import keys
from jobs.processes.heartbeat import Heartbeat, StopRequested
from monitoring import health
from monitoring.alerting import auto_resolve, dead_letters, delivery, routing, store
from monitoring.alerting.code_handlers import code_handlers
from monitoring.alerting.conditions import Conditions, condition, find_late_runs
from monitoring.alerting.main_api import MainApiWatch
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
BATCHES: Final = 5  #: of dead letters in one round
DELETED: Final = 5000  #: deliveries in one cleaning up
GRACE_S: Final = 10.0  #: for deliveries that are being sent when the process stops


class Monitor:
    """Implements Process of jobs/processes/loop.py."""

    def __init__(
        self,
        *,
        conditions: Conditions | None = None,
        checks: Round | None = None,
        main_api: MainApiWatch | None = None,
    ) -> None:
        """Without `main_api` nobody checks the main API against its contract."""
        self._owner = uuid4().hex
        self._heartbeat = Heartbeat("monitor", self._owner, keys.redis())
        self._round = checks or Round(CHECKS)
        self._conditions = conditions or Conditions()
        self._main_api = main_api
        self._lanes = delivery.Lanes()
        self._active = False
        self._redis_answers = True
        self._renewed_at = self._looked_at = self._cleaned_at = float("-inf")
        self._targets: dict[str, Target] = {}
        self._outage: OutageAlert | None = None

    def poll(self) -> float:
        """Run one round and return the seconds until the next. Raises StopRequested and django.db's errors."""
        now = timezone.now()
        found = self._round.components() if self._active else {}
        self._redis_answers = not found or found["redis"].status == health.UP
        if found and found["database"].status == health.DOWN:
            return self._without_database(found, now)
        if self._outage:
            self._outage.record()
            self._outage = None
        if not self.lead(now):
            return LEASE.total_seconds() / 4
        with _apart("dead_letters"):
            for _ in range(BATCHES):
                if not dead_letters.collect(now):
                    break
        if found and time.monotonic() - self._looked_at >= CONDITIONS_EVERY_S:
            self._looked_at = time.monotonic()
            with _apart("conditions"):
                self.watch(found, now)
            if self._main_api:
                with _apart("main_api"):
                    self._main_api.poll(now)
        routing.route(now)
        self._lanes.work(timezone.now())
        self._targets = routing.targets()
        self._clean_up(now)
        return EVERY_S

    def close(self) -> None:
        """Wait for deliveries that are being sent, and release the lease."""
        self._lanes.wait(GRACE_S)
        try:
            if self._active:
                MonitorState.objects.filter(owner=self._owner).update(until=timezone.now())
        except DatabaseError as error:
            log.warning("monitor.lease_release_failed", error=str(error), next="the lease expires")
        try:
            if self._redis_answers:
                self._heartbeat.leave()
        except RedisError as error:
            log.debug("monitor.heartbeat_failed", error=str(error), next="its last heartbeat expires")

    def watch(self, found: Found, now: datetime) -> None:
        """Open alerts for what went wrong and resolve those whose cause is gone."""
        still_open = list(Alert.objects.filter(resolved_at=None))
        keys = frozenset(alert.key for alert in still_open)
        holding, judged = self._conditions.check(found, now, still_open=keys)
        findings = [*holding, *self._late()]
        store.record_each((f for f in findings if store.key_of(f.key) not in keys), at=now)
        current = {store.key_of(finding.key) for finding in findings}
        over = [
            alert
            for alert in still_open
            if (alert.kind in judged and alert.key not in current) or auto_resolve.should_resolve(alert, found)
        ]
        refused = found["api"].status == health.DEGRADED
        credential = _credential(found["api"].message)
        if refused and store.key_of(credential.key) not in keys:
            store.record_each([credential], at=now)
        store.resolve(over, actor=store.MONITOR)

    def _late(self) -> list[Finding]:
        state = MonitorState.objects.get()
        awaits, late = find_late_runs(state.cron)
        if awaits != state.cron:
            MonitorState.objects.filter(pk=state.pk).update(cron=awaits)
        return late

    def lead(self, now: datetime) -> bool:
        """Take or renew the lease. Returns whether this is the active monitor."""
        if self._active and time.monotonic() - self._renewed_at < LEASE.total_seconds() / 4:
            return True
        MonitorState.objects.get_or_create(name="monitor", defaults={"until": now})
        free = MonitorState.objects.filter(Q(owner=self._owner) | Q(until__lte=now))
        held = bool(free.update(owner=self._owner, until=now + LEASE))
        self._renewed_at = time.monotonic()
        if held != self._active:
            log.info("monitor.active" if held else "monitor.standby", monitor=self._owner[:8])
        self._active = held
        if self._redis_answers:  # waiting for a Redis that hangs would cost the lease
            self._beat("active" if held else "standby")
        return held

    def _beat(self, state: str) -> None:
        """Send a heartbeat. Raises StopRequested if an operator has asked this process to stop."""
        try:
            self._heartbeat.beat_or_stop(state)
        except RedisError as error:
            log.debug("monitor.heartbeat_failed", error=str(error), next="it continues without Redis")

    def _without_database(self, found: Found, now: datetime) -> float:
        """Notify each target that was known last, once, that the database is down."""
        gone = self._conditions.since_down("database", down=True) >= self._conditions.gone_s
        if self._outage is None and gone:
            self._outage = OutageAlert(found["database"].message, now)
        if self._outage:
            self._outage.notify(self._targets)
        return EVERY_S

    def _clean_up(self, now: datetime) -> None:
        """Delete, once an hour, alerts and deliveries older than RETENTION_DAYS, those of open alerts too."""
        if time.monotonic() - self._cleaned_at < CLEAN_UP_EVERY_S:
            return
        self._cleaned_at = time.monotonic()
        began = now - settings.RETENTION
        old = Alert.objects.filter(resolved_at__lt=began).values_list("pk", flat=True)
        Alert.objects.filter(pk__in=list(old[:1000])).delete()
        ended = Q(alert=None) | ~Q(status=Delivery.Status.PENDING)
        sent = Delivery.objects.filter(ended, created_at__lt=began).order_by("created_at").values_list("pk", flat=True)
        Delivery.objects.filter(pk__in=list(sent[:DELETED])).delete()


class OutageAlert:
    """The alert about a database that is down: sent from memory, one thread per target, until it arrives."""

    def __init__(self, reason: str, began: datetime) -> None:
        self._finding = condition(
            Kind.DATABASE_GONE, gettext("Database unreachable"), reason, severity=Severity.CRITICAL
        )
        self._began = began
        self._notified: dict[str, datetime] = {}
        self._tries: dict[str, tuple[threading.Thread, float, int]] = {}
        log.error("monitor.database_lost", error=reason, next="targets are notified from memory")

    def notify(self, targets: dict[str, Target]) -> None:
        """Notify targets that want this alert and have not got it, with retries after 5, 10, 20 … seconds."""
        f = self._finding
        alert = Alert(kind=f.kind, key=f.key, severity=f.severity, title=f.title, message=f.message, fresh={"": 1})
        alert.opened_at = self._began  # part of the alert's name, by which the receiver matches its resolution
        for name, target in targets.items():
            thread, at, tries = self._tries.get(name, (None, 0.0, 0))
            waits = name in self._notified or (thread is not None and thread.is_alive()) or time.monotonic() < at
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
                code_handlers()[target.name].call(message)
            self._notified[target.name] = timezone.now()
            log.info("alert.delivered", handler=target.label, action=message.action, title=message.title)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is a failed attempt, and is retried
            log.warning("alert.delivery_failed", handler=target.label, error=str(error), next="retried")

    @transaction.atomic
    def record(self) -> None:
        """Record the alert and who was notified; the next check of the conditions resolves it."""
        try:
            alert = record(self._finding, at=self._began, reopen=False)
        except IntegrityError as error:  # it must not keep the monitor from everything else
            log.error("alert.record_failed", key=self._finding.key, title=self._finding.title, error=str(error))
            return
        for name, at in self._notified.items():
            Notice.objects.get_or_create(alert=alert, target=name, defaults={"notified_at": at, "thinks_open": True})
        if self._notified:
            Alert.objects.filter(pk=alert.pk).update(fresh={}, is_fresh=False)


@contextmanager
def _apart(part: str) -> Iterator[None]:
    """Keep a bug in one part of a round from the others, above all from sending. Outages and stops end the round."""
    try:
        yield
    except (OperationalError, InterfaceError, RedisError, StopRequested):
        raise
    except Exception:  # whatever odd row or answer a part meets
        log.exception("monitor.part_failed", part=part, next="the next round tries it again")


def _credential(message: str) -> Finding:
    advice = gettext("%(error)s. Correct API_SERVICE_ACCOUNT_TOKEN, then retry the failed jobs.") % {"error": message}
    return condition(
        Kind.CREDENTIAL_REFUSED, gettext("Main API rejected the service token"), advice, severity=Severity.CRITICAL
    )
