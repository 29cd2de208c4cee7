"""The monitor process: conditions, leadership, and outages of its stores."""

import signal
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings
from redis import Redis
from rq import Worker as RQWorker

from jobs import pauses
from jobs.broker import keys
from jobs.main_api.client import main_api
from jobs.models import CronTask, Job
from jobs.service import Submission, submit
from jobs.states import State
from monitoring import health
from monitoring.alerting import dead_letters
from monitoring.alerting.conditions import Conditions
from monitoring.alerting.message import Message
from monitoring.alerting.monitor import LEASE, Monitor
from monitoring.checks import CHECKS, ROLES, Check
from monitoring.health import Round
from monitoring.models import Alert, AlertHandler, Delivery, Kind, MonitorState, Notice
from tests.support.dead_letters import make_dead_letters
from tests.support.processes import Start
from tests.support.receivers import http_receiver
from tests.support.servers import RedisServer, SandboxApi, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


class Clock:
    """A clock that is set by hand."""

    now = 1000.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """It stands still."""
    return Clock()


@pytest.fixture(autouse=True)
def _in_each_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """A monitor of this process judges conditions in each of its rounds, not every five seconds."""
    monkeypatch.setattr("monitoring.alerting.monitor.CONDITIONS_EVERY_S", 0.0)


def monitor_with(clock: Clock, **checks: Check) -> Monitor:
    """A monitor that looks anew in each round."""
    looks = Round({**CHECKS, **checks}, clock=clock)
    return Monitor(conditions=Conditions(clock=clock), checks=looks)


def look(monitor: Monitor, clock: Clock, seconds: float = 6) -> float:
    """One round, `seconds` later; how many it took."""
    clock.now += seconds
    began = time.monotonic()
    monitor.poll()
    return time.monotonic() - began


def still_open() -> set[str]:
    """The keys of what is open."""
    return set(Alert.objects.filter(resolved_at=None).values_list("key", flat=True))


def test_missing_processes_raise_alerts_after_a_minute(
    sandbox: SandboxApi, redis: Redis, clock: Clock, start: Start
) -> None:
    """No worker, scheduler or listener for 60 s; when they are back each alert resolves."""
    monitor = monitor_with(clock)
    monitor.poll()
    look(monitor, clock)
    look(monitor, clock, 50)
    early = still_open()
    look(monitor, clock, 11)
    told = still_open()
    for name in ("rqworker", "rqscheduler", "pubsub_listener"):
        start(name)
    wait_until(lambda: all(redis.exists(keys.LEASE.format(role)) for role in ("scheduler", "listener")))
    wait_until(lambda: RQWorker.all(connection=redis) and redis.pubsub_numpat(), what="all are there")
    look(monitor, clock)

    assert early == set()
    assert told == {"no_worker", "no_scheduler", "no_subscriber"}
    assert still_open() == set()
    assert set(Alert.objects.values_list("resolved_by", flat=True)) == {"monitor"}


def test_an_unreachable_redis_raises_one_alert(
    sandbox: SandboxApi, redis: Redis, redis_server: RedisServer, clock: Clock, heard: list[Message]
) -> None:
    """Missing processes are not judged meanwhile, and their minute restarts when Redis is back."""
    monitor = monitor_with(clock)
    monitor.poll()
    look(monitor, clock)
    redis_server.stop()
    try:
        look(monitor, clock)
        look(monitor, clock, 60)
        during = still_open()
        wait_until(lambda: [m.kind for m in heard] == ["redis_gone"], what="it is told")
    finally:
        redis_server.start()
    look(monitor, clock, 10)

    assert during == {"redis_gone"}
    assert still_open() == set()
    wait_until(lambda: Delivery.objects.filter(action="resolve").exists(), what="the end is sent")


