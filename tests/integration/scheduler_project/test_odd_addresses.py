"""Every URL with odd keys and parameters: none is a fault of the service."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from jobs.models import CronTask
from tests.support.dead_letters import make_dead_letters
from tests.support.servers import SandboxApi
from tests.support.working import submit

pytestmark = pytest.mark.django_db(transaction=True)
ODD = [
    "%00",
    "a%00b",
    "%ED%A0%80",
    "9" * 30,
    "-1",
    "9223372036854775808",
    "2147483648",
    "1e400",
    "NaN",
    "0001-01-01",
    "9999-12-31T23:59",
    "99999-01-01",
    "x" * 3000,
    "%5B%5D",
    "1,2,x",
    "00000000-0000-0000-0000-000000000000",
    "%F0%9F%8F%B0",
    "%25",
    "%27%22",
    "..%2F..",
    "%D9%A3",
    "1_000",
]
ANYWHERE = ["q", "p", "o", "state", "type", "before", "since", "until", "from", "due_at_from", "hours", "scope"]


def routes(resolver: URLResolver, prefix: str = "") -> Iterator[str]:
    """Every address of the service, with {} where a key stands."""
    for entry in resolver.url_patterns:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from routes(entry, route)
        elif isinstance(entry, URLPattern) and "logout" not in route:
            plain = re.sub(r"[\^$]|/\?", "", route)
            yield "/" + re.sub(r"\(\?P<\w+>[^)]*\)\??|<[^>]+>", "{}", plain)


def is_fault(address: str, status: int) -> bool:
    """Probes answer 503 where no process runs: that is no fault of theirs."""
    return status >= 500 and not (status == 503 and address.startswith("/health"))


def test_no_odd_url_is_a_fault(client: Client, sandbox: SandboxApi) -> None:
    """Each URL with two odd keys, and with two odd parameters at once, in turn."""
    client.force_login(User.objects.create_superuser("ann", "", "x"))
    client.raise_request_exception = False
    make_dead_letters(error="X: no")
    submit(1)
    api: dict[str, Any] = {"HTTP_AUTHORIZATION": "Bearer secret-of-tests"}
    turn, faults = 0, []
    for route in sorted(set(routes(get_resolver()))):
        odd = [ODD[(turn + step) % len(ODD)] for step in (0, 7)]
        turn += 1
        addresses = [route.replace("{}", text) for text in odd] if "{}" in route else []
        names = [ANYWHERE[(turn + step) % len(ANYWHERE)] for step in (0, 5)]
        query = "&".join(f"{name}={text}" for name, text in zip(names, odd, strict=True))
        addresses.append(f"{route.replace('{}', '1')}?{query}")
        faults += [address[:200] for address in addresses if is_fault(address, client.get(address, **api).status_code)]

    assert turn > 100
    assert faults == []


def test_a_row_is_not_found_by_an_odd_field(admin_client: Client) -> None:
    """On Django's pages of a row."""
    task = CronTask.objects.order_by("pk")[0].pk
    fields = {"": 404, "no-such": 400, "a%00b": 400, "id": 200}
    for page in ("change", "delete"):
        found = {f: admin_client.get(f"/admin/jobs/crontask/{task}/{page}/?_to_field={f}").status_code for f in fields}
        assert found == fields, page
