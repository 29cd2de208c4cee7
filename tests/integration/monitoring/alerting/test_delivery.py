"""Deliveries: to which handlers, in order, retried, and again after a crash."""

import threading
from datetime import time, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from django.utils import timezone
from redis import Redis

from jobs import counters
from monitoring import alerting
from monitoring.alerting import code_handlers, dead_letters, delivery, routing, store
from monitoring.alerting.channels import ChannelResponse
from monitoring.alerting.channels.base import DeliveryFailed
from monitoring.alerting.message import Message
from monitoring.models import Alert, AlertHandler, Delivery, Kind, Notice, Severity
from tests.support.alerts import Tell, webhook
from tests.support.dead_letters import make_dead_letters
from tests.support.receivers import HttpReceiver
from tests.support.servers import wait_until

pytestmark = pytest.mark.django_db


def test_a_delivery_survives_the_monitor(receiver: HttpReceiver, tell: Tell) -> None:
    """Claimed by a monitor that was killed before the answer: it is sent again, under the same ID."""
    webhook(receiver)
    make_dead_letters()
    dead_letters.collect(timezone.now())
    routing.route(timezone.now())
    Delivery.objects.update(attempts=1, next_at=timezone.now() - timedelta(seconds=1))

    tell()

    sent = Delivery.objects.get()
    assert (sent.status, sent.attempts, sent.http_status) == ("sent", 2, 200)
    assert [got.headers["X-Alert-Delivery"] for got in receiver.got] == [str(sent.pk)]


@pytest.mark.django_db(transaction=True)
def test_a_broken_handler_delays_no_other(receiver: HttpReceiver, heard: list[Message], redis: Redis) -> None:
    """One hangs, one raises, one refuses: the fourth is notified at once."""
    webhook(receiver, name="hangs")
    AlertHandler.objects.create(name="nobody", kind="webhook", config={"url": "http://127.0.0.1:9"}, secrets={})
    receiver.gate.clear()

    @alerting.register_handler
    def broken(_message: Message) -> None:
        raise RuntimeError("broken")

    alerting.critical("x")
    routing.route(timezone.now())
    lanes = delivery.Lanes()
    try:
        lanes.work(timezone.now())
        wait_until(lambda: heard, what="the fourth is told")
        wait_until(lambda: Delivery.objects.pending().exclude(answer="").count() == 2, what="two have failed")
    finally:
        receiver.gate.set()
        code_handlers.unregister_handler(broken)
        lanes.wait(20)
    wait_until(lambda: not [t for t in threading.enumerate() if t.name.startswith("alerts ")], what="lanes ended")

    answers = dict(Delivery.objects.values_list("handler_name", "answer"))
    assert "RuntimeError: broken" in answers[next(name for name in answers if name.endswith("broken"))]
    assert Delivery.objects.get(handler_name="hangs").status == "sent"


def test_a_failed_delivery_is_retried_and_then_given_up(receiver: HttpReceiver, tell: Tell) -> None:
    """With its HTTP answer in the log; an operator may send it again."""
    webhook(receiver)
    receiver.statuses = [503] * delivery.MAX_ATTEMPTS
    make_dead_letters()

    for _ in range(delivery.MAX_ATTEMPTS):
        tell()
        Delivery.objects.pending().update(next_at=timezone.now())
    failed = Delivery.objects.get()
    again = delivery.redeliver(failed, actor="user:ann")
    tell()

    assert (failed.status, failed.attempts, failed.http_status) == ("failed", delivery.MAX_ATTEMPTS, 503)
    assert again
    assert Delivery.objects.get().status == "sent"


@pytest.mark.parametrize(
    ("header", "pause_s"),
    [("120", 120), ("date", 118), ("999999999999", 3600), ("soon", 0), ("-5", 0), ("0", 0), ("9" * 5000, 0)],
)
def test_retry_after_of_a_receiver_is_respected(receiver: HttpReceiver, tell: Tell, header: str, pause_s: int) -> None:
    """Seconds or a date, an hour at most; other messages to it wait as long."""
    webhook(receiver)
    receiver.statuses = [429]
    now = timezone.now()
    receiver.retry_after = format_datetime(now + timedelta(seconds=120), usegmt=True) if header == "date" else header
    for title in ("first", "second", "third"):
        alerting.critical(title)
    tell()

    waits = sorted((each.next_at - now).total_seconds() for each in Delivery.objects.pending())
    assert (len(receiver.got), len(waits)) == ((1, 3) if pause_s else (3, 1))
    assert max(pause_s, 5) <= waits[0] <= waits[-1] <= pause_s + 60


def test_delivery_attempts_are_counted(receiver: HttpReceiver, tell: Tell, redis: Redis) -> None:
    """For the metrics, by channel and result."""
    counters.flush()  # what other tests have counted in this process
    before = counters.read(redis)
    webhook(receiver)
    receiver.statuses = [500]
    alerting.critical("x")
    tell()
    Delivery.objects.update(next_at=timezone.now())
    tell()
    counters.flush()

    counts = counters.read(redis)
    for result in ("retried", "sent"):
        series = ("alert_deliveries", "webhook", result)
        assert counts[series] - before.get(series, 0) == 1


def test_a_resolution_is_sent_after_its_trigger(receiver: HttpReceiver, tell: Tell) -> None:
    """It waits until the trigger has arrived, whichever is due first."""
    webhook(receiver)
    receiver.statuses = [503]
    make_dead_letters()
    tell()
    alerting.resolve(Alert.objects.all(), actor="user:ann")
    tell()
    early = [got.json["action"] for got in receiver.got]
    Delivery.objects.pending().update(next_at=timezone.now())

    tell()

    assert early == ["trigger"]
    assert [got.json["action"] for got in receiver.got] == ["trigger", "trigger", "resolve"]
    assert "Resolved by ann" in receiver.got[-1].json["message"]


