"""Scenarios of the gate before the main API: what it costs, and what it does when the main API is slowed down."""

import time
from contextlib import ExitStack
from datetime import UTC, datetime

from django.conf import settings

from benchmarks.bench import Bench
from benchmarks.our_side import wait_for
from benchmarks.world import redis_at
from jobs import counters
from jobs.main_api.gate import CONNECTIONS
from jobs.models import Job
from jobs.states import State

SETTLEMENT = {"settlementId": "settlement-1-1-1"}
WARM_UP = 500
PAIRS = 3  #: of runs with and without the gate, in one run of the scenario
SERVERS = 4
SERVICE_MS = 20
SLOWER = 10
QUIET_S, SLOW_S = 15.0, 60.0
TIMEOUT_MS = 1000  #: of a request: with all connections in use, the slowed server would answer after that
LIMITS = (1, 2, 3, 5, 10)  #: of each of the workers
WORKERS = 2


def gate_cost(bench: Bench) -> None:
    """Drain jobs with one query each, with the gate (ours) and with a semaphore in its place (peer), interleaved."""
    from benchmarks.job_types import CALL  # declares the types

    count = bench.sized(4000)
    for _ in range(PAIRS):
        for side, fixed in (("ours", ""), ("peer", str(CONNECTIONS))):
            bench.ours.clear()
            drained = bench.ours.drain(
                count, CALL, SETTLEMENT, concurrency=5, warm_up=WARM_UP, BENCHMARK_FIXED_GATE=fixed
            )
            bench.note("gate-cost", "rate", "jobs/s", **{side: drained.rate})
            bench.note("gate-cost", "worker CPU", "s/1,000 jobs", **{side: drained.cpu_s_per_1000})


def api_slowed(bench: Bench) -> None:
    """Slow a server of limited capacity down tenfold for a minute: with the gate (ours), and with fixed limits.

    The peer is the best of the fixed limits.
    """
    limits = LIMITS if bench.scale >= 1 else (2,)
    fixed = {limit: _run(bench, f"api-slowed, fixed {limit}", str(limit)) for limit in limits}
    rate = _run(bench, "api-slowed, gate", "")
    bench.note("api-slowed", "rate", "jobs/s", ours=rate, peer=max(fixed.values()))


def _run(bench: Bench, name: str, fixed: str) -> float:
    """The jobs that succeeded per second while the server was slow."""
    from benchmarks.job_types import CALL  # declares the types

    quiet_s, slow_s = (max(2.0, s * min(1.0, bench.scale)) for s in (QUIET_S, SLOW_S))
    capacity = SERVERS * 1000 / SERVICE_MS
    bench.ours.clear()
    bench.control("POST", "faults", {"latencyMs": SERVICE_MS, "servers": SERVERS})
    bench.ours.submit(int(1.5 * capacity * (quiet_s + slow_s / SLOWER)), CALL, SETTLEMENT)
    environment = {"BENCHMARK_FIXED_GATE": fixed, "API_REQUEST_TIMEOUT_MS": str(TIMEOUT_MS)}
    with ExitStack() as stack:
        workers = [
            stack.enter_context(bench.ours.process("benchmark_worker", concurrency=CONNECTIONS, **environment))
            for _ in range(WORKERS)
        ]
        wait_for(lambda: Job.objects.filter(state=State.SUCCEEDED).exists(), *workers)
        time.sleep(quiet_s)
        bench.control("POST", "faults", {"latencyMs": SERVICE_MS * SLOWER, "servers": SERVERS})
        began = datetime.now(UTC)
        time.sleep(slow_s)
        ended = datetime.now(UTC)
        bench.control("POST", "faults", {"latencyMs": 0, "servers": 0})
    done = Job.objects.filter(state=State.SUCCEEDED, finished_at__gt=began, finished_at__lte=ended).count()
    bench.note(name, "rate", "jobs/s", ours=done / slow_s)
    bench.note(name, "breaker openings", "", ours=_openings())
    bench.note(name, "attempts that failed", "", ours=_failures())
    return done / slow_s


def _openings() -> float:
    return counters.read(redis_at(settings.REDIS_URL)).get(("breaker_moves", "open"), 0.0)


def _failures() -> int:
    return sum(Job.objects.filter(failures__gt=0).values_list("failures", flat=True))
