"""Health, for probes and for people."""

import http.client
import json
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import Settings
from redis import Redis

from jobs.models import OutcomeMinute
from monitoring import checks, health
from monitoring.checks import Check
from monitoring.health import Round
from sandbox.ports import free_port
from tests.support.processes import Start, database_url
from tests.support.receivers import http_receiver
from tests.support.servers import RedisServer, Running, SandboxApi, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass(kw_only=True)
class Counting(Check):
    """A check that counts its looks, and hangs while `gate` is not set."""

    gate: threading.Event
    looks: list[float]

    def check_component(self) -> None:
        """Count, then wait for the gate."""
        self.looks.append(time.monotonic())
        self.gate.wait(20)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Opened at the end whatever happens."""
    event = threading.Event()
    yield event
    event.set()


def test_ten_probes_cost_one_check(gate: threading.Event) -> None:
    """Within five seconds all get the same answer; then it is checked again."""
    gate.set()
    now = [100.0]
    check = Counting(gate=gate, looks=[])
    rounds = Round({"x": check}, clock=lambda: now[0])

    for _ in range(10):
        rounds.components()
    once = len(check.looks)
    now[0] += 5
    rounds.components()

    assert (once, len(check.looks)) == (1, 2)


def test_a_hung_check_is_down_in_time_and_not_started_twice(gate: threading.Event) -> None:
    """The answer arrives in time with the reason; a second request waits for the same check."""
    check = Counting(gate=gate, looks=[])
    rounds = Round({"x": check})
    began = time.monotonic()

    first = rounds.components()["x"]
    took = time.monotonic() - began
    rounds.forget()
    second = rounds.components()["x"]

    assert took < 10  # and not the 20 s that it hangs
    assert (first.status, first.message) == ("down", "No answer within 2 s")
    assert second.status == "down"
    assert len(check.looks) == 1


def test_a_hung_main_api_does_not_hang_health(client: Client, sandbox: SandboxApi) -> None:
    """It is down, so health is degraded, with 200."""
    sandbox.control("POST", "faults", {"latencyMs": 60_000})
    began = time.monotonic()

    answer = client.get("/health")

    assert time.monotonic() - began < 10
    assert answer.status_code == 200
    assert answer.json()["components"]["api"]["status"] == "down"


REFUSAL = b'{"errors": [{"message": "no", "extensions": {"code": "UNAUTHENTICATED"}}]}'


@pytest.mark.parametrize(
    ("answer", "status", "expected", "words"),
    [
        (b'{"data": {"__typename": "Query"}}', 200, "up", "Connected"),
        (b"<html>Welcome</html>", 200, "down", "neither data nor errors"),
        (b"", 302, "down", "HTTP 302"),
        (b"", 401, "degraded", "HTTP 401"),
        (REFUSAL, 200, "degraded", "UNAUTHENTICATED"),
    ],
)
def test_the_main_api_is_up_if_it_answers_as_graphql(
    settings: Settings, answer: bytes, status: int, expected: str, words: str
) -> None:
    """Another server's page does not count, and a rejected credential shows before a job meets it."""
    with http_receiver() as receiver:
        receiver.answer, receiver.statuses = answer, [status]
        settings.API_URL = receiver.url

        found = health.examine(checks.ApiCheck())

    assert found.status == expected
    assert words in found.message


def test_without_redis_health_is_unhealthy(client: Client, redis_server: RedisServer, sandbox: SandboxApi) -> None:
    """503 in the predecessor's shape; metrics still answer, and readiness names what is missing."""
    redis_server.stop()
    try:
        answer, ready = client.get("/health"), client.get("/health/ready")
        page = client.get("/metrics/prometheus").content.decode()
    finally:
        redis_server.start()

    assert (answer.status_code, answer.json()["status"]) == (503, "unhealthy")
    assert answer.json()["components"]["redis"]["message"] == "Unavailable"
    assert (ready.status_code, ready.json()["missing"]) == (503, ["redis"])
    assert "\nscheduler_health_status 0\n" in page
    assert client.get("/health/live").status_code == 200


@dataclass
class Away(Check):
    """Stands for a database that does not answer."""

    critical = True

    def check_component(self) -> None:
        """Down."""
        raise ConnectionError("connection refused")


