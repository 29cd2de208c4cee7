"""From what happens to who is told of it: counted, throttled, delivered once more after a crash, and resolved."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings
from redis import Redis

from jobs import service, tally
from jobs.models import CronTask, Job, OutcomeMinute
from jobs.states import State
from monitoring import alerting
from monitoring.alerting import deaths, delivery, registered, routing
from monitoring.alerting.conditions import fired_late
from monitoring.alerting.message import Message
from monitoring.alerting.monitor import Monitor
from monitoring.models import Alert, AlertHandler, Delivery, Kind, MonitorState, SeenDeath, Severity
from tests.deaths import die
from tests.receivers import HttpReceiver, http_receiver
from tests.servers import wait_until

pytestmark = pytest.mark.django_db
Tell = Callable[..., None]


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    """An HTTP server."""
    with http_receiver() as server:
        yield server


@pytest.fixture
def tell(redis: Redis, db: None) -> Tell:
    """Counts the deaths, routes and delivers what is due, as the monitor does, but in this thread."""
    MonitorState.objects.create()

    def round_at(now: datetime | None = None) -> None:
        now = now or timezone.now()
        while deaths.collect(now):
            pass
        routing.route(now)
        while due := due_now():
            for each in due:
                delivery.deliver(each)

    return round_at


def due_now() -> list[Delivery]:
    """What every lane would send now."""
    lanes = set(Delivery.objects.pending().values_list("target", flat=True))
    return [each for lane in lanes for each in delivery.due_of(lane, timezone.now())]


def webhook(receiver: HttpReceiver, **fields: Any) -> AlertHandler:
    """A handler of the admin that tells the receiver."""
    fields = {"name": "hook", "config": {"url": receiver.url}, "secrets": {"secret": "s"}, **fields}
    return AlertHandler.objects.create(kind="webhook", **fields)


def later(seconds: float = 301) -> datetime:
    """A moment to come."""
    return timezone.now() + timedelta(seconds=seconds)


def test_a_storm_of_ten_thousand_deaths_is_a_handful_of_messages(
    receiver: HttpReceiver, heard: list[Message], tell: Tell
) -> None:
    """Each handler is told at once, and once more after the throttle; all 10,000 are counted."""
    webhook(receiver)
    campaigns = [f"campaign-{n}" for n in range(200)]

    for _ in range(5):
        die(2000, campaigns=campaigns)
        tell()
    tell(later())
    tell(later())

    assert [message.count for message in heard] == [2000, 8000]
    assert heard[1].subject == "[CRITICAL] EVENT_EXPIRATION: a job is dead (and 7999 more)"
    assert [got.json["count"] for got in receiver.got] == [2000, 8000]
    assert Alert.objects.get().count == 10_000
    assert sum(SeenDeath.objects.filter(at__lt=timezone.now() - timedelta(minutes=5)).values_list("pk", flat=True)) == 0


def test_the_same_alert_again_is_counted(heard: list[Message], tell: Tell) -> None:
    """Told at once; then 42 more within the throttle are one message after it."""
    die()
    tell()
    for _ in range(6):
        die(7)
        tell()
    tell(later())

    assert [message.subject for message in heard] == [
        "[CRITICAL] EVENT_EXPIRATION: a job is dead",
        "[CRITICAL] EVENT_EXPIRATION: a job is dead (and 41 more)",
    ]


def test_no_death_is_counted_twice_or_lost(heard: list[Message], tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A monitor that dies within its round has counted nothing; what is read again is not counted again."""
    die(3)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as crash:
        crash.setattr(SeenDeath.objects, "bulk_create", killed)
        with pytest.raises(KeyboardInterrupt):
            deaths.collect(timezone.now())
    nothing = Alert.objects.count()
    for _ in range(3):
        tell()
    die(2)
    tell()

    assert nothing == 0
    assert Alert.objects.get().count == 5


def test_a_delivery_outlives_the_monitor(receiver: HttpReceiver, tell: Tell) -> None:
    """Claimed by a monitor that was killed before it was answered: it is sent again, under the same id."""
    webhook(receiver)
    die()
    deaths.collect(timezone.now())
    routing.route(timezone.now())
    Delivery.objects.update(attempts=1, next_at=timezone.now() - timedelta(seconds=1))

    tell()

    sent = Delivery.objects.get()
    assert (sent.status, sent.attempts, sent.http_status) == ("sent", 2, 200)
    assert [got.headers["X-Alert-Delivery"] for got in receiver.got] == [str(sent.pk)]


@pytest.mark.django_db(transaction=True)
def test_a_broken_handler_hurts_no_other(receiver: HttpReceiver, heard: list[Message], redis: Redis) -> None:
    """One hangs, one raises, one refuses: the fourth is told at once."""
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
        registered.forget(broken)
        lanes.wait(20)
    wait_until(lambda: not [t for t in threading.enumerate() if t.name.startswith("alerts ")], what="lanes ended")

    answers = dict(Delivery.objects.values_list("handler_name", "answer"))
    assert "RuntimeError: broken" in answers[next(name for name in answers if name.endswith("broken"))]
    assert Delivery.objects.get(handler_name="hangs").status == "sent"


