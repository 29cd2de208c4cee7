"""Health checks, one django-health-check class per component.

`check_component` sets `message` and returns (up), raises ServiceWarning (degraded), or raises anything else (down). To
add a component, add a class and list it in CHECKS.
"""

import asyncio
import socket
import time
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Final, NoReturn

from django.conf import settings
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Q, Sum
from django.utils import timezone
from django.utils.functional import lazy
from django.utils.translation import gettext, gettext_noop
from health_check.base import HealthCheck
from health_check.exceptions import ServiceUnavailable, ServiceWarning
from redis import Redis as RedisClient
from rq import Worker as RQWorker

from jobs.actor import name_of
from jobs.broker import depths, keys
from jobs.errors import NoPermit, NotAuthorized
from jobs.main_api.answers import Fault
from jobs.main_api.client import main_api
from jobs.main_api.errors import error_of
from jobs.main_api.transport import PooledTransport
from jobs.models import OutcomeMinute
from jobs.states import ENDED, State
from jobs.world_clocks import status as world_clocks
from monitoring.metrics import oldest_queued_seconds, queue_numbers
from monitoring.models import MonitorState
from scheduler_project.numbers import format_number
from scheduler_project.redis_connection import connect

DEADLINE_S: Final = 2.0  #: time limit of one check
CLIENT_TIMEOUT_S: Final = 1.5  #: below DEADLINE_S, so that a client's own error is what is shown
DEAD_SHARE: Final = 0.1  #: share of dead letters in the last hour's finished jobs above which the queue is degraded


@dataclass
class Check(HealthCheck):
    message: str = field(default="", repr=False)  #: shown when the component is up
    brief: str | None = field(default=None, repr=False)  #: the message for a page, if that is another
    critical = False  #: whether the service is unhealthy without it
    timeout = timedelta(seconds=DEADLINE_S)

    @abstractmethod
    def check_component(self) -> None:
        """Check the component: see the module's docstring."""

    def _note_connected(self, began: float) -> None:
        ms = round((time.perf_counter() - began) * 1000)
        self.message = f"Connected (latency: {ms}ms)"
        self.brief = _for_pages(gettext_noop("Connected (latency: %(ms)s ms)"), {"ms": ms})

    async def run(self) -> None:
        """Run as django-health-check's own view and command do."""
        await asyncio.to_thread(self.check_component)


def _redis() -> RedisClient:
    """Return a client with a short timeout; the process's own waits 15 s."""
    return connect(settings.REDIS_URL, socket_timeout=CLIENT_TIMEOUT_S, socket_connect_timeout=CLIENT_TIMEOUT_S)


def _write(text: str, values: Mapping[str, int]) -> str:
    return gettext(text) % {name: format_number(value) for name, value in values.items()}


_for_pages = lazy(_write, str)  #: translated when a page shows it; /health is for programs


@dataclass
class RedisCheck(Check):
    """Writes, because a replica or a full Redis still answers reads."""

    critical = True

    def check_component(self) -> None:
        """Down when it does not answer, or takes no write."""
        began = time.perf_counter()
        with _redis() as client:
            client.set(keys.WRITTEN_BY_HEALTH, "1", ex=60)
        self._note_connected(began)


@dataclass
class SubscriberCheck(Check):
    """An active listener that is subscribed to the campaigns' channels."""

    def check_component(self) -> None:
        with _redis() as client:
            if not client.exists(keys.LEASE.format("listener")):
                raise ServiceUnavailable("No listener is running: start manage.py pubsub_listener")
            if not client.pubsub_numpat():
                raise ServiceWarning("A listener leads but is not subscribed")
        self.message = "Subscribed to campaign channels"


@dataclass
class QueueCheck(Check):
    """Jobs by state, and the share of dead letters in the last hour."""

    def check_component(self) -> None:
        """Degraded when more than DEAD_SHARE of the last hour's finished jobs are dead, or some wait long for a worker
        of a newer release.
        """
        with _redis() as client:
            n = queue_numbers(depths.read(client))
        says = f"Active: {n.active}, Waiting: {n.waiting}, Delayed: {n.delayed}, Failed: {n.dead}"
        says += f", Held back by pauses: {n.held_back}" if n.held_back else ""
        says += f", Waiting for a newer release: {n.newer}" if n.newer else ""
        hour = OutcomeMinute.objects.filter(minute__gte=timezone.now() - timedelta(hours=1), outcome__in=ENDED)
        seen = hour.aggregate(dead=Sum("jobs", filter=Q(outcome=State.DEAD)), all=Sum("jobs"))
        dead, finished = seen["dead"] or 0, seen["all"] or 0
        if dead > DEAD_SHARE * finished:
            problem = gettext_noop(
                "%(dead)s of the %(finished)s jobs that finished in the last hour became dead letters"
            )
            self._warn(says, problem, {"dead": dead, "finished": finished})
        if n.newer and oldest_queued_seconds() > settings.ALERT_LAG.total_seconds():
            problem = gettext_noop("%(count)s jobs wait for a newer release: replace the workers of the older one")
            self._warn(says, problem, {"count": n.newer})
        self.message, self.brief = says, ""

    def _warn(self, says: str, problem: str, values: Mapping[str, int]) -> NoReturn:
        self.brief = _for_pages(problem, values)
        raise ServiceWarning(f"{says}; {problem % {name: f'{value:,}' for name, value in values.items()}}")


