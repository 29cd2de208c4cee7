"""Our side of each scenario: jobs/service.py, and worker and scheduler as real processes."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from benchmarks import waiting
from benchmarks.drained import BenchmarkFailed, Drained, Submitted
from benchmarks.sampler import Sampler
from benchmarks.spent import Servers, Spent
from benchmarks.world import redis_at
from jobs import service
from jobs.models import Job
from jobs.models.job import first_id
from jobs.service import Submission
from jobs.states import State

ACTOR = "benchmark"
CHUNK = 1000
LONGEST_S = 1800
POLL_S = 0.1
_FIRST = first_id(timezone.now())


@dataclass(slots=True)
class Ours:
    """The service, on the database and Redis of this process's settings."""

    folder: Path  #: for the logs of worker and scheduler
    servers: Servers
    waiting: int = 0

    def clear(self) -> None:
        """Delete all jobs except those that `fill` made.

        It vacuums and checkpoints at once, so that PostgreSQL does neither during the measurement: in production the
        waiting rows would have arrived one by one.
        """
        redis_at(settings.REDIS_URL).flushdb()
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("TRUNCATE jobs_auditentry, jobs_schedulerow, jobs_campaignclock, jobs_outcomeminute")
            for statement in (
                "DELETE FROM jobs_auditentry",
                f"DELETE FROM jobs_job WHERE source <> '{waiting.SOURCE}'",  # noqa: S608 - a constant of ours
                "DELETE FROM jobs_schedulerow",
                "DELETE FROM jobs_campaignclock",
            ):
                cursor.execute(statement)
            if connection.vendor == "postgresql":
                cursor.execute("VACUUM ANALYZE jobs_job")
                cursor.execute("CHECKPOINT")

    def fill(self, count: int) -> float:
        """Make `count` rows wait beyond the horizon; return the seconds it took."""
        began = time.perf_counter()
        if count != self.waiting:
            waiting.fill(count)
        self.waiting = count
        return time.perf_counter() - began

    def submit(
        self, count: int, job_type: str, payload: dict[str, Any], *, clients: int = 0, campaigns: int = 1
    ) -> Submitted:
        """Submit `count` jobs in calls of CHUNK, or one a call by so many threads at once."""
        wanted = [_submission(job_type, payload, n, campaign=n % campaigns + 1) for n in range(count)]
        if clients > 1:
            return _submit_at_once(wanted, clients)
        began, cpu_began = time.perf_counter(), time.process_time()
        if clients:
            for submission in wanted:
                service.submit(submission, actor=ACTOR)
        else:
            for start in range(0, count, CHUNK):
                service.submit_many(wanted[start : start + CHUNK], actor=ACTOR)
        return Submitted(time.perf_counter() - began, time.process_time() - cpu_began)

    def drain(
        self,
        count: int,
        job_type: str,
        payload: dict[str, Any],
        *,
        concurrency: int,
        warm_up: int,
        workers: int = 1,
        **more: str,
    ) -> Drained:
        """Submit `warm_up` + `count` jobs, then start workers and measure the last `count`.

        `more`: variables of the workers' environment.
        """
        self.submit(warm_up + count, job_type, payload)
        with self.servers.measured() as spent, ExitStack() as stack:
            running = [
                stack.enter_context(self.process("benchmark_worker", concurrency=concurrency, **more))
                for _ in range(workers)
            ]
            sampler = Sampler([worker.pid for worker in running]).start()
            wait_for(lambda: finished() == warm_up + count, *running)
            sampler.stop()
        if connection.vendor == "sqlite":
            spent.bytes_written += sampler.written
        return result_of(count, warm_up, sampler, spent)

    def lags(self, due: list[float], *, concurrency: int, warm_up: int) -> list[float]:
        """Submit jobs due at `due`; return for each the seconds from due to its handler's first line."""
        from benchmarks.job_types import LAG, NOOP  # declares the types

        with (
            self.process("rqscheduler", concurrency=concurrency) as scheduler,
            self.process("benchmark_worker", concurrency=concurrency) as worker,
        ):
            self.submit(warm_up, NOOP, {})
            wait_for(lambda: finished() == warm_up, worker, scheduler)
            moments = [datetime.fromtimestamp(at, tz=UTC) for at in due]
            wanted = [_submission(LAG, {}, n, moment) for n, moment in enumerate(moments)]
            service.submit_many(wanted, actor=ACTOR)
            time.sleep(max(0.0, due[-1] - time.time()))  # counting meanwhile would take the cores' time
            wait_for(lambda: finished() == warm_up + len(due), worker, scheduler)
        rows = submitted_jobs().filter(type=LAG).values_list("due_at", "result")
        return [result["began"] - due_at.timestamp() for due_at, result in rows if result]

    def cold_start(self, due: int) -> tuple[float, float]:
        """Start a scheduler and a worker with an empty Redis and `due` due jobs.

        Return the seconds until the first and until the last has finished, including the start of the processes.
        """
        from benchmarks.job_types import NOOP  # declares the types

        self.submit(due, NOOP, {}, campaigns=10)
        redis_at(settings.REDIS_URL).flushdb()
        began = time.time()
        with (
            self.process("rqscheduler", concurrency=5) as scheduler,
            self.process("benchmark_worker", concurrency=5) as w,
        ):
            wait_for(lambda: finished() == due, scheduler, w)
        ends = [
            at.timestamp()
            for at in submitted_jobs().values_list("finished_at", flat=True).exclude(finished_at=None)
            if at
        ]
        return min(ends) - began, max(ends) - began

    @contextmanager
    def process(self, command: str, *, concurrency: int, **more: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a process of the service, with `more` variables in its environment."""
        environment = {
            **os.environ,
            **more,
            "QUEUE_CONCURRENCY": str(concurrency),
            "DATABASE_POOL_SIZE": str(max(20, concurrency + 5)),
        }
        arguments = [sys.executable, "manage.py", command]
        with (self.folder / f"{command}.log").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - our own arguments
                arguments, cwd=settings.BASE_DIR, env=environment, stdout=log, stderr=log
            )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _submit_at_once(wanted: list[Submission], clients: int) -> Submitted:
    """Submit one job a call by so many threads, which share the list and have their connections before."""
    left = iter(wanted)  # next() holds the GIL: no two threads get the same
    ready = threading.Barrier(clients + 1)

    def submit() -> None:
        connection.ensure_connection()
        try:
            ready.wait(timeout=60)
            for submission in left:
                service.submit(submission, actor=ACTOR)
        finally:
            connection.close()

    with ThreadPoolExecutor(clients) as pool:
        done = [pool.submit(submit) for _ in range(clients)]
        ready.wait(timeout=60)
        began, cpu_began = time.perf_counter(), time.process_time()
        for one in done:
            one.result()
        return Submitted(time.perf_counter() - began, time.process_time() - cpu_began)


def submitted_jobs() -> QuerySet[Job]:
    """Jobs that were submitted; not those that SQL made beforehand."""
    return Job.objects.filter(pk__gte=_FIRST)


def finished() -> int:
    """Count finished jobs once none is queued or running; until then return -1, which is cheaper.

    Raises BenchmarkFailed as soon as a job has failed.
    """
    refuse_failures()
    if Job.objects.filter(state=State.QUEUED).exists() or Job.objects.filter(state=State.RUNNING).exists():
        return -1
    return count_ended()


def refuse_failures() -> None:
    """Raise BenchmarkFailed with the error of a job that failed."""
    for state in (State.RETRYING, State.DEAD):
        if job := Job.objects.in_state(state).filter(pk__gte=_FIRST).first():
            raise BenchmarkFailed(f"{job} failed: {job.error[:500]}")


def count_ended() -> int:
    return submitted_jobs().filter(finished_at__isnull=False).count()


def wait_for(condition: Any, *processes: subprocess.Popen[bytes], within_s: float = LONGEST_S) -> None:
    """Wait for a condition. Raises BenchmarkFailed if a process exits or time runs out."""
    until = time.monotonic() + within_s
    while not condition():
        for process in processes:
            if process.poll() is not None:
                raise BenchmarkFailed(f"a process of the service exited ({process.returncode})")
        if time.monotonic() > until:
            raise BenchmarkFailed(f"not done within {within_s:g} s")
        time.sleep(POLL_S)


def _submission(
    job_type: str, payload: dict[str, Any], n: int, due_at: datetime | None = None, *, campaign: int = 1
) -> Submission:
    return Submission(type=job_type, campaign_id=f"campaign-{campaign}", payload=payload, subject=str(n), due_at=due_at)


def result_of(count: int, warm_up: int, sampler: Sampler, spent: Spent) -> Drained:
    """Return the result of the last `count` jobs. Raises BenchmarkFailed if any job did not succeed."""
    ends = list(
        submitted_jobs().filter(finished_at__isnull=False).order_by("finished_at").values_list("finished_at", "state")
    )
    lost = sum(state != State.SUCCEEDED for _, state in ends)
    if lost:
        raise BenchmarkFailed(f"{lost} of {len(ends)} jobs did not succeed")
    times = [at.timestamp() for at, _ in ends if at]
    began, end = times[max(0, warm_up - 1)], times[-1]
    failures = sum(submitted_jobs().filter(failures__gt=0).values_list("failures", flat=True))
    return Drained(
        count=count,
        seconds=end - began,
        cpu_s=sampler.cpu_s(began, end),
        rss_mb=sampler.rss_mb(),
        failures=failures,
        jobs=len(ends),
        spent=spent,
    )
