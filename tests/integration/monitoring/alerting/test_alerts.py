"""Alerts: counted, throttled, acknowledged and resolved."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings
from redis import Redis

from jobs import service
from jobs.models import CronTask, Job, OutcomeMinute
from jobs.states import State
from monitoring import alerting
from monitoring.alerting import dead_letters
from monitoring.alerting.conditions import find_late_runs, growth
from monitoring.alerting.message import Message
from monitoring.alerting.monitor import Monitor
from monitoring.checks import CHECKS
from monitoring.health import Round
from monitoring.models import Alert, SeenDeadLetter, Severity
from scheduler_project.logs import hide
from tests.support.alerts import Tell, later, webhook
from tests.support.dead_letters import make_dead_letters
from tests.support.receivers import HttpReceiver

pytestmark = pytest.mark.django_db


def test_ten_thousand_dead_letters_are_a_handful_of_messages(
    receiver: HttpReceiver, heard: list[Message], tell: Tell
) -> None:
    """Each handler is notified at once and once more after the throttle; all 10,000 are counted."""
    webhook(receiver)
    campaigns = [f"campaign-{n}" for n in range(200)]

    for _ in range(5):
        make_dead_letters(2000, campaigns=campaigns)
        tell()
    tell(later())
    tell(later())

    assert [message.count for message in heard] == [2000, 8000]
    assert heard[1].subject == "[CRITICAL] Dead letter: Event expiration (and 7999 more)"
    assert [got.json["count"] for got in receiver.got] == [2000, 8000]
    assert Alert.objects.get().count == 10_000
    assert (
        sum(SeenDeadLetter.objects.filter(at__lt=timezone.now() - timedelta(minutes=5)).values_list("pk", flat=True))
        == 0
    )


def test_repeats_of_an_alert_are_counted(heard: list[Message], tell: Tell) -> None:
    """Sent at once; 42 more within the throttle are one message after it."""
    make_dead_letters()
    tell()
    for _ in range(6):
        make_dead_letters(7)
        tell()
    tell(later())

    assert [message.subject for message in heard] == [
        "[CRITICAL] Dead letter: Event expiration",
        "[CRITICAL] Dead letter: Event expiration (and 41 more)",
    ]


def test_no_dead_letter_is_counted_twice_or_lost(
    heard: list[Message], tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A monitor killed within its round has counted nothing; the next one reads the same again."""
    make_dead_letters(3)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as crash:
        crash.setattr(SeenDeadLetter.objects, "bulk_create", killed)
        with pytest.raises(KeyboardInterrupt):
            dead_letters.collect(timezone.now())
    nothing = Alert.objects.count()
    for _ in range(3):
        tell()
    make_dead_letters(2)
    tell()

    assert nothing == 0
    assert Alert.objects.get().count == 5


def test_acknowledged_alerts_are_counted_and_not_sent(heard: list[Message], tell: Tell) -> None:
    """Until they resolve; the alert says who acknowledged it."""
    make_dead_letters()
    tell()
    done = alerting.acknowledge(Alert.objects.all(), actor="user:ann")
    make_dead_letters(4)
    tell(later())
    alert = Alert.objects.get()
    alerting.resolve([alert], actor="user:bob")
    tell()

    assert done == 1
    assert (alert.status, alert.acknowledged_by, alert.count) == ("acknowledged", "user:ann", 5)
    assert [message.action for message in heard] == ["trigger", "resolve"]
    assert Alert.objects.get().resolved_by == "user:bob"


def test_code_can_raise_alerts(heard: list[Message], tell: Tell) -> None:
    """As in the predecessor: title, message and details."""
    alerting.critical("Critical System Failure", "component failed", {"component": "x"})
    alerting.info("Fine")
    tell()

    assert [(m.severity, m.title, m.message) for m in heard] == [
        (Severity.CRITICAL, "Critical System Failure", "component failed"),
        (Severity.INFO, "Fine", ""),
    ]
    assert heard[0].details == {"component": "x"}
    assert [a.title for a in alerting.open_alerts()] == ["Critical System Failure", "Fine"]