def test_a_hung_redis_does_not_hang_the_monitor(
    sandbox: SandboxApi, redis: Redis, redis_server: RedisServer, clock: Clock
) -> None:
    """It counts as unreachable; each round takes seconds."""
    monitor = monitor_with(clock)
    monitor.poll()
    look(monitor, clock)
    redis_server.signal(signal.SIGSTOP)
    try:
        took = [look(monitor, clock), look(monitor, clock, 11)]
    finally:
        redis_server.signal(signal.SIGCONT)

    assert still_open() == {"redis_gone"}
    assert max(took) < 9


def test_the_breaker_opens_and_resolves_its_alert(sandbox: SandboxApi, redis: Redis, clock: Clock) -> None:
    """By faults or by an operator, with the reason."""
    monitor = monitor_with(clock)
    monitor.poll()
    look(monitor, clock)
    breaker = main_api().breaker
    for _ in range(10):
        breaker.record_fault(RuntimeError("HTTP 500"), probe=False)
    look(monitor, clock)
    opened = still_open()
    breaker.close("test")
    look(monitor, clock)

    closed = still_open()
    breaker.force("open", by="user:ann", reason="the main API is being moved")
    look(monitor, clock)
    forced, message = still_open(), Alert.objects.get().message
    breaker.release()
    look(monitor, clock)

    assert (opened, closed, forced) == ({"breaker_open"}, set(), {"breaker_open"})
    assert message.endswith("the breaker is open, forced by ann (the main API is being moved).")
    assert still_open() == set()


def test_a_rejected_credential_raises_an_alert_before_any_job_fails(
    sandbox: SandboxApi, redis: Redis, clock: Clock, settings: Settings
) -> None:
    """By the main API's answer to the health check."""
    settings.API_SERVICE_ACCOUNT_TOKEN = "camp_sk_wrong"
    monitor = monitor_with(clock)
    monitor.poll()
    look(monitor, clock)

    assert still_open() == {"credential_refused"}


def test_queue_delay_and_a_missed_cron_run_raise_alerts(
    sandbox: SandboxApi, redis: Redis, clock: Clock, settings: Settings
) -> None:
    """They resolve when the job is claimed and the task has fired."""
    settings.ALERT_LAG = timedelta(seconds=10)
    job, _ = submit(Submission(type="EVENT_EXPIRATION", campaign_id="c", payload={}), actor="test")
    Job.objects.filter(pk=job.pk).update(moved_at=timezone.now() - timedelta(seconds=11))
    task = CronTask.objects.create(name="t", type="EVENT_EXPIRATION", expression="0 0 1 1 *")
    CronTask.objects.filter(pk=task.pk).update(next_fire_at=timezone.now() - timedelta(minutes=2))
    pauses.pause("queue", "normal", actor="user:ann", reason="the weekend")
    monitor = monitor_with(clock)
    monitor.poll()
    look(monitor, clock)
    told = still_open()
    lag = Alert.objects.get(kind="queue_lag").message
    Job.objects.filter(pk=job.pk).delete()
    CronTask.objects.filter(pk=task.pk).update(next_fire_at=timezone.now() + timedelta(minutes=2))
    look(monitor, clock)

    assert told == {"queue_lag", "cron_missed:t"}
    assert lag.endswith(". Queue normal is paused by ann until resumed (the weekend).")
    assert still_open() == set()


@dataclass
class Away(Check):
    """Stands for a database that does not answer while `away`."""

    critical = True
    away = False

    def check_component(self) -> None:
        """Down while away."""
        if type(self).away:
            raise ConnectionError("connection refused")


def test_without_the_database_the_last_known_handlers_are_notified(
    sandbox: SandboxApi, redis: Redis, clock: Clock, heard: list[Message]
) -> None:
    """Once, from memory; when it is back the alert is stored and resolved under one key."""
    monitor = monitor_with(clock, database=Away())
    monitor.poll()
    look(monitor, clock)
    Away.away = True
    try:
        look(monitor, clock)
        with connection.execute_wrapper(_refuse):
            look(monitor, clock, 11)
            wait_until(lambda: heard, what="it is told")
            look(monitor, clock)
    finally:
        Away.away = False
    look(monitor, clock)
    look(monitor, clock)
    wait_until(lambda: len(heard) == 2, what="the end is sent")

    assert [(m.kind, m.action) for m in heard] == [("database_gone", "trigger"), ("database_gone", "resolve")]
    assert heard[0].alert == heard[1].alert
    alert = Alert.objects.get()
    assert (alert.key, alert.status, alert.resolved_by) == ("database_gone", "resolved", "monitor")
    assert Notice.objects.get().thinks_open is False


