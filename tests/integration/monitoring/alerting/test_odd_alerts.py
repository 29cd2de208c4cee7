"""One alert that goes wrong, or looks odd, keeps the monitor from no other."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, OperationalError
from django.utils import timezone
from pytest_django import Settings
from redis import Redis

from jobs import taking_back
from jobs.errors import StateConflict
from jobs.models import OperatorAction
from monitoring import alerting
from monitoring.alerting import dead_letters, store
from monitoring.alerting.conditions import Conditions, condition
from monitoring.alerting.message import Message
from monitoring.alerting.monitor import Monitor
from monitoring.checks import CHECKS
from monitoring.health import Round
from monitoring.models import Alert, Delivery, Kind, MonitorState, Severity
from scheduler_project import logs
from tests.support.alerts import Tell, later
from tests.support.dead_letters import make_dead_letters

pytestmark = pytest.mark.django_db
SECRET = "f00d-f00d-f00d-f00d"


def raise_again() -> Alert:
    """Count one more dead letter, on the alert that is returned."""
    make_dead_letters()
    dead_letters.collect(timezone.now())
    return Alert.objects.latest("last_at")


def test_a_resolution_is_taken_back_only_while_its_alert_is_the_latest(redis: Redis) -> None:
    """Otherwise two would be open on the same, or repeats would reopen the other."""
    MonitorState.objects.create()
    alerting.resolve([raise_again()], actor="user:ann")
    action = OperatorAction.objects.latest("pk")
    assert taking_back.find_latest(action.undo)

    later = raise_again()
    assert not taking_back.find_latest(action.undo)
    alerting.resolve([later], actor=store.MONITOR)

    with pytest.raises(StateConflict):
        taking_back.take_back(action, actor="user:ann")
    assert raise_again() == later


def test_a_repeat_is_counted_on_the_open_alert(redis: Redis) -> None:
    """Not on a later one that the monitor has just resolved: two would be open."""
    MonitorState.objects.create()
    first = raise_again()
    alerting.resolve([first], actor="user:ann")
    alerting.resolve([raise_again()], actor=store.MONITOR)
    Alert.objects.filter(pk=first.pk).update(resolved_at=None, resolved_by="")

    assert raise_again() == first
    assert list(Alert.objects.order_by("pk").values_list("count", flat=True)) == [2, 1]


@pytest.mark.django_db(transaction=True)
def test_an_alert_that_cannot_be_recorded_costs_no_other(
    redis: Redis, heard: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither those of the same round nor what is sent; an outage of the database is no odd alert."""
    MonitorState.objects.create()
    write = Alert.save
    fails: type[Exception] = IntegrityError

    def save(alert: Alert, *args: object, **kwargs: object) -> None:
        if alert.kind == Kind.JOB_DEAD:
            raise fails("odd")
        write(alert, *args, **kwargs)  # type: ignore[arg-type] # as they came

    monkeypatch.setattr(Alert, "save", save)
    make_dead_letters(actor="cron:nightly")
    alerting.critical("fire")
    monitor = Monitor()
    monitor.poll()
    monitor.close()

    assert set(Alert.objects.values_list("kind", flat=True)) == {Kind.CRON_FAILED, Kind.CODE}
    assert set(Delivery.objects.values_list("alert__kind", flat=True)) == {Kind.CRON_FAILED, Kind.CODE}

    fails = OperationalError
    make_dead_letters()
    with pytest.raises(OperationalError):
        dead_letters.collect(timezone.now())


@pytest.mark.django_db(transaction=True)
def test_a_part_of_a_round_that_fails_keeps_no_alert_from_being_sent(
    redis: Redis, heard: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug, as opposed to an outage: it is logged, and the next round tries again."""

    def odd(_now: object) -> bool:
        raise ValueError("a row that nobody expected")

    monkeypatch.setattr(dead_letters, "collect", odd)
    alerting.critical("fire")
    monitor = Monitor()
    monitor.poll()
    monitor.close()

    assert Delivery.objects.get().alert == Alert.objects.get(title="fire")


@pytest.mark.parametrize(
    "odd", [{"severity": 7}, {"fresh": []}, {"kind": Kind.JOB_DEAD, "details": {"jobs": {"a": 1}}}]
)
def test_an_alert_that_cannot_be_routed_costs_no_other(
    heard: list[Message], tell: Tell, odd: dict[str, object]
) -> None:
    """Somebody has edited it in the database, or a release to come has written it."""
    alerting.critical("odd")
    alerting.critical("fire")
    Alert.objects.filter(title="odd").update(**odd)
    tell()
    alerting.resolve(Alert.objects.all(), actor="user:ann")
    tell()

    assert [(message.action, message.title) for message in heard] == [("trigger", "fire"), ("resolve", "fire")]


def test_an_alert_whose_key_holds_a_secret_stays_one(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is stored masked, and recognised as what still holds."""
    MonitorState.objects.create()
    logs.hide([SECRET])
    about = f" {SECRET} "
    holds = condition(Kind.CRON_MISSED, "Cron task did not fire", "", severity=Severity.WARNING, about=about)
    monkeypatch.setattr(Conditions, "check", lambda *_, **__: ([holds], {Kind.CRON_MISSED}))
    monitor, found = Monitor(), Round(CHECKS).components()
    for _ in range(3):
        monitor.watch(found, timezone.now())

    kept = Alert.objects.get(kind=Kind.CRON_MISSED)
    assert (kept.key, kept.count, kept.resolved_at) == ("cron_missed: ***", 1, None)


@pytest.mark.django_db(transaction=True)
def test_an_alert_that_stays_open_keeps_no_delivery_for_ever(redis: Redis, settings: Settings) -> None:
    """One is sent every five minutes; what is still pending stays."""
    alert = Alert.objects.create(kind=Kind.CODE, key="k", severity=Severity.INFO, title="t")
    began = timezone.now() - settings.RETENTION
    for status in ("sent", "failed", "pending"):
        for at in (began - timedelta(hours=1), began + timedelta(hours=1)):
            Delivery.objects.create(alert=alert, target="code:gone", status=status, created_at=at, next_at=later())
    monitor = Monitor()
    monitor.poll()
    monitor.close()

    kept = Delivery.objects.order_by("id").values_list("status", "created_at")
    assert [(status, at > began) for status, at in kept] == [
        ("sent", True),
        ("failed", True),
        ("pending", False),
        ("pending", True),
    ]
