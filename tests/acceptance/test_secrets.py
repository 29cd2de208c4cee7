"""The logs of a whole run with real secrets and many failures."""

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from django.test import Client
from redis import Redis

from jobs.models import Job
from monitoring import alerting
from monitoring.models import AlertHandler, Delivery
from sandbox.ports import free_port
from tests.support.environment import API_PORT, PRODUCTION
from tests.support.heartbeats import await_processes
from tests.support.processes import Start, database_url
from tests.support.servers import RedisServer, Running, SandboxApi, wait_until

SECRETS = {
    "SECRET_KEY": "secret-key-Aeph7ohthie1ahSh-Ohf0eiwah7ui-Wai4ohx9Eipo",
    "API_SERVICE_ACCOUNT_TOKEN": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhY2NvdW50In0.c2lnbmF0dXJl",
    "METRICS_TOKEN": "metrics-ohz5Ahgh4ooW",
    "EMAIL_HOST_PASSWORD": "mail-Oowah3ThiChe",
}
CALLER = "caller-quee3aiQuah2"
REDIS_PASSWORD = "redis-Iey4phoh9Zee"
API_PASSWORD = "basic-shoo1Aeng2ei"
HOOK = "hook-uPh3aideeth6"
APPRISE = "apprise-Wai4ohx9Eipo"
SLACK = "T0/B0/slack-Ohf0eiwah7ui"


@pytest.fixture
def locked_redis() -> Iterator[tuple[RedisServer, str]]:
    """A Redis with a password, and its URL."""
    server = RedisServer(free_port(), "locked")
    Redis.from_url(server.url).config_set("requirepass", REDIS_PASSWORD)
    yield server, f"redis://:{REDIS_PASSWORD}@127.0.0.1:{server.port}"
    server.stop()


@pytest.fixture
def run(start: Start, locked_redis: tuple[RedisServer, str]) -> Iterator[tuple[list[Running], str]]:
    """All five processes in production, as talkative as they can be; and where the web process is."""
    port = free_port()
    environment = {
        **SECRETS,
        "ENVIRONMENT": "production",
        "ALLOWED_HOSTS": "scheduler.example",
        "ALLOW_PLAIN_HTTP": "true",
        "ALLOW_LOOPBACK_API": "true",
        "LOG_LEVEL": "verbose",
        "EMAIL_HOST_USER": "mailer",
        "REDIS_URL": locked_redis[1],
        "API_URL": f"http://user:{API_PASSWORD}@127.0.0.1:{API_PORT}/graphql",
        "SCHEDULER_API_TOKENS": f"caller:{CALLER}",
        "QUEUE_MAX_RETRIES": "1",
        "PORT": str(port),
    }
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "scheduler_project.wsgi",
        "--bind",
        f"127.0.0.1:{port}",
        "--access-logfile",
        "-",
    ]
    web = Running("web", command, {**environment, "DATABASE_URL": database_url()})
    try:
        names = ("rqworker", "rqscheduler", "pubsub_listener", "monitor")
        yield [web, *(start(name, **environment) for name in names)], f"http://127.0.0.1:{port}"
    finally:
        web.stop()


def ask(url: str, token: str, body: object = None) -> int:
    """The status of the answer; 0 where there is none."""
    data = json.dumps(body).encode() if body is not None else None
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_a_whole_run_logs_no_secret(
    sandbox: SandboxApi, run: tuple[list[Running], str], locked_redis: tuple[RedisServer, str]
) -> None:
    """With refused credentials, dead letters, failed deliveries and an outage; each line is JSON."""
    processes, url = run
    AlertHandler.objects.create(
        name="h", kind="webhook", config={"url": "http://127.0.0.1:9"}, secrets={"secret": HOOK}
    )
    AlertHandler.objects.create(name="s", kind="slack", secrets={"url": f"{sandbox.url}/services/{SLACK}"})
    AlertHandler.objects.create(name="a", kind="apprise", secrets={"url": f"json://u:{APPRISE}@127.0.0.1:9/{SLACK}"})
    wait_until(lambda: ask(f"{url}/health/live", "") == 200, what="the web process answers")
    work = {"type": "EVENT_EXPIRATION", "campaignId": "campaign-2", "payload": {}}

    wait_until(lambda: ask(f"{url}/api/jobs", CALLER, work) in (200, 201), what="a job is taken")
    assert ask(f"{url}/api/jobs", f"{CALLER}-wrong", work) == 401
    assert ask(f"{url}/health", SECRETS["METRICS_TOKEN"]) in (200, 503)
    alerting.critical("A token of nobody's: Bearer abcdef0123456789", "camp_sk_of_nobody")
    wait_until(lambda: Job.objects.filter(state="DEAD").exists(), what="the wrong credential made a dead job")
    wait_until(lambda: Delivery.objects.exclude(answer="").values("handler").distinct().count() == 3)
    await_processes(Redis.from_url(locked_redis[1]), "worker", "scheduler", "listener", "monitor")
    locked_redis[0].stop()
    wait_until(lambda: all("connection_lost" in p.log.read_text() for p in processes[1:4]), what="each saw the outage")
    ask(f"{url}/health", "")
    for process in processes:
        process.stop()

    output = {process.log.name: process.log.read_text() for process in processes}
    hidden = [
        *SECRETS.values(),
        CALLER,
        REDIS_PASSWORD,
        API_PASSWORD,
        HOOK,
        APPRISE,
        SLACK,
        "abcdef0123456789",
        "of_nobody",
    ]
    assert [(name, secret) for name, text in output.items() for secret in hidden if secret in text] == []
    for name, text in output.items():
        lines = [json.loads(line) for line in text.splitlines() if line.strip()]
        assert lines, name
        assert all({"timestamp", "level", "message", "context"} <= set(line) for line in lines), name
    web = [json.loads(line) for line in output[processes[0].log.name].splitlines()]
    assert any(line["context"] == "gunicorn.error" for line in web)
    answers = [line for line in web if line["context"] == "django.request"]
    assert "Unauthorized: /api/jobs" in {line["message"] for line in answers}
    assert all(line["requestId"] for line in answers)


def test_a_request_id_reaches_the_job_the_log_and_the_main_api(
    start: Start, sandbox: SandboxApi, client: Client
) -> None:
    """From the X-Request-Id of the submitting request."""
    worker = start("rqworker", **{**PRODUCTION, "API_URL": f"{sandbox.url}/graphql", "ALLOW_LOOPBACK_API": "true"})
    headers = {"Authorization": "Bearer secret-of-tests", "X-Request-Id": "trace-0815"}
    work = {"type": "EVENT_EXPIRATION", "campaignId": "campaign-2", "payload": {}}

    answer = client.post("/api/jobs", json.dumps(work), content_type="application/json", headers=headers)
    wait_until(lambda: Job.objects.filter(state="SUCCEEDED").exists(), what="the job is done")
    worker.stop()

    ends = [json.loads(line) for line in worker.log.read_text().splitlines() if '"SUCCEEDED"' in line]
    assert answer.headers["X-Request-Id"] == "trace-0815"
    assert [line["requestId"] for line in ends] == ["trace-0815"]
    assert "trace-0815" in {call["requestId"] for call in sandbox.control("GET", "stats")["recent"]}
