"""The web process in a production environment."""

import json
import re
from typing import Any

import pytest
from django.test import Client, RequestFactory, override_settings
from redis import Redis

from scheduler_project.request_origin import client_address
from tests.support import forked
from tests.support.environment import PRODUCTION

#: In one process, because its start takes longer than all that it does.
STEPS = """
import json
import django
django.setup()
from django.conf import settings
from django.core.management import call_command
from django.test import Client

call_command("check", deploy=True, fail_level="DEBUG")
client, answers = Client(), {}
TLS = {"x-forwarded-proto": "https"}
for name, path, headers in (
    ("probe", "/health/live", {"host": "10.0.0.1:9266"}),
    ("scrape", "/metrics", {"host": "10.0.0.1:9266"}),
    ("http", "/admin/login/?next=/admin/", {"host": "scheduler.example"}),
    ("spoofed", "/admin/login/", {"host": "scheduler.example", "x-forwarded-proto": "https evil"}),
    ("api", "/api/jobs", {"host": "scheduler.example"}),
    ("healthy", "/healthy", {"host": "scheduler.example"}),
    ("https", "/admin/login/", {"host": "scheduler.example", **TLS}),
):
    answer = client.get(path, headers=headers)
    answers[name] = {
        "status": answer.status_code,
        "headers": dict(answer.headers),
        "cookies": [str(cookie) for cookie in answer.cookies.values()],
    }
print(json.dumps({"answers": answers, "session": settings.SESSION_COOKIE_SECURE, "age": settings.SESSION_COOKIE_AGE}))
"""


@pytest.fixture(scope="module")
def production() -> tuple[str, dict[str, Any]]:
    """What the deployment checks say, and what the web process answers."""
    variables = {**PRODUCTION, "URL_PREFIX": "/ops", "METRICS_TOKEN": "let-me-see"}
    ended = forked.run("-c", STEPS, variables=variables)
    assert ended.returncode == 0, ended.stderr + ended.stdout
    checked, answers = ended.stdout.strip().splitlines()[0], ended.stdout.strip().splitlines()[-1]
    return checked, json.loads(answers)


def test_a_production_environment_passes_django_s_deployment_checks(production: tuple[str, Any]) -> None:
    """Without a warning, and with none silenced."""
    assert production[0] == "System check identified no issues (0 silenced)."


def test_only_https_is_served_except_to_probes(production: tuple[str, dict[str, Any]]) -> None:
    """And responses over HTTPS announce it for the future."""
    found = production[1]
    answers = found["answers"]
    statuses = {name: answer["status"] for name, answer in answers.items()}
    page = answers["https"]["headers"]

    assert statuses == {
        "probe": 200,
        "scrape": 401,
        "http": 301,
        "spoofed": 301,
        "api": 301,
        "healthy": 301,
        "https": 200,
    }
    assert answers["http"]["headers"]["Location"] == "https://scheduler.example/ops/admin/login/?next=/admin/"
    assert page["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains; preload"
    assert page["X-Content-Type-Options"] == "nosniff"
    assert page["X-Frame-Options"] == "DENY"
    assert page["Referrer-Policy"] == page["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in page["Permissions-Policy"]
    (csrf,) = answers["https"]["cookies"]
    assert {"Secure", "SameSite=Lax", "Path=/ops/"} <= set(csrf.split("; "))
    assert found["session"] is True
    assert found["age"] == 12 * 60 * 60


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "path", ["/admin/", "/admin/login/", "/api/jobs", "/health/live", "/nothing", "/static/ops/ops.js"]
)
def test_every_response_has_a_content_security_policy(admin_client: Client, redis: Redis, path: str) -> None:
    """No other host, no inline script, no plug-in, no frame; pages have no inline script either."""
    answer = admin_client.get(path)
    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    sources = {source for allowed in policy.values() for source in allowed.split()}

    assert sources == {"'self'", "'none'", "'unsafe-eval'", "'unsafe-inline'", "data:"}
    assert policy["script-src"] == "'self' 'unsafe-eval'"
    assert policy["object-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    if answer.headers["Content-Type"].startswith("text/html"):
        page = answer.content.decode()
        assert re.findall(r'<script(?![^>]* (?:src=|type="application/json"))|<[^>]* on[a-z]+=|javascript:', page) == []


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "203.0.113.9", "10.0.0.1"),
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "1.1.1.1, 203.0.113.9", "203.0.113.9"),
        (2, "1.1.1.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        (2, "203.0.113.9", "10.0.0.1"),
        (1, "", "10.0.0.1"),
        (1, "unknown", "10.0.0.1"),
        (1, "2001:DB8::1", "2001:db8::1"),
        (1, "1, " * 50_000 + "203.0.113.9", "203.0.113.9"),
    ],
)
def test_the_client_s_address_comes_from_trusted_proxies(proxies: int, forwarded: str, address: str) -> None:
    """Each proxy appends its peer's address; what the client sends comes before that."""
    request = RequestFactory().get("/", headers={"x-forwarded-for": forwarded}, REMOTE_ADDR="10.0.0.1")

    with override_settings(TRUSTED_PROXIES=proxies):
        assert client_address(request) == address


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["/metrics", "/metrics/prometheus"])
def test_metrics_need_the_token_if_it_is_set(client: Client, admin_client: Client, redis: Redis, path: str) -> None:
    """Or a staff session; otherwise they are open."""
    wrong, right = {"authorization": "Bearer wrong"}, {"authorization": "Bearer let-me-see"}
    assert client.get(path).status_code == 200

    with override_settings(METRICS_TOKEN="let-me-see"):
        assert [client.get(path).status_code, client.get(path, headers=wrong).status_code] == [401, 401]
        assert [client.get(path, headers=right).status_code, admin_client.get(path).status_code] == [200, 200]