@dataclass
class ApiCheck(Check):
    """The main API: down unless it answers as GraphQL does, degraded if it refuses our credential or has no room."""

    def check_component(self) -> None:
        began = time.perf_counter()
        timeout = timedelta(seconds=CLIENT_TIMEOUT_S)
        gate = main_api().transport.gate
        transport = PooledTransport(settings.API_URL, settings.API_SERVICE_ACCOUNT_TOKEN, gate, timeout=timeout)
        try:
            answer = transport.send({"query": "{__typename}"})
        except (NotAuthorized, NoPermit) as refused:
            raise ServiceWarning(str(refused)) from refused
        except Fault as fault:
            raise ServiceUnavailable(str(fault)) from fault
        finally:
            transport.close()
        refusals = [e for e in answer.errors if isinstance(error_of("__typename", e), NotAuthorized)]
        if refusals:
            raise ServiceWarning(f"main API: {refusals[0].code}: it refuses API_SERVICE_ACCOUNT_TOKEN")
        self._note_connected(began)


@dataclass
class DatabaseCheck(Check):
    """Writes and rolls back, because a replica, a full disk or a read-only file still answers reads."""

    critical = True

    def check_component(self) -> None:
        """Down when it does not answer, or takes no write."""
        began = time.perf_counter()
        with transaction.atomic():
            # A row of its own, which nobody sees: one that another process has locked would wait for that process.
            MonitorState.objects.create(name=token_hex(8))
            transaction.set_rollback(True)
        self._note_connected(began)


@dataclass
class WorkerCheck(Check):
    """Workers with a recent heartbeat; with `host` only those on that host."""

    host: str = ""

    def check_component(self) -> None:
        fresh = datetime.now(UTC) - settings.LEASE - timedelta(seconds=30)
        with _redis() as client:
            workers = [w for w in RQWorker.all(connection=client) if not self.host or w.hostname == self.host]
        alive = [w for w in workers if w.last_heartbeat and w.last_heartbeat > fresh]
        if not alive:
            where = f" on {self.host}" if self.host else ""
            raise ServiceUnavailable(f"No worker is running{where}: start manage.py rqworker")
        self.message = f"{len(alive)} running"


@dataclass
class SchedulerCheck(Check):
    """An active scheduler."""

    def check_component(self) -> None:
        with _redis() as client:
            if not client.exists(keys.LEASE.format("scheduler")):
                raise ServiceUnavailable("No scheduler is running: start manage.py rqscheduler")
        self.message = "Active"


@dataclass
class MonitorCheck(Check):
    """An active monitor."""

    def check_component(self) -> None:
        if not MonitorState.objects.filter(until__gt=timezone.now()).exists():
            raise ServiceUnavailable("No monitor is running: start manage.py monitor")
        self.message = "Active"


@dataclass
class BreakerCheck(Check):
    """The circuit breaker of the main API: degraded while it is not closed."""

    def check_component(self) -> None:
        seen = main_api().breaker.snapshot()
        if seen.state != "closed":
            cause = f": {seen.last_error}"
            if seen.forced:
                why = f" ({seen.forced.reason})" if seen.forced.reason else ""
                cause = f", forced by {name_of(seen.forced.by)}{why}"
            raise ServiceWarning(f"{seen.state}{cause}")
        self.message = "Closed"


@dataclass
class WorldClocksCheck(Check):
    """Which campaigns' time moves by itself: a note, so that nobody overlooks it. Failed steps raise alerts."""

    def check_component(self) -> None:
        n = world_clocks.count()
        self.message = f"{n['running']} running, {n['waiting']} waiting, {n['paused']} paused"


@dataclass
class MigrationsCheck(Check):
    critical = True

    def check_component(self) -> None:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if missing:
            raise ServiceUnavailable(f"{len(missing)} migrations are not applied: run manage.py migrate")
        self.message = "Applied"


#: The components of /health, under the predecessor's names.
CHECKS: Final[dict[str, Check]] = {
    "redis": RedisCheck(),
    "redisSubscriber": SubscriberCheck(),
    "rqQueue": QueueCheck(),
    "api": ApiCheck(),
    "database": DatabaseCheck(),
    "worker": WorkerCheck(),
    "scheduler": SchedulerCheck(),
    "circuitBreaker": BreakerCheck(),
    "worldClocks": WorldClocksCheck(),
}
#: The components of /health/ready.
NEEDED: Final[dict[str, Check]] = {"redis": RedisCheck(), "database": DatabaseCheck(), "migrations": MigrationsCheck()}
#: The components of `manage.py healthcheck ROLE`; a container's worker must run in that container.
ROLES: Final[dict[str, tuple[str, Check]]] = {
    "worker": ("worker", WorkerCheck(host=socket.gethostname())),
    "scheduler": ("scheduler", SchedulerCheck()),
    "listener": ("redisSubscriber", SubscriberCheck()),
    "monitor": ("monitor", MonitorCheck()),
}