@pytest.mark.parametrize(
    ("fields", "counts"),
    [
        ({}, [5]),
        ({"minimum_severity": Severity.CRITICAL}, [5]),
        ({"campaigns": ["a"]}, [3]),
        ({"campaigns": ["z"]}, []),
        ({"job_types": ["SETTLEMENT_GROWTH"]}, []),
        ({"job_types": ["EVENT_EXPIRATION"], "campaigns": ["b"]}, [2]),
        ({"alert_kinds": [Kind.QUEUE_LAG]}, []),
        ({"enabled": False}, []),
    ],
)
def test_a_handler_gets_the_alerts_that_it_selects(
    receiver: HttpReceiver, tell: Tell, fields: dict[str, Any], counts: list[int]
) -> None:
    """By severity, kind, job type and campaign; only those are counted for it."""
    webhook(receiver, **fields)

    make_dead_letters(5, campaigns=["a", "b"])
    tell()

    assert [got.json["count"] for got in receiver.got] == counts


def test_an_alert_that_was_acknowledged_before_its_first_message_is_forgotten_when_it_resolves(
    receiver: HttpReceiver, tell: Tell
) -> None:
    """Its occurrences are not read again in every round, nor added to those after it is reopened."""
    webhook(receiver)
    alerting.critical("x")
    alerting.acknowledge(Alert.objects.all(), actor="user:ann")
    tell()
    alerting.resolve(Alert.objects.all(), actor=store.MONITOR)
    tell()
    unsent = Notice.objects.unsent().count()
    alerting.critical("x")
    tell()

    assert unsent == 0
    assert [got.json["count"] for got in receiver.got] == [1]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("second", "late", "status", "answer"),
    [(200, 503, "sent", "called"), (503, 200, "sent", "called"), (503, 503, "pending", "second")],
)
def test_an_attempt_that_ends_late_undoes_no_other(
    heard: list[Message], redis: Redis, second: int, late: int, status: str, answer: str
) -> None:
    """Another monitor made it again meanwhile. Whichever succeeded counts; a late failure says nothing."""
    went_on = threading.Event()
    answers = iter([("late", late), ("second", second)])

    @alerting.register_handler
    def slow(_message: Message) -> None:
        text, code = next(answers)
        if text == "late":
            went_on.wait(20)
        if code != 200:
            raise DeliveryFailed(ChannelResponse(text, code))

    try:
        alerting.critical("x")
        routing.route(timezone.now())
        wanted = Delivery.objects.exclude(handler_name__endswith="keep")
        lanes = delivery.Lanes()
        lanes.work(timezone.now())
        wait_until(lambda: wanted.get().attempts == 1, what="the first attempt has begun")
        wanted.update(next_at=timezone.now() - timedelta(seconds=1))  # CLAIM is over
        delivery.deliver(wanted.get())
        went_on.set()
        lanes.wait(20)
    finally:
        went_on.set()
        code_handlers.unregister_handler(slow)

    kept = wanted.get()
    assert (kept.status, kept.attempts, kept.answer) == (status, 2, answer)


def test_quiet_hours_delay_warnings(receiver: HttpReceiver, tell: Tell) -> None:
    """Those resolved meanwhile are dropped, and critical alerts come through."""
    webhook(receiver, quiet_from=time(22), quiet_until=time(6), time_zone="Europe/Berlin")
    night = timezone.now().replace(year=2026, month=1, day=10, hour=2, minute=0)
    morning = night.replace(hour=5, minute=1)  # 06:01 in Berlin
    alerting.warning("over by the morning")
    tell(night)
    alerting.resolve(Alert.objects.all(), actor="user:ann")
    alerting.warning("still there in the morning")
    alerting.critical("at night")
    tell(night)
    at_night = [got.json["title"] for got in receiver.got]

    tell(morning)

    assert at_night == ["at night"]
    assert [got.json["title"] for got in receiver.got] == ["at night", "still there in the morning"]


@pytest.mark.parametrize("zone", ["US/Pacific-New", "Europe", "", "right/UTC"])
def test_an_unknown_time_zone_silences_no_handler(receiver: HttpReceiver, tell: Tell, zone: str) -> None:
    """The handler is notified at any hour, and so are the others."""
    webhook(receiver, name="gone", quiet_from=time(0), quiet_until=time(23, 59, 59, 999999), time_zone=zone)
    webhook(receiver, name="other")

    alerting.warning("told")
    tell()

    assert [got.json["title"] for got in receiver.got] == ["told", "told"]


def test_a_function_may_set_a_minimum_severity(tell: Tell) -> None:
    """With `minimum`."""
    titles: list[str] = []

    @alerting.register_handler(minimum=Severity.CRITICAL)
    def gravest(message: Message) -> None:
        titles.append(message.title)

    try:
        alerting.warning("small")
        alerting.critical("large")
        tell()
    finally:
        code_handlers.unregister_handler(gravest)

    assert titles == ["large"]


def test_a_test_alert_goes_to_one_handler_only(receiver: HttpReceiver, heard: list[Message], tell: Tell) -> None:
    """Whatever that handler selects."""
    handler = webhook(receiver, minimum_severity=Severity.CRITICAL)

    routing.send_test(handler)
    tell()

    assert [got.json["action"] for got in receiver.got] == ["test"]
    assert heard == []
