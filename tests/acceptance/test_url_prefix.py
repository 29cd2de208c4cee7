"""A web process below a path of its host, behind proxies that remove the path or pass it on."""

import http.client
import re
import sys
from collections.abc import Iterator
from urllib.parse import urlencode, urlsplit

import pytest
from django.contrib.auth.models import User
from redis import Redis

from sandbox.ports import free_port
from tests.support.processes import database_url
from tests.support.servers import Running, wait_until

PREFIX = "/ops/scheduler"
PASSWORD = "correct horse battery staple"
ADDRESSES = re.compile(r'(?:href|src|action|hx-get|value)="(/[^"]*)"|url\((/[^)]*)\)')


@pytest.fixture
def port(transactional_db: None, redis: Redis) -> Iterator[int]:
    """Where the web process listens."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "scheduler_project.wsgi", "--bind", f"127.0.0.1:{port}"]
    web = Running("web", command, {"DATABASE_URL": database_url(), "URL_PREFIX": PREFIX})
    try:
        wait_until(lambda: _answers(port), within_s=90, what="the web process answers")
        yield port
    finally:
        web.stop()


def _answers(port: int) -> bool:
    try:
        return ask(port, "/health/live")[0] == 200
    except OSError:
        return False


def ask(port: int, path: str, body: str | None = None, **headers: str) -> tuple[int, http.client.HTTPMessage, str]:
    """Status, headers and text of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    form = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
    connection.request("POST" if body else "GET", path, body, {**form, **headers})
    answer = connection.getresponse()
    text = answer.read().decode(errors="replace")
    connection.close()
    return answer.status, answer.msg, text


def log_in(port: int) -> str:
    """The session cookie of a superuser who has logged in with the form."""
    User.objects.create_superuser("ann", "", PASSWORD)
    login = f"{PREFIX}/admin/login/"
    status, headers, text = ask(port, f"{PREFIX}/")
    assert (status, headers["Location"]) == (302, f"{PREFIX}/admin/")
    status, headers, text = ask(port, login)
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', text)
    cookie = headers["Set-Cookie"]
    assert token
    assert f"Path={PREFIX}/;" in cookie
    form = urlencode({"username": "ann", "password": PASSWORD, "csrfmiddlewaretoken": token[1], "next": ""})
    status, headers, _ = ask(port, login, form, Cookie=cookie.partition(";")[0])
    session = next(each for each in headers.get_all("Set-Cookie", []) if each.startswith("sessionid="))
    assert (status, headers["Location"]) == (302, f"{PREFIX}/admin/")
    assert f"Path={PREFIX}/" in session
    return session.partition(";")[0]


def test_every_url_on_every_page_has_the_prefix(port: int) -> None:
    """Everything in the menu, and the styles, scripts and fonts that these pages load."""
    session = log_in(port)
    seen, todo = set[str](), {f"{PREFIX}/admin/"}
    while todo:
        path = todo.pop()
        seen.add(path)
        way = path if len(seen) % 2 else path.removeprefix(PREFIX)  # which a proxy may have done
        status, headers, text = ask(port, way, Cookie=session)
        assert status == 200, way
        if headers.get_content_type() not in ("text/html", "text/css"):
            continue
        found = {urlsplit(a or b).path for a, b in ADDRESSES.findall(text)}
        assert [address for address in found if not address.startswith(f"{PREFIX}/")] == [], path
        menu = set(re.findall(rf'href="({PREFIX}/admin/[\w/]+)"', text)) if path == f"{PREFIX}/admin/" else set()
        files = {address for address in found if "/static/" in address}
        todo |= {address for address in menu | files if "logout" not in address} - seen
    assert len(seen) > 40
    assert any("/queues/" in path for path in seen)
    _check_fault_pages(port)


def _check_fault_pages(port: int) -> None:
    """400, 403 and 404, and JSON where the API is asked."""
    assert ask(port, f"{PREFIX}/health/live")[0] == ask(port, "/health/live")[0] == 200
    assert ask(port, f"{PREFIX}/api/nothing")[1]["Content-Type"] == "application/json"
    faults = {
        400: ask(port, f"{PREFIX}/admin/login/", Host="not a host"),
        403: ask(port, f"{PREFIX}/admin/login/", "username=ann"),
        404: ask(port, f"{PREFIX}/nothing"),
    }
    for status, (answered, _, text) in faults.items():
        assert answered == status
        found = {a or b for a, b in ADDRESSES.findall(text)}
        assert {f"{PREFIX}/admin/", f"{PREFIX}/health"} <= found
        assert all(address.startswith(f"{PREFIX}/") for address in found)
        assert all(ask(port, address)[0] != 404 for address in found)