def _refuse(*_: Any) -> None:
    raise AssertionError("the database is gone")


def test_a_second_monitor_takes_over_when_the_first_is_silent(sandbox: SandboxApi, redis: Redis, clock: Clock) -> None:
    """Until then it does nothing, so that nobody is notified twice."""
    first, second = monitor_with(clock), monitor_with(clock)
    first.poll()
    make_dead_letters()
    waits = second.poll()
    nothing = Alert.objects.count()
    MonitorState.objects.update(until=timezone.now() - timedelta(seconds=1))
    second.poll()

    assert 0 < waits < LEASE.total_seconds()
    assert nothing == 0
    assert still_open() == {"job_dead:EVENT_EXPIRATION"}


def test_a_stopping_monitor_releases_its_lease(sandbox: SandboxApi, redis: Redis, clock: Clock) -> None:
    """Another takes over at once; until then `healthcheck monitor` reports none."""
    first, second = monitor_with(clock), monitor_with(clock)
    first.poll()
    first.close()
    down = health.examine(health_of_monitor())
    second.poll()

    assert down.status == "down"
    assert health.examine(health_of_monitor()).status == "up"


def health_of_monitor() -> Check:
    """The check of `manage.py healthcheck monitor`."""
    return ROLES["monitor"][1]


def test_a_dead_letter_alert_survives_killed_processes(start: Start, sandbox: SandboxApi) -> None:
    """The worker is killed after its job is dead, the monitor before the receiver answers."""
    with http_receiver() as receiver:
        AlertHandler.objects.create(
            name="h", kind="webhook", config={"url": receiver.url}, secrets={"secret": "s"}, alert_kinds=[Kind.JOB_DEAD]
        )  # not that there is no scheduler, which it hears after a minute
        monitor = start("monitor")
        worker = start("rqworker", QUEUE_MAX_RETRIES="1")
        wait_until(lambda: MonitorState.objects.filter(until__gt=timezone.now()).exists(), what="it is active")
        receiver.gate.clear()
        sandbox.control("POST", "faults", {"errorRate": 1})
        submit(Submission(type="EVENT_EXPIRATION", campaign_id="campaign-2", payload={}), actor="test")
        wait_until(lambda: Job.objects.filter(state=State.DEAD).exists(), what="the job is dead")
        worker.process.kill()
        wait_until(lambda: receiver.got, what="the monitor is telling")
        monitor.process.kill()
        receiver.gate.set()
        MonitorState.objects.update(until=timezone.now())
        Delivery.objects.update(next_at=timezone.now())
        start("monitor")

        wait_until(lambda: len(receiver.got) == 2, what="it is told again")
        assert {got.headers["X-Alert-Delivery"] for got in receiver.got} == {str(Delivery.objects.get().pk)}


@pytest.mark.skipif("connection.vendor != 'sqlite'")
def test_no_query_of_the_monitor_scans_the_backlog() -> None:
    """New dead letters, pending deliveries and dead letters of a type have indexes of their own."""
    plans = {
        "audit_of_dead": dead_letters.unseen(timezone.now())[:10].explain(),
        "job_dead_by_type": Job.objects.in_state(State.DEAD).filter(type="X").order_by()[:1].explain(),
        "delivery_pending": Delivery.objects.pending().filter(target="x").order_by("id")[:10].explain(),
        "notice_unsent": Notice.objects.unsent().explain(),
        "alert_fresh": Alert.objects.filter(is_fresh=True).order_by("is_fresh", "id")[:10].explain(),
    }

    for index, plan in plans.items():
        assert f"INDEX {index}" in plan, plan
