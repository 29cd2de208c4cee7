"""The trouble of a bad night, written into the database and Redis of this process's settings.

300,000 jobs, of which 6,271 are dead letters of three failures; queues that nobody works on; retries, most of them
behind the circuit breaker; processes that were killed 34 minutes ago; a main API that fails; open alerts. The rows are
written past the ledger: only into a database that may be thrown away.
"""

import json
import urllib.request
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from random import Random
from typing import Any, Final
from urllib.parse import urljoin
from uuid import UUID

import msgspec
from django.conf import settings
from django.utils import timezone
from rq.suspension import suspend

from jobs.broker import keys
from jobs.models import AuditEntry, FailureGroup, FailureHour, Job, OutcomeMinute
from jobs.processes.heartbeat import ProcessStatus
from monitoring.models import Alert, Kind, Severity
from tests.support.rows import insert

JOBS: Final = 300_000
DEAD: Final = 6_271
LOST_AGO: Final = timedelta(minutes=34)  #: when the processes were killed
_BATCH: Final = 2_000
#: Of the jobs that have not ended well; the rest SUCCEEDED within the last day.
_SHARES: Final = (
    ("DEAD", DEAD),
    ("QUEUED", 3_000),
    ("OVERDUE", 400),
    ("SCHEDULED", 7_001),
    ("RETRYING", 500),
    ("WAITING", 1_900),
    ("RUNNING", 12),
)
#: The failures: error, message and how many of a hundred dead letters.
_FAILURES: Final = (
    ("MainApiError", "executeEffect: HTTP 500, whether it was done is unknown", 83),
    ("Timeout", "updateSettlement: no answer within # s", 15),
    ("NotFound", "settlement # is gone", 2),
)
_BREAKER: Final = "CircuitOpen: circuit breaker open; a probe is sent in a moment"


def make(jobs: int = JOBS, *, suspended: bool = True) -> None:
    """Make the trouble in the service of this process's settings. `suspended` stops its workers from clearing it up."""
    _fail_main_api(settings.API_URL)
    if suspended:
        suspend(keys.redis())
    _fill(jobs)
    _count(jobs)
    _lose_processes()
    _raise_alerts()


def _fail_main_api(url: str) -> None:
    """Let the sandbox answer each request with a fault, if it is one."""
    request = urllib.request.Request(urljoin(url, "/control/faults"), json.dumps({"errorRate": 1.0}).encode())
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=10):
        pass


def _fill(total: int) -> None:
    rows = _rows(total, timezone.now())
    while batch := list(islice(rows, _BATCH)):
        insert(Job, batch)
        insert(AuditEntry, (_entry(row) for row in batch if row["state"] != "SUCCEEDED"))


def _entry(job: dict[str, Any]) -> dict[str, Any]:
    error = {"reason": job["error"], "error": job["error"]}
    return {
        "job_id": job["id"],
        "at": job["moved_at"],
        "was": "RUNNING",
        "now": job["state"],
        "attempt": 1,
        "actor": "worker:w-1",
        **error,
    }


def _rows(total: int, now: datetime) -> Iterator[dict[str, Any]]:
    """The fields of each job: the history of a day, then what has happened since the processes were killed."""
    random = Random(3)
    bad = [kind for kind, number in _SHARES for _ in range(number)]
    random.shuffle(bad)
    good = total - len(bad)
    for number in range(total):
        if number < good:
            yield _row(random, number, "SUCCEEDED", now - LOST_AGO - timedelta(days=1 - number / good), now)
        else:
            share = (number - good) / len(bad)
            yield _row(random, number, bad[number - good], now - LOST_AGO * (1 - share), now)