@pytest.mark.parametrize("own", [5, ["a"], {"campaign-1": "late"}, {"campaign-1": 3}])
def test_details_of_code_may_have_any_name(tell: Tell, own: object) -> None:
    """Even the one that counts jobs by campaign: a repeat is one alert with the last details."""
    alerting.warning("x", details={"campaigns": {"campaign-1": 9, "campaign-2": 1}})
    tell()
    alerting.warning("x", details={"campaigns": own})
    tell()

    assert Alert.objects.get().count == 2
    assert Alert.objects.get().details["campaigns"] == own


def test_details_that_are_no_json_become_text(heard: list[Message], tell: Tell) -> None:
    """An error, a time or a NUL must not lose an alert."""
    odd = {"error": OSError("gone"), "due": datetime(2026, 1, 1, tzinfo=UTC), "share": float("nan"), 7: "a\0b"}

    alerting.critical("Odd \0" + "x" * 300, "with a \0", odd)  # type: ignore[arg-type] # what no caller should give
    tell()

    (told,) = heard
    assert (told.title, told.message) == ("Odd \ufffd" + "x" * 194 + "…", "with a \ufffd")
    assert told.details == {"error": "gone", "due": "2026-01-01 00:00:00+00:00", "share": "NaN", "7": "a\ufffdb"}


def test_no_details_lose_an_alert_or_raise(heard: list[Message], tell: Tell) -> None:
    """Code that raises an alert is in trouble already. Of details that cannot be stored the reason is kept."""
    circle: dict[str, object] = {}
    circle["itself"] = circle
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]

    class Unreadable:
        def __str__(self) -> str:
            raise RuntimeError("cannot be read")

    for n, value in enumerate([circle, deep, Unreadable(), Unreadable]):
        alerting.critical(f"Odd {n}", details={"value": value})
    alerting.critical(Unreadable())  # type: ignore[arg-type] # what no caller should give
    alerting.critical("Fine", details={"value": [[{"a": ["b"] * 3}]]})
    tell()

    assert [told.title for told in heard] == ["Odd 0", "Odd 1", "Odd 2", "Odd 3", "Fine"]
    assert [str(told.details["details_error"]).partition(":")[0] for told in heard[:3]] == [
        "ValueError",
        "RecursionError",
        "RuntimeError",
    ]
    assert heard[4].details == {"value": [[{"a": ["b"] * 3}]]}


def test_nested_details_are_kept_to_a_depth_that_everybody_can_read(heard: list[Message], tell: Tell) -> None:
    """Deeper ones are text: a reader further down the stack could not decode them."""
    deep: object = "end"
    for _ in range(300):
        deep = [deep]
    alerting.critical("Deep", details={"value": deep})
    tell()

    (told,) = heard
    assert "end" in str(told.details)
    assert json.dumps(told.details).count("[") == 300
    assert isinstance(told.details["value"][0][0], list)


def test_a_secret_of_digits_is_masked_and_loses_no_alert(heard: list[Message], tell: Tell) -> None:
    """Within a number, too, which is then a text."""
    hide(["918273645546"])
    alerting.critical("Pin", details={"pin": 918273645546, "list": [1918273645546.5, 7, None, True], "918273645546": 1})
    tell()

    assert heard[0].details == {"pin": "***", "list": ["1***.5", 7, None, True], "***": 1}


def test_an_alert_holds_no_secret(settings: Settings, heard: list[Message], tell: Tell) -> None:
    """Whatever text an error brought: it goes to other people's servers."""
    words = f"redis://:pass-word@h/0 refused {settings.API_SERVICE_ACCOUNT_TOKEN} and Bearer abcdef"
    alerting.critical(words, words, {"error": words, "more": [words]})
    alerting.critical(words, words, {"error": words, "more": [words]})
    tell()

    (told,) = heard
    masked = "redis://:***@h/0 refused *** and Bearer ***"
    assert told.details == {"error": masked, "more": [masked]}
    assert (told.title, told.message, told.count) == (masked, masked, 2)
    assert "pass-word" not in str(Alert.objects.values().get())


