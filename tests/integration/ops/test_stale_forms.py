"""A form that was opened before somebody else saved is refused: every form of what there is already."""

from collections.abc import Callable
from dataclasses import dataclass
from html import unescape
from typing import Any, Final

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.utils import timezone
from redis import Redis

from jobs import calendars, main_api_limits, type_settings
from jobs.cron import tasks as cron_tasks
from jobs.main_api.limits import Limits
from jobs.models import CampaignClock, CronTask, EventPolicy
from jobs.overrides import Overrides
from jobs.triggers import policies
from jobs.world.calendars.examples import LANTERN
from jobs.world.event_policies import EventAction, Policy
from jobs.world_clocks import control
from monitoring.models import AlertHandler
from tests.support import world_clocks
from tests.support.forms import fill_in

pytestmark = pytest.mark.django_db(transaction=True)
BOB: Final = {"actor": "user:bob", "reason": "as agreed"}
Typed = dict[str, str]


@dataclass(frozen=True)
class Row:
    """A form: where, what Ann types, how Bob saves it meanwhile, and what is stored."""

    page: Callable[[], str]
    typed: Typed
    other: Callable[[Client, str], Any]
    stored: Callable[[], Any]
    said: str
    """What the message names, of Bob's change."""


def submit(**typed: str) -> Callable[[Client, str], Any]:
    """By the same form, in Bob's browser."""
    return lambda client, page: client.post(page, fill_in(read(client, page), "opened", **typed))


def read(client: Client, page: str) -> str:
    return client.get(page).content.decode()


def task() -> CronTask:
    return CronTask.objects.get(name="event-expiration")


def clock() -> CampaignClock:
    fields = {"name": "Northmarch", "world_time": "1001-06-01T12:00:00.000Z"}
    return CampaignClock.objects.get_or_create(pk="c-1", defaults=fields)[0]


def handler() -> AlertHandler:
    config, secrets = {"url": "https://a.example.org/"}, {"secret": "a-secret-of-ours"}
    defaults = {"kind": "webhook", "config": config, "secrets": secrets}
    return AlertHandler.objects.get_or_create(name="on call", defaults=defaults)[0]


def person() -> User:
    return User.objects.get_or_create(username="eve")[0]


def group() -> Group:
    return Group.objects.get(name="Viewer")


def permit(client: Client, page: str) -> None:
    """Give a group one permission instead of its own."""
    submit(permissions=str(Permission.objects.earliest("pk").pk))(client, page)


FORMS: Final = {
    "cron task": Row(
        lambda: f"/admin/jobs/crontask/{task().pk}/change/",
        {"expression": "0 5 * * *"},
        submit(time_zone="Europe/Berlin", reason="as agreed"),
        lambda: (task().expression, task().time_zone),
        "Bob changed cron task event-expiration at 2",
    ),
    "cron task, disabled": Row(
        lambda: f"/admin/jobs/crontask/{task().pk}/change/",
        {"expression": "0 5 * * *"},
        lambda *_: cron_tasks.disable(task(), until=None, **BOB),
        lambda: (task().expression, task().enabled),
        "Bob disabled cron task event-expiration at 2",
    ),
    "alert handler": Row(
        lambda: f"/admin/monitoring/alerthandler/{handler().pk}/change/",
        {"campaigns": "c-7"},
        submit(time_zone="Europe/Berlin"),
        lambda: (handler().time_zone, handler().campaigns),
        "after you opened the form: Time zone changed.",
    ),
    "alert handler, secret only": Row(
        lambda: f"/admin/monitoring/alerthandler/{handler().pk}/change/",
        {"campaigns": "c-7"},
        submit(channel_secret="another-secret"),
        lambda: (handler().secrets, handler().campaigns),
        "after you opened the form: Signing secret changed.",
    ),
    "job type": Row(
        lambda: "/admin/jobs/job/types/SETTLEMENT_GROWTH/",
        {"max_attempts": "7", "reason": "patience"},
        lambda *_: type_settings.set_overrides("SETTLEMENT_GROWTH", Overrides(concurrency=3), **BOB),
        type_settings.current,
        "after you opened the form: At a time 3",
    ),
    "main API limits": Row(
        lambda: "/admin/jobs/pause/limits/",
        {"per_second": "9"},
        lambda *_: main_api_limits.set_limits(Limits(5), **BOB),
        main_api_limits.current,
        "after you opened the form: Requests in flight 5",
    ),
    "world clock": Row(
        lambda: f"/admin/jobs/campaignclock/{clock().pk}/world-clock/",
        {"rate": "12"},
        lambda *_: control.configure("c-1", world_clocks.settings(step=90), **BOB),
        lambda: (world_clocks.of().rate, world_clocks.of().step),
        "Step",
    ),
    "calendar": Row(
        lambda: f"/admin/jobs/campaignclock/{clock().pk}/calendar/",
        {"era": "AU"},
        lambda client, page: calendars.set_own("c-1", LANTERN, link=page, **BOB),
        lambda: calendars.of("c-1"),
        "Bob changed calendar of campaign Northmarch at 2",
    ),
    "event policy": Row(
        lambda: "/admin/jobs/eventpolicy/",
        {"action": "expire", "event_type": "story"},
        lambda *_: policies.set_policy(Policy(EventAction.TRIGGER, "", "story"), **BOB),
        lambda: list(EventPolicy.objects.values_list("event_type", "action")),
        "after you opened the form: Action trigger",
    ),
    "user": Row(
        lambda: f"/admin/auth/user/{person().pk}/change/",
        {"first_name": "Eve"},
        submit(is_staff="on"),
        lambda: (person().first_name, person().is_staff),
        "Staff status False → True",
    ),
    "group": Row(
        lambda: f"/admin/auth/group/{group().pk}/change/",
        {"name": "Guests"},
        permit,
        lambda: (set(Group.objects.values_list("name", flat=True)), Group.objects.filter(permissions=None).count()),
        "Bob changed group Viewer at 2",
    ),
}