def test_what_is_refused_is_tried_again_and_then_given_up(receiver: HttpReceiver, tell: Tell) -> None:
    """With its HTTP answer in the log; a person may have it tried anew."""
    webhook(receiver)
    receiver.statuses = [503] * delivery.MOST_ATTEMPTS
    die()

    for _ in range(delivery.MOST_ATTEMPTS):
        tell()
        Delivery.objects.pending().update(next_at=timezone.now())
    failed = Delivery.objects.get()
    again = delivery.redeliver(failed, actor="user:ann")
    tell()

    assert (failed.status, failed.attempts, failed.http_status) == ("failed", delivery.MOST_ATTEMPTS, 503)
    assert again
    assert Delivery.objects.get().status == "sent"


def test_attempts_are_counted(receiver: HttpReceiver, tell: Tell, redis: Redis) -> None:
    """For the metrics, by the handler's kind and result."""
    tally.flush()  # what other tests have counted in this process
    before = tally.read(redis)
    webhook(receiver)
    receiver.statuses = [500]
    alerting.critical("x")
    tell()
    Delivery.objects.update(next_at=timezone.now())
    tell()
    tally.flush()

    counts = tally.read(redis)
    for result in ("retried", "sent"):
        series = ("alert_deliveries", "webhook", result)
        assert counts[series] - before.get(series, 0) == 1


def test_the_end_is_told_after_the_beginning(receiver: HttpReceiver, tell: Tell) -> None:
    """While the beginning has not arrived, the end waits, in whatever order they become due."""
    webhook(receiver)
    receiver.statuses = [503]
    die()
    tell()
    alerting.resolve(Alert.objects.all(), actor="user:ann")
    tell()
    early = [got.json["action"] for got in receiver.got]
    Delivery.objects.pending().update(next_at=timezone.now())

    tell()

    assert early == ["trigger"]
    assert [got.json["action"] for got in receiver.got] == ["trigger", "trigger", "resolve"]
    assert "Resolved by user:ann" in receiver.got[-1].json["message"]


def test_acknowledged_alerts_are_counted_and_told_no_more_until_they_end(heard: list[Message], tell: Tell) -> None:
    """And it stands who did so."""
    die()
    tell()
    done = alerting.acknowledge(Alert.objects.all(), actor="user:ann")
    die(4)
    tell(later())
    alert = Alert.objects.get()
    alerting.resolve([alert], actor="user:bob")
    tell()

    assert done == 1
    assert (alert.status, alert.acknowledged_by, alert.count) == ("acknowledged", "user:ann", 5)
    assert [message.action for message in heard] == ["trigger", "resolve"]
    assert Alert.objects.get().resolved_by == "user:bob"


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
def test_a_handler_hears_of_what_it_wants(
    receiver: HttpReceiver, tell: Tell, fields: dict[str, Any], counts: list[int]
) -> None:
    """By severity, kind, job type and campaign; only what concerns it is counted for it."""
    webhook(receiver, **fields)

    die(5, campaigns=["a", "b"])
    tell()

    assert [got.json["count"] for got in receiver.got] == counts


def test_quiet_hours(receiver: HttpReceiver, tell: Tell) -> None:
    """Warnings wait for their end, what is over by then is not sent, and critical alerts come through."""
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


def test_alerts_of_code(heard: list[Message], tell: Tell) -> None:
    """As in the seed: title, message and details."""
    alerting.critical("Critical System Failure", "component failed", {"component": "x"})
    alerting.info("Fine")
    tell()

    assert [(m.severity, m.title, m.message) for m in heard] == [
        (Severity.CRITICAL, "Critical System Failure", "component failed"),
        (Severity.INFO, "Fine", ""),
    ]
    assert heard[0].details == {"component": "x"}
    assert [a.title for a in alerting.open_alerts()] == ["Critical System Failure", "Fine"]


def test_details_that_are_no_json_are_told_as_text(heard: list[Message], tell: Tell) -> None:
    """An error, a moment or a NUL in an alert is no reason to lose it; a circle is, and harms nobody."""
    circle: dict[str, object] = {}
    circle["itself"] = circle
    odd = {"error": OSError("gone"), "due": datetime(2026, 1, 1, tzinfo=UTC), "share": float("nan"), 7: "a\0b"}

    alerting.critical("Odd \0" + "x" * 300, "with a \0", odd)  # type: ignore[arg-type] # what no caller should give
    alerting.critical("Circle", details=circle)
    tell()

    (told,) = heard
    assert (told.title, told.message) == ("Odd \ufffd" + "x" * 195, "with a \ufffd")
    assert told.details == {"error": "gone", "due": "2026-01-01 00:00:00+00:00", "share": "NaN", "7": "a\ufffdb"}


