"""The service as it runs: worker, scheduler and listener, measured over stretches of time."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

from django.db import connection
from django.utils import timezone

from benchmarks.bench import Bench
from benchmarks.our_side import refuse_failures, wait_for
from benchmarks.sampler import Sampler
from jobs.models import AuditEntry, CampaignClock, Job, ScheduleRow

CONCURRENCY: Final = 5


@dataclass(slots=True)
class Phase:
    """A stretch of time, and what all processes have spent in it."""

    seconds: float = 0.0
    cpu_s: float = 0.0
    jobs: int = 0
    rows: int = 0  #: jobs, their audit entries, schedules and campaigns that were written, each once
    requests: float = 0.0
    bytes_written: float = 0.0
    peak: float = 0.0  #: requests in the second with the most


class Running:
    """Processes of the service; the worker and the scheduler run from the start."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._stack = ExitStack()
        self._processes: dict[str, Any] = {}
        self._samplers: list[tuple[str, Sampler]] = []

    def __enter__(self) -> Self:
        for command in ("rqscheduler", "benchmark_worker"):
            self.start(command)
        return self

    def __exit__(self, *raised: object) -> None:
        for _, sampler in self._samplers:
            sampler.stop()
        self._stack.close()

    def start(self, command: str) -> None:
        process = self._stack.enter_context(self._bench.ours.process(command, concurrency=CONCURRENCY))
        self._processes[command] = process
        self._samplers.append((command, Sampler([process.pid]).start()))

    def stop(self, command: str) -> None:
        """Stop the process and wait for its end."""
        process = self._processes.pop(command)
        process.terminate()
        process.wait(timeout=60)

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition. Raises BenchmarkFailed if a job fails or a process exits."""

        def is_met() -> bool:
            refuse_failures()
            return condition()

        wait_for(is_met, *self._processes.values())

    @contextmanager
    def phase(self) -> Iterator[Phase]:
        """Yield what is spent in the block; it is filled in at the block's end."""
        phase, began, jobs, since = Phase(), time.time(), Job.objects.count(), timezone.now()
        written = self._bytes_written()
        with self._bench.servers.measured() as spent, self._peak_of(phase):
            yield phase
        ended = time.time()
        phase.seconds = ended - began
        phase.cpu_s = sum(sampler.cpu_s(began, ended) for _, sampler in self._samplers)
        phase.jobs = Job.objects.count() - jobs
        phase.rows = _count_written(since)
        phase.requests, phase.bytes_written = spent.requests, spent.bytes_written + self._bytes_written() - written

    def memory_mb(self) -> dict[str, float]:
        """What each process has at the end, by command: at its start it has children for a moment."""
        return {command: sampler.samples[-1][2] / 1e6 for command, sampler in self._samplers}

    def _bytes_written(self) -> float:
        """Bytes that the processes wrote to SQLite's files; PostgreSQL's log is counted by itself."""
        return float(sum(sampler.written for _, sampler in self._samplers)) if connection.vendor == "sqlite" else 0.0

    @contextmanager
    def _peak_of(self, phase: Phase) -> Iterator[None]:
        """Look at the main API's requests every second."""
        ended = threading.Event()

        def look() -> None:
            before, is_over = self._bench.servers.read_requests(), False
            while not is_over:
                is_over = ended.wait(1.0)
                now = self._bench.servers.read_requests()
                phase.peak, before = max(phase.peak, now - before), now

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _count_written(since: datetime) -> int:
    jobs = Job.objects.filter(moved_at__gte=since).count() + AuditEntry.objects.filter(at__gte=since).count()
    schedules = ScheduleRow.objects.filter(updated_at__gte=since).count()
    return jobs + schedules + CampaignClock.objects.filter(seen_at__gte=since).count()