@pytest.fixture
def bob(admin_user: User) -> Client:
    """Another browser."""
    client = Client()
    client.force_login(User.objects.create_superuser("bob"))
    return client


@pytest.mark.parametrize("row", FORMS.values(), ids=FORMS)
def test_a_form_opened_before_somebody_saved_is_refused(
    row: Row, admin_client: Client, bob: Client, redis: Redis
) -> None:
    """It names who, what and when, keeps what was typed, and the next press saves it."""
    page = row.page()
    opened = fill_in(read(admin_client, page), "opened", **row.typed)
    row.other(bob, page)
    by_bob = row.stored()

    refused = admin_client.post(page, opened)

    text = unescape(refused.content.decode())
    assert refused.status_code in (200, 400)
    assert row.stored() == by_bob
    assert row.said in text, text[text.index("after you opened") :][:300]
    assert "Nothing was saved. What you entered is kept" in text
    again = fill_in(refused.content.decode(), "opened")
    assert again | {name: [value] for name, value in row.typed.items()} == again
    saved = admin_client.post(page, again)
    assert saved.status_code == 302
    assert row.stored() != by_bob


@pytest.mark.parametrize("row", FORMS.values(), ids=FORMS)
def test_a_form_is_saved_after_other_things_were_changed(row: Row, admin_client: Client, redis: Redis) -> None:
    """Also in the same second, by the same user; and no change of the hidden field is recorded.

    The second press of a double click overwrites nothing, and is not refused.
    """
    page = row.page()
    opened = fill_in(read(admin_client, page), "opened", **row.typed)
    main_api_limits.set_limits(Limits(99) if "limits" not in page else Limits(), **BOB)

    assert admin_client.post(page, opened).status_code == 302
    stored = row.stored()
    assert (admin_client.post(page, opened).status_code, row.stored()) == (302, stored)
    assert "opened" not in read(admin_client, "/admin/jobs/auditentry/")


@pytest.mark.parametrize("name", ["job type", "main API limits"])
def test_a_reset_is_refused_only_if_it_undoes_a_change(name: str, admin_client: Client, redis: Redis) -> None:
    row = FORMS[name]
    page = row.page()
    none = row.stored()
    admin_client.post(page, fill_in(read(admin_client, page), "opened", **row.typed))
    opened = fill_in(read(admin_client, page), "opened", reset="1", reason="as before")
    row.other(admin_client, page)
    by_bob = row.stored()

    assert (admin_client.post(page, opened).status_code, row.stored()) == (200, by_bob)
    opened = fill_in(read(admin_client, page), "opened", reset="1", reason="as before")
    for _ in range(2):  # a double click
        assert (admin_client.post(page, opened).status_code, row.stored()) == (302, none)


def test_a_secret_that_was_typed_into_a_refused_form_is_asked_for_again(admin_client: Client, redis: Redis) -> None:
    """No page shows it; a blank field would keep the old one."""
    page = FORMS["alert handler"].page()
    typed = {"channel_secret": "a-new-secret-of-ours", "time_zone": "No/Where"}

    refused = admin_client.post(page, fill_in(read(admin_client, page), "opened", **typed)).content.decode()

    assert "Nothing was saved: enter this again." in refused
    assert "a-new-secret-of-ours" not in refused


def test_a_user_who_logs_in_meanwhile_is_saved(admin_client: Client, redis: Redis) -> None:
    """Nor does the form overwrite the password that somebody else has set."""
    page = FORMS["user"].page()
    opened = fill_in(read(admin_client, page), "opened", **FORMS["user"].typed)
    user = person()
    user.last_login, user.password = timezone.now(), make_password("a-new-password-of-eve")
    user.save()

    assert admin_client.post(page, opened).status_code == 302
    assert (person().first_name, person().last_login, person().password) == ("Eve", user.last_login, user.password)


def test_the_order_in_which_groups_are_read_is_no_change(
    admin_client: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL returns them in any order."""
    person().groups.set([group(), Group.objects.create(name="Others")])
    page = FORMS["user"].page()
    opened = fill_in(read(admin_client, page), "opened", **FORMS["user"].typed)
    monkeypatch.setattr(Group._meta, "ordering", ["-pk"])

    assert admin_client.post(page, opened).status_code == 302


@pytest.mark.parametrize("opened", ["9" * 90 + ".x", "-1.x", "\u0661.x", ".", "x"])
def test_an_odd_stamp_is_a_stale_form(opened: str, admin_client: Client, redis: Redis) -> None:
    """Nobody's browser sends it; no number is too large for the database."""
    page = FORMS["cron task"].page()
    answer = admin_client.post(page, fill_in(read(admin_client, page), "opened", opened=opened, expression="0 5 * * *"))

    assert answer.status_code == (200 if opened.endswith(".x") else 302)
