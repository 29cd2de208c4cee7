"""What it takes to delete old jobs, and what others notice of it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import OperationalError, connection, transaction

from benchmarks import old_jobs
from benchmarks.bench import Bench
from benchmarks.drained import BenchmarkFailed
from benchmarks.figures import percentile
from benchmarks.our_side import wait_for
from benchmarks.sampler import Sampler
from jobs.models import AuditEntry, Job
from jobs.states import State

OLD = 200_000
ROUNDS = 5  #: of as many jobs made as are deleted
PROBE_S = 0.02
LAG_OVER_S = 20.0


def retention(bench: Bench) -> None:
    """Delete old jobs in rounds, each after as many were made."""
    count = bench.sized(OLD)
    name, sizes = f"retention, {count:,} old jobs", []
    for n in range(ROUNDS):
        old_jobs.fill(count, first=n * count)
        sizes.append(_megabytes())
        _note(bench, name, _delete(bench, count))
        old_jobs.settle()
    for n in (0, 1, ROUNDS - 1):
        bench.note(name, f"jobs and trail, round {n + 1}", "MB", ours=sizes[n])


def retention_lag(bench: Bench) -> None:
    """Measure the start delay of due jobs, with none and with old jobs to delete meanwhile."""
    for old in (0, bench.sized(OLD)):
        bench.ours.clear()
        old_jobs.fill(old)
        over = max(3.0, LAG_OVER_S * bench.scale)
        begin, jobs = round(time.time()) + 4.0, bench.sized(1000)
        lags = bench.ours.lags([round(begin + over * n / jobs, 3) for n in range(jobs)], concurrency=5, warm_up=500)
        for percent in (50, 99):
            name = f"retention-lag, {old:,} old jobs"
            bench.note(name, f"p{percent}", "ms", ours=percentile(lags, percent) * 1000)


@dataclass(slots=True, kw_only=True)
class _Deleted:
    jobs: int
    seconds: float
    scheduler_cpu_s: float
    database_cpu_s: float
    bytes_written: float
    longest_ms: float  #: transaction on PostgreSQL, wait for the writer's place on SQLite


def _delete(bench: Bench, count: int) -> _Deleted:
    """Run a scheduler until no old job but the dead letters is left."""
    rows = Job.objects.filter(source=old_jobs.SOURCE).exclude(state=State.DEAD).values_list("pk", flat=True)
    first, last = rows.order_by("finished_at")[0], rows.order_by("-finished_at")[0]
    with (
        bench.ours.process("rqscheduler", concurrency=5) as scheduler,
        _probe() as longest,
    ):
        sampler = Sampler([scheduler.pid]).start()
        wait_for(lambda: not Job.objects.filter(pk=first).exists(), scheduler)
        began = time.time()
        with bench.servers.measured() as spent:
            wait_for(lambda: not Job.objects.filter(pk=last).exists(), scheduler)
        ended = time.time()
        sampler.stop()
    if rows.exists() or AuditEntry.objects.filter(job_id__in=[first, last]).exists():
        raise BenchmarkFailed("old jobs or their audit entries were left")
    return _Deleted(
        jobs=count - (count + 99) // 100,
        seconds=ended - began,
        scheduler_cpu_s=sampler.cpu_s(began, ended),
        database_cpu_s=spent.database_cpu_s,
        bytes_written=spent.bytes_written + (sampler.written if connection.vendor == "sqlite" else 0),
        longest_ms=max(longest, default=0.0) * 1000,
    )


def _note(bench: Bench, name: str, deleted: _Deleted) -> None:
    longest = "longest transaction" if connection.vendor == "postgresql" else "longest wait to write"
    for figure, unit, value in (
        ("rate", "jobs/s", deleted.jobs / deleted.seconds),
        ("scheduler CPU", "s/1,000 jobs", deleted.scheduler_cpu_s / deleted.jobs * 1000),
        ("database CPU", "s/1,000 jobs", deleted.database_cpu_s / deleted.jobs * 1000),
        ("written", "kB/job", deleted.bytes_written / deleted.jobs / 1000),
        (longest, "ms", deleted.longest_ms),
    ):
        bench.note(name, figure, unit, ours=value)


@contextmanager
def _probe() -> Iterator[list[float]]:
    """Yield what others see of the longest transactions, in seconds."""
    found, stopping = list[float](), threading.Event()
    look = _oldest_transaction if connection.vendor == "postgresql" else _wait_to_write

    def probe() -> None:
        while not stopping.wait(PROBE_S):
            found.append(look())
        connection.close()

    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        stopping.set()
        thread.join()


def _oldest_transaction() -> float:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(extract(epoch FROM max(clock_timestamp() - xact_start)), 0) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' AND xact_start IS NOT NULL"
        )
        return float(cursor.fetchone()[0])


def _wait_to_write() -> float:
    began = time.perf_counter()
    try:
        with transaction.atomic():
            pass
    except OperationalError:  # longer than the time limit: which is what it took
        pass
    return time.perf_counter() - began


def _megabytes() -> float:
    """What jobs and their trail take on disk, indexes included; on SQLite the whole file."""
    sql = (
        "SELECT pg_total_relation_size('jobs_job') + pg_total_relation_size('jobs_auditentry')"
        if connection.vendor == "postgresql"
        else "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return float(cursor.fetchone()[0]) / 1e6
