"""The numbers behind /metrics and /metrics/prometheus. No query's cost grows with the backlog.

Their names and help texts are in exposition.py. Events are counted where they happen, with jobs/counters.py.
"""

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import psutil
import structlog
from django.db import DatabaseError, connections
from django.db.models import Count, Min, Sum
from django.utils import timezone
from redis import Redis, RedisError

from jobs import stops
from jobs.broker import depths, keys
from jobs.models import Job, OutcomeMinute, ScheduleRow
from jobs.registry import all_types
from jobs.state_counts import EXACT
from jobs.states import WAITING, State
from jobs.waits import Wait
from monitoring.models import Alert, MonitorState, Severity

SETTLED: Final = timedelta(minutes=10)  #: older minutes get no more outcomes
Depths = Mapping[str, depths.Depth]
WAITS: Final = frozenset(wait.value for wait in Wait)
ATTEMPTS: Final = (1.0, 2.0, 3.0, 5.0, 10.0)  #: bounds of the histogram of attempts
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.get_default_timezone())

log = structlog.get_logger(__name__)
_process = psutil.Process()
_process.cpu_percent()  # starts the first interval


@dataclass(frozen=True, slots=True)
class QueueNumbers:
    """Jobs by state; completed and failed are all-time totals."""

    active: int
    waiting: int  #: those that pauses hold back included
    held_back: int
    newer: int
    delayed: int
    dead: int
    completed: int
    failed: int


class Totals:
    """All-time totals of ended attempts by type and outcome or wait; only the last minutes are read again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        """Make the next `read` start from the beginning."""
        self._settled: Counter[tuple[str, str]] = Counter()
        self._until = _EPOCH

    def read(self) -> Mapping[tuple[str, str], int]:
        """Return the current totals. They are exact: the ledger counts each end in its own transaction."""
        with self._lock:
            edge = timezone.now() - SETTLED
            if edge > self._until:
                self._settled += self._between(minute__gte=self._until, minute__lt=edge)
                self._until = edge
            return self._settled + self._between(minute__gte=self._until)

    def _between(self, **when: datetime) -> Counter[tuple[str, str]]:
        rows = OutcomeMinute.objects.filter(**when).order_by().values_list("type", "outcome").annotate(n=Sum("jobs"))
        return Counter({(kind, outcome): n for kind, outcome, n in rows})


def warm_up() -> None:
    """Read the totals and load all job types in a thread, so that the first scrape does not wait for them."""

    def read() -> None:
        try:
            all_types()
            TOTALS.read()
            EXACT.read()
        except DatabaseError as error:
            log.warning("metrics.warm_up_failed", error=str(error), next="the first scrape reads the totals")
        finally:
            connections.close_all()

    threading.Thread(target=read, name="warm-up", daemon=True).start()


TOTALS: Final = Totals()


def queue_depths(connection: Redis) -> Depths | None:
    """The queues' depths; None while Redis does not answer."""
    try:
        return depths.read(connection)
    except RedisError as error:
        log.warning("metrics.redis_unreachable", error=str(error), next="this scrape leaves Redis's numbers out")
        return None


def queue_numbers(found: Depths | None) -> QueueNumbers:
    """The numbers now. While Redis is away (None), the ledger's QUEUED jobs are those that wait."""
    totals, counts = TOTALS.read(), EXACT.read()
    ends: Counter[str] = Counter()
    for (_kind, outcome), n in totals.items():
        ends[outcome] += n
    return QueueNumbers(
        active=counts[State.RUNNING],
        waiting=counts[State.QUEUED] if found is None else sum(depth.waiting for depth in found.values()),
        held_back=sum(depth.held_back for depth in (found or {}).values()),
        newer=sum(depth.newer for depth in (found or {}).values()),
        delayed=sum(counts[state] for state in WAITING),
        dead=counts[State.DEAD],
        completed=ends[State.SUCCEEDED] + ends[State.SKIPPED],
        failed=ends[State.DEAD],
    )


def head_ages(found: Depths) -> dict[str, float]:
    """By queue, how many seconds ago the job at its head became due; one query."""
    now, due = timezone.now(), depths.due_times(found.values())
    at = {queue: due.get(depth.head) if depth.head else None for queue, depth in found.items()}
    return {queue: max(0.0, (now - moment).total_seconds()) if moment else 0.0 for queue, moment in at.items()}


def oldest_queued_seconds() -> float:
    """Return for how long the oldest QUEUED job has been queued; 0 if there is none."""
    first = Job.objects.filter(state=State.QUEUED.value).aggregate(first=Min("moved_at"))["first"]
    return max(0.0, float((timezone.now() - first).total_seconds())) if first else 0.0


def scheduler_lag_seconds() -> float:
    """Return how overdue the most overdue waiting job is; 0 if none is."""
    firsts = [Job.objects.filter(state=s.value).aggregate(first=Min("due_at"))["first"] for s in WAITING]
    behind = [(timezone.now() - first).total_seconds() for first in firsts if first is not None]
    return float(max([0.0, *behind]))


def oldest_world_stop_seconds() -> float:
    """Return for how long the world that has stood longest at a stop stands; 0 if none does."""
    since = stops.oldest_opened_at()
    return max(0.0, (timezone.now() - since).total_seconds()) if since else 0.0


def schedule_rows() -> int:
    return ScheduleRow.objects.count()


def open_alerts() -> dict[str, int]:
    """Count unresolved alerts by severity."""
    rows = Alert.objects.filter(resolved_at=None).order_by().values_list("severity").annotate(n=Count("pk"))
    found = dict(rows)
    return {severity.word: found.get(severity.value, 0) for severity in Severity}


def monitors() -> int:
    """Return 1 while a monitor is active, else 0."""
    return int(MonitorState.objects.filter(until__gt=timezone.now()).exists())


def leaders() -> dict[str, str]:
    """Return the active process of each role: the first characters of its lease's token. Raises redis.RedisError."""
    roles = ("scheduler", "listener")
    tokens: Any = keys.redis().mget([keys.LEASE.format(role) for role in roles])
    return {role: token[:8].decode(errors="replace") for role, token in zip(roles, tokens, strict=True) if token}


def cpu_percent() -> float:
    """Return this process's CPU use since the last call; it may exceed 100 with several threads."""
    return float(_process.cpu_percent())


def memory_bytes() -> Mapping[str, int]:
    """Map the predecessor's four types to what Python can measure.

    rss: resident set. heap_used: its unique part (USS, without shared libraries). heap_total: the data segment, which
    feeds Python's allocators. external: the part shared with other processes.
    """
    full = _process.memory_full_info()
    return {
        "rss": full.rss,
        "heap_used": full.uss,
        "heap_total": getattr(full, "data", full.rss),
        "external": getattr(full, "shared", 0),
    }
