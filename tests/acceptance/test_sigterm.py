"""SIGTERM stops every process soon after SHUTDOWN_GRACE_SECONDS, whatever hangs."""

import json
import signal
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest
from django.apps import apps
from django.test import Client
from django.utils import timezone
from redis import Redis

from jobs import service
from jobs.models import CampaignClock, Job
from jobs.processes.heartbeat import statuses
from jobs.service import Submission
from monitoring import alerting
from monitoring.models import AlertHandler, Delivery
from sandbox.ports import free_port
from tests.support.locks import lock
from tests.support.processes import Start, database_url
from tests.support.servers import RedisServer, Running, SandboxApi, wait_until

pytestmark = pytest.mark.django_db(transaction=True)
GRACE_S = 2
MORE_S = 5  #: what the service promises
LOADED_S = 6  #: what a loaded machine may take on top
WAIT_S = 3.0  #: nothing outside tells that a process waits inside SQLite
#: Longer than the test waits for an end: it is not these that end a process.
PATIENT = {
    "SHUTDOWN_GRACE_SECONDS": str(GRACE_S),
    "DATABASE_LOCK_TIMEOUT_MS": "60000",
    "API_REQUEST_TIMEOUT_MS": "60000",
    "LEASE_SECONDS": "3",
    "QUEUE_CONCURRENCY": "1",
}


@contextmanager
def deaf_server() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server.getsockname()[1]


@contextmanager
def hung(redis_server: RedisServer) -> Iterator[None]:
    """A Redis that takes connections and never answers."""
    redis_server.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        redis_server.signal(signal.SIGCONT)


def serve(port: int, **environment: str) -> Running:
    """The web process."""
    command = ["-m", "gunicorn", "scheduler_project.wsgi", "--bind", f"127.0.0.1:{port}", "--log-level", "warning"]
    return Running("web", [sys.executable, *command], {"DATABASE_URL": database_url(), **PATIENT, **environment})


def ask(port: int) -> None:
    """A request that writes into the database and into Redis."""
    body = json.dumps({"type": "EVENT_EXPIRATION", "campaignId": "campaign-3"}).encode()
    headers = {"Authorization": "Bearer secret-of-tests", "Content-Type": "application/json"}
    with suppress(OSError):
        urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/api/jobs", body, headers), timeout=60)


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


def tables_of(*labels: str) -> list[str]:
    return [model._meta.db_table for model in apps.get_models() if model._meta.app_label in labels]


def submit(subject: str, *, in_s: float = 0) -> Job:
    due = timezone.now() + timedelta(seconds=in_s)
    submission = Submission(
        type="EVENT_EXPIRATION", campaign_id="campaign-2", payload={}, subject=subject, due_at=due if in_s else None
    )
    return service.submit(submission, actor="test")[0]


def assert_all_end(processes: dict[str, Running]) -> None:
    """Send SIGTERM to all, then wait for each; a hard end says what hung."""
    began = time.monotonic()
    for running in processes.values():
        running.process.terminate()
    took = {}
    for name, running in processes.items():
        with suppress(Exception):
            running.process.wait(timeout=max(0.1, began + GRACE_S + MORE_S + LOADED_S - time.monotonic()))
            took[name] = round(time.monotonic() - began, 1)

    print("ended after", took)  # shown where the test fails
    assert took.keys() == processes.keys(), (took, {n: r.log.read_text()[-2000:] for n, r in processes.items()})
    for name, running in processes.items():
        if running.process.returncode == 70:
            assert "process.killed" in running.log.read_text(), name


@pytest.fixture
def at_work(start: Start, sandbox: SandboxApi, redis: Redis) -> Iterator[tuple[dict[str, Running], int]]:
    """Every process, with something to do in each: running jobs, a due one, a watched round; and the web's port."""
    sandbox.control("POST", "faults", {"latencyMs": 60_000, "operations": ["getOverdueEvents"]})
    port = free_port()
    web = serve(port)
    try:
        processes = {"web": web, "pool": start("rqworker", "--processes", "2", **PATIENT)}
        processes |= {name: start(name, **PATIENT) for name in ("rqscheduler", "pubsub_listener", "monitor")}
        wait_until(lambda: len(statuses(redis)) == 5, what="all are there")
        wait_until(CampaignClock.objects.exists, what="the listener has caught up")
        for n in range(2):
            submit(str(n))
        wait_until(lambda: Job.objects.filter(state="RUNNING").count() == 2, what="each worker has a job")
        wait_until(lambda: listens(port), what="the web process listens")
        submit("due", in_s=1.5)
        yield processes, port
    finally:
        web.process.kill()
        web.process.wait()


def test_every_process_stops_while_the_database_hangs(
    at_work: tuple[dict[str, Running], int], sandbox: SandboxApi
) -> None:
    """Requests, messages, lease renewals, due jobs and the monitor all wait for a lock."""
    processes, port = at_work
    with lock(*tables_of("jobs", "monitoring")):
        threading.Thread(target=ask, args=[port], daemon=True).start()
        sandbox.control("POST", "advance", {"campaignId": "campaign-1", "minutes": 60})
        time.sleep(WAIT_S)
        assert_all_end(processes)


def test_every_process_stops_while_redis_hangs(
    at_work: tuple[dict[str, Running], int], redis_server: RedisServer
) -> None:
    """Redis accepts connections and does not answer."""
    processes, port = at_work
    with hung(redis_server):
        threading.Thread(target=ask, args=[port], daemon=True).start()
        time.sleep(WAIT_S)
        assert_all_end(processes)


def test_processes_stop_while_their_peers_hang(start: Start, redis: Redis) -> None:
    """The main API, a webhook and a mail server accept connections and never answer."""
    with deaf_server() as port:
        url = f"http://127.0.0.1:{port}"
        AlertHandler.objects.create(name="hook", kind="webhook", config={"url": url}, secrets={"secret": "s"})
        AlertHandler.objects.create(name="mail", kind="email", config={"to": "ann@example.org"})
        alerting.critical("Something is wrong", "try what happens")
        api = {"API_URL": f"{url}/graphql", "EMAIL_HOST": "127.0.0.1", "EMAIL_PORT": str(port)}
        names = ("rqworker", "pubsub_listener", "monitor")
        processes = {name: start(name, **PATIENT, **api) for name in names}
        job = submit("hangs")
        wait_until(lambda: Job.objects.get(pk=job.pk).state == "RUNNING", what="the job runs")
        wait_until(lambda: Delivery.objects.count() == 2, what="both are to be told")
        wait_until(lambda: len(statuses(redis)) == 3, what="all are there")

        time.sleep(WAIT_S)
        assert_all_end(processes)


def test_the_web_process_does_not_wait_for_streams(admin_client: Client, redis: Redis) -> None:
    """Live pages are told to connect to another process; what a request still does has its time."""
    port = free_port()
    web = serve(port, SHUTDOWN_GRACE_SECONDS="60")
    try:
        wait_until(lambda: listens(port), what="the web process listens")
        session = admin_client.cookies["sessionid"].value
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/admin/live/?topic=moves", headers={"Cookie": f"sessionid={session}"}
        )
        with urllib.request.urlopen(request, timeout=60) as stream:
            assert stream.readline().startswith(b"retry:")
            web.process.terminate()
            web.process.wait(timeout=MORE_S + LOADED_S)

            assert stream.read().count(b"data:") <= 1
    finally:
        web.process.kill()
        web.process.wait()
