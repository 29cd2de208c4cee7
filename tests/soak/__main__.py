"""`python -m tests.soak --minutes 10 --rate 200`."""

import argparse
import json
import os
import signal
import sys
import threading
import time
from contextlib import ExitStack
from typing import Any, Final

import django
from redis import Redis

from sandbox.ports import free_port
from sandbox.postgresql import binaries, running_postgresql
from tests.soak.memory import LARGEST_SLOPE_KB, Memory
from tests.support.environment import FOLDER
from tests.support.service import Service

REDIS: Final = "redis"  #: it holds what waits: on a machine that is too slow for the rate, ever more
SAMPLE_S: Final = 5.0
DRAIN_S: Final = 300.0
NAMES: Final = ("sandbox", "web", "worker", "scheduler", "listener", "monitor")  #: as Service starts them
ENVIRONMENT: Final = {"LOG_LEVEL": "warn", "QUEUE_CONCURRENCY": "10", "LEASE_SECONDS": "30"}


def main() -> int:
    """Load, sample and judge; 1 if memory grows or a job is left."""
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))  # runs the clean-up below
    options = _options()
    with ExitStack() as ends:
        environment = dict(ENVIRONMENT)
        if options.database == "postgresql":
            environment["DATABASE_URL"] = ends.enter_context(running_postgresql(free_port()))
        service = Service(FOLDER / "soak", **environment)
        ends.callback(service.stop)
        os.environ |= service.environment
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler_project.settings")
        django.setup()
        return _soak(service, minutes=options.minutes, rate=options.rate)


def _soak(service: Service, *, minutes: float, rate: float) -> int:
    from tests.soak.load import SETTLEMENTS, Load  # Django is not ready earlier
    from tests.soak.visitor import Visitor  # Django is not ready earlier

    service.sandbox.control("POST", "reset", {"settlements": SETTLEMENTS})
    pids = [running.process.pid for running in service.processes]
    memories = [Memory(name, pid) for name, pid in zip(NAMES, pids, strict=True)]
    memories.append(Memory(REDIS, _pid_of(service)))
    load, visitor, stopping = Load(rate), Visitor(service), threading.Event()
    sampler = threading.Thread(target=_sample, args=[memories, stopping], daemon=True)
    sampler.start()
    began = time.monotonic()
    load.run(minutes * 60)
    took = time.monotonic() - began
    visitor.stop()
    left = _drain()
    stopping.set()
    sampler.join()
    return _report(memories, load.submitted, took, left)


def _pid_of(service: Service) -> int:
    return int(Redis.from_url(service.redis.url).info("server")["process_id"])


def _count_ended() -> int:
    from jobs.models import Job  # Django is not ready earlier
    from jobs.states import ENDED  # Django is not ready earlier

    return Job.objects.filter(state__in=ENDED).count()


def _sample(memories: list[Memory], stopping: threading.Event) -> None:
    """Sample all processes until the end."""
    while not stopping.wait(SAMPLE_S):
        jobs = _count_ended()
        for memory in memories:
            memory.sample(jobs)


def _drain() -> int:
    """Wait until what is left has ended; how much never does."""
    from jobs.models import Job  # Django is not ready earlier
    from jobs.states import ENDED  # Django is not ready earlier

    until = time.monotonic() + DRAIN_S
    while (left := Job.objects.exclude(state__in=ENDED).count()) and time.monotonic() < until:
        time.sleep(1)
    return left


def _report(memories: list[Memory], submitted: int, took: float, left: int) -> int:
    from django.db.models import Count  # Django is not ready earlier

    from jobs.models import Job  # Django is not ready earlier

    states = dict(Job.objects.values_list("state").annotate(n=Count("pk")))
    late = sorted(_lateness())
    print(f"{submitted:,} jobs in {took:.0f} s: {submitted / took:.0f} a second; {states}; {left} left")
    print(f"late: p50 {_quantile(late, 0.5):.0f} ms, p99 {_quantile(late, 0.99):.0f} ms, most {late[-1]:.0f} ms")
    print(f"{'':<10} {'start':>7} {'warm':>7} {'end':>7}")
    for memory in memories:
        if memory.name != "sandbox":  # it keeps every execution: it is a stand-in
            verdict = "" if memory.is_flat or memory.name == REDIS else f"  NOT FLAT: more than {LARGEST_SLOPE_KB:g}"
            print(f"{memory}{verdict}")
    samples = {memory.name: memory.samples for memory in memories}
    (FOLDER / "samples.json").write_text(json.dumps(samples))
    print(f"samples [jobs done, kB]: {FOLDER / 'samples.json'}")
    growing = [memory.name for memory in memories if not memory.is_flat and memory.name not in ("sandbox", REDIS)]
    return 1 if growing or left or states.get("DEAD") else 0


def _lateness() -> list[float]:
    """How many ms after its due time each job started that needed one attempt."""
    from jobs.models import Job  # Django is not ready earlier

    done = Job.objects.filter(source="soak", attempt=1, started_at__isnull=False).values_list("due_at", "started_at")
    return [(started - due).total_seconds() * 1000 for due, started in done.iterator() if started]


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _options() -> Any:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=float, default=200, help="jobs a second")
    # With SQLite each process's page cache grows to 64 MB with the file, whatever else happens.
    database = "postgresql" if binaries() else "sqlite"
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default=database)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