def test_special_causes_have_alerts_of_their_own(tell: Tell) -> None:
    """Beside the dead letter itself: unknown outcome, rejected credential, cron task."""
    make_dead_letters(reason="outcome unknown, not sent again: timeout", error="OutcomeUnknown: timeout", unknown=True)
    make_dead_letters(reason="permanent: HTTP 401", error="NotAuthorized: main API: HTTP 401")
    make_dead_letters(actor="cron:nightly")
    tell()

    assert set(Alert.objects.values_list("key", "count")) == {
        ("job_dead:EVENT_EXPIRATION", 3),
        ("effect_unknown:EVENT_EXPIRATION", 1),
        ("credential_refused", 1),
        ("cron_failed:nightly", 1),
    }


def test_cron_runs_missed_while_nobody_watched_are_reported(redis: Redis) -> None:
    """Neither scheduler nor monitor ran: the run that was expected tells."""
    now = timezone.now()
    task = CronTask.objects.create(name="t", type="EVENT_EXPIRATION", expression="0 0 1 1 *")
    due = now - timedelta(hours=1)
    CronTask.objects.filter(pk=task.pk).update(next_fire_at=due)
    awaited, none = find_late_runs({})
    CronTask.objects.filter(pk=task.pk).update(next_fire_at=now + timedelta(hours=1), last_fired_at=now)

    awaits, late = find_late_runs(awaited)

    assert none == []
    assert [finding.key for finding in late] == ["cron_missed:t"]
    assert find_late_runs(awaits)[1] == []


def test_retrying_dead_letters_resolves_their_alert(heard: list[Message], sandbox: Any, tell: Tell) -> None:
    """By the monitor, when no dead letter of the type is left."""
    ids = make_dead_letters(2)
    tell()
    monitor = Monitor()
    found = Round(CHECKS).components()
    monitor.lead(timezone.now())
    monitor.watch(found, timezone.now())
    before = Alert.objects.get().status
    service.retry(Job.objects.filter(pk__in=ids), actor="user:ann", reason="mended")
    monitor.watch(found, timezone.now())
    tell()

    assert before == "open"
    assert (Alert.objects.get().status, Alert.objects.get().resolved_by) == ("resolved", "monitor")
    assert [message.action for message in heard] == ["trigger", "resolve"]


def test_a_flapping_alert_stays_one_alert(settings: Settings, heard: list[Message], tell: Tell) -> None:
    """A condition that flaps every few seconds is not a message every few seconds."""
    for _ in range(5):
        alerting.warning("flaps")
        tell()
        Alert.objects.update(resolved_at=timezone.now(), resolved_by="monitor")
        tell()

    assert Alert.objects.get().count == 5
    assert [message.action for message in heard] == ["trigger", "resolve"]


def test_many_new_dead_letters_raise_an_alert(redis: Redis) -> None:
    """From the totals of the last ten minutes."""
    minute = timezone.now().replace(second=0, microsecond=0)
    times = {"run_ms": 1, "run_ms_max": 1, "wait_ms": 1, "wait_ms_max": 1}
    row = OutcomeMinute.objects.create(minute=minute, type="X", outcome=State.DEAD, shard=0, jobs=9, **times)
    few = list(growth(timezone.now(), still_open=frozenset()))
    goes_on = list(growth(timezone.now(), still_open=frozenset({"dead_letters_grow"})))
    OutcomeMinute.objects.filter(pk=row.pk).update(jobs=10)

    assert few == []
    assert len(goes_on) == 1
    assert [f.key for f in growth(timezone.now(), still_open=frozenset())] == ["dead_letters_grow"]
