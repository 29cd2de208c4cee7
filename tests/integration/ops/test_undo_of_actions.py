"""Undo of operators' actions on everything but jobs: verb by verb, what puts the former state back, and what cannot."""

import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from queue import Queue
from typing import Any, Final

import pytest
from django.db import connections
from django.test import Client
from django.utils import timezone
from redis import Redis

from jobs import control, failures, main_api_limits, taking_back, type_settings
from jobs.cron import tasks as cron_tasks
from jobs.errors import StateConflict
from jobs.main_api.limits import Limits
from jobs.models import CronTask, FailureGroup, OperatorAction
from jobs.overrides import Overrides
from jobs.world_clocks import control as world_clocks
from jobs.world_clocks.settings import Settings
from monitoring.alerting import store
from monitoring.models import Alert, Kind, Severity
from tests.support import world_clocks as clocks
from tests.support.people import member

pytestmark = pytest.mark.django_db(transaction=True)
TRAIL: Final = "/admin/jobs/auditentry/"
UNDO: Final = re.compile(r'<form method="post" action="([^"]+/undo/[^"]*)"')
TYPE: Final = "SETTLEMENT_GROWTH"
LONG: Final = "#" + "c" * 200  #: the ID of a campaign; the main API's may have 255 characters
UNTIL: Final = (timezone.now() + timedelta(days=3)).replace(microsecond=0)


def task() -> CronTask:
    return CronTask.objects.get(name="event-expiration")


def failure() -> FailureGroup:
    now = timezone.now()
    defaults = {"error": "NotFound", "first_seen": now, "last_seen": now, "note": "look at #7"}
    return FailureGroup.objects.get_or_create(pk="0" * 16, defaults=defaults)[0]


def alert() -> Alert:
    return Alert.objects.get_or_create(
        kind=Kind.QUEUE_LAG, key="lag", defaults={"severity": Severity.WARNING, "title": "Queue delay"}
    )[0]


def edit_task(**changes: Any) -> None:
    """As the form does."""
    one = task()
    pairs = {name: (getattr(one, name), value) for name, value in changes.items()}
    for name, value in changes.items():
        setattr(one, name, value)
    one.save()
    cron_tasks.record_change(one, pairs, new=False, actor="user:ann", reason="quiet nights")


def cron_state() -> Any:
    one = task()
    return {name: getattr(one, name) for name in cron_tasks.SETTINGS}


def set_type(**values: int | None) -> None:
    type_settings.set_overrides(TYPE, Overrides(**values), actor="user:ann", reason="patience")


def read_alert() -> Any:
    return Alert.objects.values("acknowledged_at", "acknowledged_by", "resolved_at", "resolved_by").get()


def forced_state() -> str:
    seen = control.breaker().snapshot().forced
    return seen.state if seen else ""


def clock_state() -> Any:
    found = clocks.of()
    return found.state, Settings.of(found)


ANN: Final = {"actor": "user:ann"}


@dataclass(frozen=True)
class Row:
    """One verb: what was before, the act, and the state that Undo puts back."""

    act: Callable[[], Any]
    state: Callable[[], Any]
    before: Callable[[], Any] = lambda: None


