"""Failed logins: throttled by address, logged, unlocked by an administrator."""

import re
from urllib.parse import urlencode

import pytest
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.test import Client, override_settings
from redis import Redis
from structlog.testing import capture_logs

from jobs.models import Job, OperatorAction

pytestmark = pytest.mark.django_db(transaction=True)
LOGIN = "/admin/login/"
PASSWORD = "correct horse battery staple"
PROXIED = {"TRUSTED_PROXIES": 1}


@pytest.fixture
def ann() -> User:
    """An administrator."""
    user = User.objects.create_user("ann", password=PASSWORD, is_staff=True)
    user.groups.set(Group.objects.filter(name="Administrator"))
    return user


def attempt(password: str, *, name: str = "ann", address: str = "203.0.113.9", claims: str = "") -> int:
    """The status of a login through one proxy."""
    forwarded = f"{claims}, {address}" if claims else address
    form = {"username": name, "password": password}
    return Client().post(LOGIN, form, headers={"x-forwarded-for": forwarded}).status_code


@override_settings(**PROXIED)
def test_an_address_with_too_many_failures_is_locked_out(ann: User, redis: Redis) -> None:
    """Whatever user names it tries or addresses it forwards; others are served."""
    statuses = [attempt("wrong", name=f"user{n}", claims=f"198.51.100.{n}") for n in range(settings.AXES_FAILURE_LIMIT)]
    locked = Client().post(LOGIN, {"username": "ann", "password": PASSWORD}, headers={"x-forwarded-for": "203.0.113.9"})

    assert statuses == [200] * (settings.AXES_FAILURE_LIMIT - 1) + [429]
    assert (locked.status_code, locked.headers["Retry-After"]) == (429, "900")
    assert "Too many failed logins" in locked.content.decode()
    assert attempt(PASSWORD, address="203.0.113.10") == 302


@override_settings(**PROXIED)
def test_a_lockout_is_logged_and_audited_once(ann: User, redis: Redis) -> None:
    """Each failure is an event; no password is in any."""
    with capture_logs() as lines:
        for _ in range(settings.AXES_FAILURE_LIMIT + 5):
            attempt("hunter2-is-wrong")
        attempt(PASSWORD, address="203.0.113.10")
    events = [line["event"] for line in lines]
    (action,) = OperatorAction.objects.filter(verb="locked out")

    assert events.count("login.failed") == settings.AXES_FAILURE_LIMIT + 5
    assert events.count("login.refused") == 5
    assert events.count("login.succeeded") == 1
    assert {line["address"] for line in lines if line["event"] == "login.failed"} == {"203.0.113.9"}
    assert action.target == "logins from 203.0.113.9"
    assert "hunter2" not in str(lines) + str(OperatorAction.objects.values()) + str(AccessAttempt.objects.values())


@override_settings(**PROXIED)
def test_an_administrator_unlocks_an_address(ann: User, client: Client, redis: Redis) -> None:
    """On the page of failed logins, which others do not see; it is audited."""
    for _ in range(settings.AXES_FAILURE_LIMIT):
        attempt("wrong")
    assert attempt(PASSWORD) == 429
    page = "/admin/axes/accessattempt/"
    client.force_login(User.objects.create_user("vic", is_staff=True))
    assert client.get(page).status_code == 403

    client.force_login(ann)
    shown = client.get(page).content.decode()
    ids = re.findall(r'name="_selected_action" value="(\d+)"', shown)
    client.post(page, {"action": "delete_selected", "_selected_action": ids, "post": "yes"})

    assert "203.0.113.9" in shown
    assert attempt(PASSWORD) == 302
    assert OperatorAction.objects.filter(verb="deleted", actor="user:ann").count() == len(ids)


def test_a_button_after_the_session_ended_leads_back_to_its_page(ann: User, client: Client, redis: Redis) -> None:
    """Nothing was done, and the login says so. The button's own address has no page: it refused a permission."""
    page = "/admin/jobs/crontask/1/change/?_changelist_filters=q%3Dx"
    pages_before = {
        f"http://testserver{page}": page,
        "http://elsewhere.example/admin/jobs/crontask/": "/admin/",
        "http://testserver@elsewhere.example/": "/admin/",
        "": "/admin/",
    }
    for button in ("jobs/pause/undo/resume/1/", "queues/queues/0/empty/", "jobs/crontask/1/run-now/"):
        for before, back in pages_before.items():
            refused = client.post(f"/admin/{button}", {"reason": "x"}, HTTP_REFERER=before)
            assert refused["Location"] == f"{LOGIN}?{urlencode({'next': back}, safe='/')}", (button, before)
    login = client.get(LOGIN, {"next": page}).content.decode()
    entered = client.post(LOGIN, {"username": "ann", "password": PASSWORD, "next": page})

    assert "Nothing was done: your session had ended." in login
    assert entered["Location"] == page
    assert not Job.objects.exists()


def test_odd_logins_do_not_fail_the_page(ann: User, redis: Redis) -> None:
    """User names of any length and script, no address, an invalid user agent."""
    for name in ("", "x" * 5_000, "a\0b", "ann" * 60, "'; --", "é" * 150):
        answer = Client().post(
            LOGIN, {"username": name, "password": "x"}, REMOTE_ADDR="fe80::1%eth0", HTTP_USER_AGENT="\xff" * 5_000
        )
        assert answer.status_code == 200, name[:20]
        assert Client().post(LOGIN, {"username": name, "password": "x"}, REMOTE_ADDR="").status_code == 200