def test_an_alert_holds_no_secret(settings: Settings, heard: list[Message], tell: Tell) -> None:
    """Whatever words an error brought: they go to other people's servers."""
    words = f"redis://:pass-word@h/0 refused {settings.API_SERVICE_ACCOUNT_TOKEN} and Bearer abcdef"
    alerting.critical(words, words, {"error": words, "more": [words]})
    alerting.critical(words, words, {"error": words, "more": [words]})
    tell()

    (told,) = heard
    masked = "redis://:***@h/0 refused *** and Bearer ***"
    assert told.details == {"error": masked, "more": [masked]}
    assert (told.title, told.message, told.count) == (masked, masked, 2)
    assert "pass-word" not in str(Alert.objects.values().get())


def test_a_function_may_hear_of_the_gravest_only(tell: Tell) -> None:
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
        registered.forget(gravest)

    assert titles == ["large"]


def test_special_causes_have_alerts_of_their_own(tell: Tell) -> None:
    """Beside the dead job itself: an unknown outcome, a refused credential, a cron task."""
    die(reason="outcome unknown, not sent again: timeout", error="OutcomeUnknown: timeout")
    die(reason="permanent: HTTP 401", error="NotAuthorized: main API: HTTP 401")
    die(actor="cron:nightly")
    tell()

    assert set(Alert.objects.values_list("key", "count")) == {
        ("job_dead:EVENT_EXPIRATION", 3),
        ("effect_unknown:EVENT_EXPIRATION", 1),
        ("credential_refused", 1),
        ("cron_failed:nightly", 1),
    }


def test_a_test_alert_goes_to_one_handler_only(receiver: HttpReceiver, heard: list[Message], tell: Tell) -> None:
    """Whatever it wants to hear of."""
    handler = webhook(receiver, minimum_severity=Severity.CRITICAL)

    routing.send_test(handler)
    tell()

    assert [got.json["action"] for got in receiver.got] == ["test"]
    assert heard == []


def test_cron_firings_that_nobody_saw_are_missed(redis: Redis) -> None:
    """Neither scheduler nor monitor ran: what was awaited tells."""
    now = timezone.now()
    task = CronTask.objects.create(name="t", type="EVENT_EXPIRATION", expression="0 0 1 1 *")
    due = now - timedelta(hours=1)
    CronTask.objects.filter(pk=task.pk).update(next_fire_at=due)
    awaited, none = fired_late({})
    CronTask.objects.filter(pk=task.pk).update(next_fire_at=now + timedelta(hours=1), last_fired_at=now)

    awaits, late = fired_late(awaited)

    assert none == []
    assert [finding.key for finding in late] == ["cron_missed:t"]
    assert fired_late(awaits)[1] == []


def test_dead_jobs_that_are_retried_resolve_their_alert(heard: list[Message], sandbox: Any, tell: Tell) -> None:
    """When no dead letter of the type is left; by the monitor."""
    ids = die(2)
    tell()
    monitor = Monitor()
    found = monitor._round.components()
    monitor._lead(timezone.now())
    monitor.watch(found, timezone.now())
    before = Alert.objects.get().status
    service.retry(Job.objects.filter(pk__in=ids), actor="user:ann", reason="mended")
    monitor.watch(found, timezone.now())
    tell()

    assert before == "open"
    assert (Alert.objects.get().status, Alert.objects.get().resolved_by) == ("resolved", "monitor")
    assert [message.action for message in heard] == ["trigger", "resolve"]


def test_an_alert_that_comes_back_at_once_is_the_same(settings: Settings, heard: list[Message], tell: Tell) -> None:
    """Something that comes and goes every few seconds is not a message every few seconds."""
    for _ in range(5):
        alerting.warning("flaps")
        tell()
        Alert.objects.update(resolved_at=timezone.now(), resolved_by="monitor")
        tell()

    assert Alert.objects.get().count == 5
    assert [message.action for message in heard] == ["trigger", "resolve"]


def test_growing_dead_letters_are_told_by_their_number(redis: Redis) -> None:
    """From the totals of the last ten minutes."""
    from monitoring.alerting.conditions import _growth

    minute = timezone.now().replace(second=0, microsecond=0)
    times = {"run_ms": 1, "run_ms_max": 1, "wait_ms": 1, "wait_ms_max": 1}
    row = OutcomeMinute.objects.create(minute=minute, type="X", outcome=State.DEAD, shard=0, jobs=9, **times)
    few = list(_growth(timezone.now(), still_open=frozenset()))
    goes_on = list(_growth(timezone.now(), still_open=frozenset({"dead_letters_grow"})))
    OutcomeMinute.objects.filter(pk=row.pk).update(jobs=10)

    assert few == []
    assert len(goes_on) == 1
    assert [f.key for f in _growth(timezone.now(), still_open=frozenset())] == ["dead_letters_grow"]