CAN: Final = {
    "cron enable": Row(
        lambda: cron_tasks.enable(task(), **ANN),
        cron_state,
        lambda: cron_tasks.disable(task(), until=UNTIL, reason="a feast", **ANN),
    ),
    "cron disable": Row(lambda: cron_tasks.disable(task(), until=UNTIL, reason="a feast", **ANN), cron_state),
    "cron edit": Row(lambda: edit_task(expression="0 5 * * *", time_zone="Europe/Berlin"), cron_state),
    "breaker forced": Row(lambda: control.set_breaker("open", **ANN), forced_state),
    "breaker automatic": Row(
        lambda: control.set_breaker("automatic", **ANN), forced_state, lambda: control.set_breaker("open", **ANN)
    ),
    "main API limits": Row(
        lambda: main_api_limits.set_limits(Limits(5, 10), **ANN),
        main_api_limits.current,
        lambda: main_api_limits.set_limits(Limits(7), **ANN),
    ),
    "type settings": Row(
        lambda: set_type(max_attempts=9, concurrency=2), type_settings.current, lambda: set_type(max_attempts=4)
    ),
    "type settings, back to no limit": Row(
        set_type, type_settings.current, lambda: set_type(concurrency=2, timeout_s=30)
    ),
    "failure acknowledged": Row(
        lambda: failures.acknowledge(failure(), **ANN), lambda: (failure().acknowledged_at, failure().acknowledged_by)
    ),
    "failure noted": Row(lambda: failures.note(failure(), "mended", **ANN), lambda: failure().note),
    "alert acknowledged": Row(lambda: store.acknowledge([alert()], **ANN), read_alert, alert),
    "alert resolved": Row(
        lambda: store.resolve([alert()], **ANN), read_alert, lambda: store.acknowledge([alert()], **ANN)
    ),
    "world clock paused": Row(lambda: world_clocks.pause("c-1", **ANN), clock_state, clocks.start_running),
    "world clock of a campaign with a long ID paused": Row(
        lambda: world_clocks.pause(LONG, **ANN),
        lambda: clocks.of(LONG).state,
        lambda: [clocks.start_running(LONG), clocks.start_running(f"{LONG[:-1]}d")],
    ),
    "world clock of a campaign with a long ID set": Row(
        lambda: world_clocks.configure(LONG, clocks.settings(step=90), **ANN),
        lambda: Settings.of(clocks.of(LONG)),
        lambda: [clocks.start_running(LONG), clocks.start_running(f"{LONG[:-1]}d")],
    ),
    "world clock set": Row(
        lambda: world_clocks.configure(
            "c-1", clocks.settings(rate=Decimal("0.5"), step=90, quiet_hours="22:00-06:00"), **ANN
        ),
        clock_state,
        clocks.start_running,
    ),
}
CANNOT: Final[dict[str, Callable[[], Any]]] = {
    "cron task deleted": lambda: cron_tasks.record_deletion(task(), **ANN),
    "world clock started": clocks.start_running,
    "world clock stopped": lambda: [clocks.start_running(), world_clocks.stop("c-1", **ANN)],
    "failure reopened": lambda: [failures.acknowledge(failure(), **ANN), failures.reopen(failure(), **ANN)],
}


@pytest.fixture(autouse=True)
def _automatic(redis: Redis) -> Any:
    yield
    control.set_breaker("automatic", actor="test")


def undo_latest(client: Client) -> str:
    """Press Undo of the trail's first line; the page that follows."""
    found = UNDO.search(client.get(TRAIL).content.decode())
    assert found, "no Undo is offered"
    assert found[1] == f"{TRAIL}operator/{OperatorAction.objects.latest('pk').pk}/undo/"
    return str(client.post(found[1], {"back": TRAIL}, follow=True).content.decode())


@pytest.mark.parametrize("verb", CAN)
def test_the_former_state_is_put_back(verb: str, admin_client: Client, redis: Redis) -> None:
    """The trail offers it, and again for the Undo where that can be undone.

    A second press changes nothing, so it is not recorded, and does not take the Undo away.
    """
    row = CAN[verb]
    row.before()
    was = row.state()
    row.act()
    left = row.state()
    action = OperatorAction.objects.latest("pk")
    if verb != "cron edit":  # the form records no change where there is none
        with suppress(StateConflict):
            row.act()
    assert (row.state(), OperatorAction.objects.latest("pk")) == (left, action)

    page = undo_latest(admin_client)

    assert left != was
    assert row.state() == was
    assert "is as it was before" in page
    assert OperatorAction.objects.latest("pk").actor == "user:admin"
    again = admin_client.post(f"{TRAIL}operator/{action.pk}/undo/", {"back": TRAIL}, follow=True).content.decode()
    assert "Nothing was undone: it has been changed since." in again
    assert row.state() == was


@pytest.mark.parametrize("verb", CANNOT)
def test_what_cannot_be_put_back_offers_no_undo(verb: str, admin_client: Client, redis: Redis) -> None:
    """Time that was moved or given up, history that is gone, and who had acknowledged."""
    CANNOT[verb]()

    assert OperatorAction.objects.latest("pk").undo == ""
    assert not UNDO.search(admin_client.get(TRAIL).content.decode())


@pytest.mark.parametrize("verb", CAN)
def test_undo_needs_the_permission_of_the_verb(verb: str, client: Client, redis: Redis) -> None:
    row = CAN[verb]
    row.before()
    row.act()
    left, action = row.state(), OperatorAction.objects.latest("pk")
    viewer = member(client, "Viewer")

    assert taking_back.find_permission(action.undo)
    assert not UNDO.search(viewer.get(TRAIL).content.decode())
    assert viewer.post(f"{TRAIL}operator/{action.pk}/undo/").status_code == 403
    assert row.state() == left


