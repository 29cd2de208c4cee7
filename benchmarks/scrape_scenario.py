"""The cost of a metrics scrape with many jobs and many minutes of outcomes in the database."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import urllib3
from django.conf import settings
from django.utils import timezone

from benchmarks.bench import Bench
from benchmarks.drained import BenchmarkFailed
from benchmarks.figures import percentile
from jobs.models import OutcomeMinute
from jobs.states import State
from sandbox.ports import free_port

SCRAPES = 30
OUTCOMES = (State.SUCCEEDED, State.SKIPPED, State.RETRYING, State.DEAD)


def scrape(bench: Bench) -> None:
    """Measure a web process's first and later scrapes with 1,000,000 jobs and 120,000 rows of outcomes."""
    waiting, rows = bench.sized(1_000_000), bench.sized(120_000)
    bench.ours.fill(waiting)
    _outcomes(rows)
    try:
        with _web(bench) as url:
            times = [_time(url) for _ in range(SCRAPES + 1)]
    finally:
        OutcomeMinute.objects.filter(type__startswith="SCRAPE").delete()
    name = f"scrape, {waiting:,} waiting"
    bench.note(name, "first", "ms", ours=times[0] * 1000)
    bench.note(name, "median", "ms", ours=percentile(times[1:], 50) * 1000)
    bench.note(name, "slowest", "ms", ours=max(times[1:]) * 1000)


def _outcomes(rows: int) -> None:
    minute = timezone.now().replace(second=0, microsecond=0) - timedelta(hours=1)
    times = {"run_ms": 1.0, "run_ms_max": 1.0, "wait_ms": 1.0, "wait_ms_max": 1.0}
    each = len(OUTCOMES) * 6
    OutcomeMinute.objects.bulk_create(
        (
            OutcomeMinute(
                minute=minute - timedelta(minutes=n // each),
                type=f"SCRAPE_{n % 6}",
                outcome=OUTCOMES[n // 6 % len(OUTCOMES)],
                shard=0,
                jobs=1,
                **times,
            )
            for n in range(rows)
        ),
        batch_size=2000,
    )


@contextmanager
def _web(bench: Bench) -> Iterator[str]:
    """Run the web process as it is deployed; yield its URL when it answers."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "scheduler_project.wsgi",
        "--bind",
        f"127.0.0.1:{port}",
    ]
    with (bench.ours.folder / "web.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own arguments
            command, cwd=settings.BASE_DIR, env=os.environ, stdout=log, stderr=log
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _await(url, process)
        yield f"{url}/metrics/prometheus"
    finally:
        process.terminate()
        process.wait(timeout=40)


def _await(url: str, process: "subprocess.Popen[bytes]") -> None:
    """Wait until it answers a health check, as probes do before any scrape."""
    for _ in range(300):
        if process.poll() is not None:
            raise BenchmarkFailed(f"the web process exited ({process.returncode})")
        try:
            urllib3.request("GET", f"{url}/health", retries=False, timeout=10)
        except urllib3.exceptions.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise BenchmarkFailed("the web process does not answer")


def _time(url: str) -> float:
    began = time.perf_counter()
    answer = urllib3.request("GET", url, timeout=30)
    if answer.status != 200:
        raise BenchmarkFailed(f"the scrape answered {answer.status}")
    return time.perf_counter() - began