def test_without_the_database_every_page_answers_in_time(
    client: Client, sandbox: SandboxApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Health and its metrics say so; nothing waits for numbers that cannot be had."""
    monkeypatch.setattr(health, "HEALTH", Round({**checks.CHECKS, "database": Away()}))
    client.cookies["sessionid"] = "somebody"
    with connection.execute_wrapper(_refuse):
        answer, numbers, page = (client.get(url) for url in ("/health", "/metrics", "/metrics/prometheus"))

    assert (answer.status_code, answer.json()["components"]["database"]["status"]) == (503, "down")
    assert (numbers.status_code, page.status_code) == (503, 200)
    assert "\nscheduler_health_status 0\n" in page.content.decode()
    assert "scheduler_queue_waiting" not in page.content.decode()


def _refuse(*_: object) -> None:
    raise AssertionError("the database was asked")


@pytest.mark.parametrize("who", ["nobody", "token", "staff"])
def test_reasons_are_shown_to_staff_and_token_bearers(
    client: Client, sandbox: SandboxApi, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    """Everybody else sees the status only."""
    monkeypatch.setattr("django.conf.settings.METRICS_TOKEN", "let-me-see")
    if who == "staff":
        client.force_login(User.objects.create_user("ann", is_staff=True))
    headers = {"Authorization": "Bearer let-me-see" if who == "token" else "Bearer wrong"}

    worker = client.get("/health", headers=headers).json()["components"]["worker"]

    assert worker["message"].startswith("No worker is running" if who != "nobody" else "Unavailable")


@pytest.mark.parametrize(("dead", "status"), [(10, "up"), (11, "degraded")])
def test_dead_letters_of_the_last_hour_degrade_the_queue(redis: Redis, dead: int, status: str) -> None:
    """If they are more than a tenth of what finished."""
    minute = timezone.now().replace(second=0, microsecond=0)
    times = {"run_ms": 1, "run_ms_max": 1, "wait_ms": 1, "wait_ms_max": 1}
    for outcome, jobs in (("DEAD", dead), ("SUCCEEDED", 100 - dead)):
        OutcomeMinute.objects.create(minute=minute, type="X", outcome=outcome, shard=0, jobs=jobs, **times)

    found = health.examine(checks.QueueCheck())

    assert found.status == status


def test_healthcheck_sets_the_exit_code(start: Start, redis: Redis) -> None:
    """1 without a worker on this host, 0 with one."""

    def code() -> object:
        with pytest.raises(SystemExit) as ended:
            call_command("healthcheck", "worker", stdout=StringIO())
        return ended.value.code

    assert code()
    start("rqworker")
    wait_until(lambda: not code(), what="the worker is up")


def test_readiness_needs_every_migration(client: Client, redis: Redis) -> None:
    """A database that lacks one is not ready."""
    ready = client.get("/health/ready").status_code
    call_command("migrate", "sessions", "zero", verbosity=0)
    health.READINESS.forget()
    try:
        answer = client.get("/health/ready")
    finally:
        call_command("migrate", "sessions", verbosity=0)

    assert ready == 200
    assert (answer.status_code, answer.json()["missing"]) == (503, ["migrations"])


def test_health_answers_while_all_requests_wait_for_redis(transactional_db: None, sandbox: SandboxApi) -> None:
    """Forty jobs are submitted while Redis hangs: probes answer in time, and every job is accepted."""
    redis, port = RedisServer(free_port(), "hangs"), free_port()
    environment = {
        "DATABASE_URL": database_url(),
        "REDIS_URL": redis.url,
        "API_URL": f"{sandbox.url}/graphql",
        "SCHEDULER_API_TOKENS": "test:test-secret",
        "PORT": str(port),
    }
    command = [sys.executable, "-m", "gunicorn", "scheduler_project.wsgi", "--bind", f"127.0.0.1:{port}"]
    web = Running("web", command, environment)
    try:
        wait_until(lambda: _status(port, "/health/ready") == 200, what="the web process is ready")
        redis.signal(signal.SIGSTOP)
        callers = [_submit(port, n) for n in range(40)]

        for path, expected in (("/health/live", 200), ("/health", 503)):
            began = time.monotonic()
            assert _status(port, path) == expected
            assert time.monotonic() - began < 6
        redis.signal(signal.SIGCONT)
        assert {caller.getresponse().status for caller in callers} == {201}
    finally:
        redis.signal(signal.SIGCONT)
        web.stop()
        redis.stop()


def _status(port: int, path: str) -> int:
    caller = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        caller.request("GET", path)
        return caller.getresponse().status
    except OSError:
        return 0
    finally:
        caller.close()


def _submit(port: int, number: int) -> http.client.HTTPConnection:
    """A job on its way, whose answer is not read yet; every other one is sent in chunks."""
    caller = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    body = json.dumps({"type": "EVENT_EXPIRATION", "campaignId": f"campaign-{number}", "payload": {}})
    headers = {"Authorization": "Bearer test-secret", "Content-Type": "application/json"}
    if number % 2:
        chunks = (bytes([byte]) for byte in body.encode())
        caller.request("POST", "/api/jobs", chunks, {**headers, "Transfer-Encoding": "chunked"}, encode_chunked=True)
    else:
        caller.request("POST", "/api/jobs", body, headers)
    return caller