def _row(random: Random, number: int, kind: str, at: datetime, now: datetime) -> dict[str, Any]:
    job_type = random.choice(("SETTLEMENT_GROWTH", "SETTLEMENT_GROWTH", "STRUCTURE_MAINTENANCE", "DEFERRED_EFFECT"))
    failure = random.choices(range(len(_FAILURES)), [weight for *_, weight in _FAILURES])[0]
    error, message, _ = _FAILURES[failure]
    state = {"OVERDUE": "SCHEDULED", "WAITING": "RETRYING"}.get(kind, kind)
    due = now + timedelta(seconds=random.randrange(6 * 3600)) if kind in ("SCHEDULED", "RETRYING", "WAITING") else at
    return {
        "id": UUID(int=(int(at.timestamp() * 1000) << 80) | 7 << 76 | 2 << 62 | number),
        "type": "DEFERRED_EFFECT" if kind == "DEAD" and failure == 0 else job_type,
        "campaign_id": f"campaign-{number % 40}",
        "subject": f"settlement-{number % 900}:POPULATION_GROWTH",
        "payload": {},
        "unique_key": f"trouble-{number}",
        "state": state,
        "attempt": int(kind not in ("QUEUED", "SCHEDULED", "OVERDUE")),
        "failures": 3 * (kind == "DEAD") + (kind == "RETRYING"),
        "due_at": due,
        "created_at": at,
        "moved_at": at,
        "started_at": at if kind in ("SUCCEEDED", "DEAD", "RUNNING") else None,
        "finished_at": at if kind in ("SUCCEEDED", "DEAD") else None,
        "lease_until": at if kind == "RUNNING" else None,
        "worker": "w-1" if kind in ("SUCCEEDED", "DEAD", "RUNNING") else "",
        "source": "scheduler",
        "error": {"DEAD": f"{error}: {message}", "RETRYING": f"{error}: {message}", "WAITING": _BREAKER}.get(kind, ""),
        "failure_key": f"{failure + 1:016x}" if kind == "DEAD" else "",
        "may_have_been_applied": kind == "DEAD" and failure == 0,
        "waits_since": at if kind == "WAITING" else None,
    }


def _count(total: int) -> None:
    """The totals that the ledger would have kept: the last hour by minute, yesterday by the hour; today is slower."""
    now = timezone.now()
    minute = now.replace(second=0, microsecond=0)
    ago = int(LOST_AGO / timedelta(minutes=1))
    rows = [_totals(minute - timedelta(minutes=n), "SUCCEEDED", total // 1_440, 900.0) for n in range(ago, 6 * 60)]
    rows += [_totals(minute - timedelta(minutes=n), "DEAD", DEAD // 12, 9_000.0) for n in range(ago - 12, ago)]
    rows += [_totals(minute - timedelta(hours=n), "SUCCEEDED", total // 24, 60.0) for n in range(20, 48)]
    OutcomeMinute.objects.bulk_create(rows)
    for number, (error, message, weight) in enumerate(_FAILURES, start=1):
        seen = {"first_seen": now - LOST_AGO, "last_seen": now - timedelta(seconds=40)}
        group = FailureGroup.objects.create(key=f"{number:016x}", error=error, message=message, **seen)
        FailureHour.objects.create(group=group, hour=minute.replace(minute=0), jobs=DEAD * weight // 100)


def _totals(at: datetime, outcome: str, jobs: int, run_ms: float) -> Any:
    slow = {"run_ms": jobs * run_ms, "run_ms_max": run_ms * 4, "wait_ms": jobs * 40.0, "wait_ms_max": 900.0}
    return OutcomeMinute(
        minute=at, type="SETTLEMENT_GROWTH", outcome=outcome, shard=77, jobs=jobs, waited_50=jobs, **slow
    )


def _lose_processes() -> None:
    """What processes leave that were killed."""
    at = (timezone.now() - LOST_AGO).timestamp()
    for role, name in (("worker", "w-1"), ("worker", "w-2"), ("scheduler", "s-1"), ("listener", "l-1")):
        status = ProcessStatus(
            role=role, name=name, host="night-1", pid=7, version="1", state="active", since=at - 9e4, at=at
        )
        keys.redis().hset(keys.PROCESSES, status.key, msgspec.json.encode(status))


def _raise_alerts() -> None:
    at = timezone.now() - LOST_AGO
    for kind, severity, title in (
        (Kind.NO_WORKER, Severity.CRITICAL, "No worker is running"),
        (Kind.DEAD_LETTERS_GROW, Severity.CRITICAL, "6,271 dead letters within half an hour"),
        (Kind.QUEUE_LAG, Severity.WARNING, "Queue delay: 34 min (limit 5 min)"),
    ):
        fields = {"kind": kind, "severity": severity, "title": title, "opened_at": at, "count": 1}
        Alert.objects.get_or_create(key=f"trouble-{kind}", resolved_at=None, defaults=fields)