@pytest.mark.parametrize(
    ("address", "form"),
    [
        ("/admin/jobs/pause/breaker/", {"state": "open"}),
        ("/admin/jobs/pause/limits/", {"in_flight": "5"}),
        ("/admin/jobs/crontask/{task}/disable/", {"reason": "a feast"}),
        ("/admin/jobs/crontask/{task}/enable/", {}),
        ("/admin/jobs/failuregroup/{failure}/acknowledge/", {}),
        ("/admin/jobs/failuregroup/{failure}/note/", {"note": "mended", "shown": "look at #7"}),
    ],
)
def test_a_page_says_that_nothing_changed(
    address: str, form: dict[str, str], admin_client: Client, redis: Redis
) -> None:
    at = address.format(task=task().pk, failure=failure().pk)
    pages = [admin_client.post(at, form, follow=True).content.decode() for _ in range(2)]

    assert ["Nothing changed:" in page for page in pages] == ["enable" in address, True]
    assert OperatorAction.objects.count() == ("enable" not in address)


def test_a_failure_that_recurred_is_acknowledged_as_before(admin_client: Client, redis: Redis) -> None:
    """Undo of the second acknowledgement leaves the first one, which the failure has outlived."""
    failures.acknowledge(failure(), actor="user:bob")
    was = failure()
    FailureGroup.objects.update(last_seen=timezone.now())
    failures.acknowledge(failure(), **ANN)

    undo_latest(admin_client)

    assert (failure().acknowledged_at, failure().acknowledged_by) == (was.acknowledged_at, "user:bob")


def test_only_the_latest_change_can_be_undone(admin_client: Client, redis: Redis) -> None:
    """One after the other, from the last to the first, as long as each is as it was left."""
    first = Overrides(max_attempts=4)
    set_type(max_attempts=4)
    set_type(max_attempts=5)

    undo_latest(admin_client)
    assert type_settings.current() == {TYPE: first}
    type_settings.set_overrides(TYPE, Overrides(8), actor="user:bob", reason="another")
    earlier = OperatorAction.objects.order_by("pk")[0]

    page = admin_client.post(f"{TRAIL}operator/{earlier.pk}/undo/", follow=True).content.decode()
    assert "Nothing was undone" in page
    assert type_settings.current() == {TYPE: Overrides(8)}


def test_undo_pressed_twice_at_once_is_done_once(redis: Redis) -> None:
    """The second press waits for the first, and finds that it was undone."""
    set_type(max_attempts=4)
    latest, answers, begin = OperatorAction.objects.latest("pk"), Queue[str](), threading.Barrier(2)

    def press() -> None:
        begin.wait(20)
        try:
            taking_back.take_back(latest, **ANN)
            answers.put("undone")
        except StateConflict as conflict:
            answers.put(str(conflict))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=press) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sorted(answers.get_nowait() for _ in range(2)) == ["it has been changed since", "undone"]
    assert type_settings.current() == {}


def test_a_former_setting_that_is_not_valid_any_more_is_refused(admin_client: Client, redis: Redis) -> None:
    CronTask.objects.filter(name="event-expiration").update(type="GONE")
    edit_task(type="EVENT_EXPIRATION")

    page = undo_latest(admin_client)

    assert "Nothing was undone: the former settings are no longer valid" in page
    assert task().type == "EVENT_EXPIRATION"


@pytest.mark.parametrize(
    ("address", "form"),
    [
        ("/admin/jobs/pause/breaker/", {"state": "open", "reason": "repair"}),
        ("/admin/jobs/pause/limits/", {"in_flight": "5", "per_second": "", "reason": ""}),
        (f"/admin/jobs/job/types/{TYPE}/", {"max_attempts": "9", "reason": "patience"}),
        ("/admin/jobs/crontask/{task}/disable/", {"reason": "a feast"}),
        ("/admin/jobs/failuregroup/{failure}/acknowledge/", {}),
        ("/admin/jobs/campaignclock/c-1/world-clock/act/", {"verb": "pause"}),
        ("/admin/monitoring/alert/", {"action": "resolve", "_selected_action": "{alert}"}),
    ],
)
def test_each_page_offers_it_at_once(address: str, form: dict[str, str], admin_client: Client, redis: Redis) -> None:
    """Beside the message that says what was done."""
    clocks.start_running()
    known = {"task": task().pk, "failure": failure().pk, "alert": alert().pk}
    filled = {name: value.format(**known) for name, value in form.items()}

    page = admin_client.post(address.format(**known), filled, follow=True).content.decode()

    assert f"{TRAIL}operator/{OperatorAction.objects.latest('pk').pk}/undo/" in page
