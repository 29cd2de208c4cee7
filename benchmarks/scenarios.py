"""The scenarios, one function each: it runs both sides once and notes the figures."""

import time
from collections.abc import Callable, Iterable

from benchmarks.bench import Bench
from benchmarks.campaign_scenarios import many_campaigns
from benchmarks.drained import BenchmarkFailed, Drained, Submitted
from benchmarks.figures import percentile
from benchmarks.gate_scenarios import api_slowed, gate_cost
from benchmarks.retention_scenario import retention, retention_lag
from benchmarks.scale_scenario import scale_out
from benchmarks.scrape_scenario import scrape
from benchmarks.spent import Spent
from benchmarks.world import redis_at
from benchmarks.world_scenarios import expiration, operations, simulation, world_advance, world_year

WARM_UP = 500
LAG_OVER_S = 20.0  #: the period over which firing-lag spreads its due times
BUSY_OVER_S = 6.0  #: the same for firing-lag-busy


def submit(bench: Bench) -> None:
    """Submit jobs one at a time, and in calls of 1,000."""
    _submit(bench, "submit-one", bench.sized(1000), clients=1)
    _submit(bench, "submit-many", bench.sized(10_000), clients=0)


def submit_eight(bench: Bench) -> None:
    """Submit jobs one a call, eight calls at a time."""
    _submit(bench, "submit-eight", bench.sized(8000), clients=8)


def _submit(bench: Bench, name: str, count: int, *, clients: int) -> None:
    from benchmarks.job_types import NOOP  # declares the types

    bench.ours.clear()
    with bench.servers.measured() as spent:
        took = bench.ours.submit(count, NOOP, {}, clients=clients)
    _note_submitted(bench, name, "ours", count, took, spent)
    if bench.peer:
        bench.peer.clear()
        bench.peer.submit(1, {"kind": "noop"})  # makes the tables or loads the scripts
        with bench.servers.measured() as spent:
            took = bench.peer.submit(count, {"kind": "noop"}, clients=clients)
        _note_submitted(bench, name, "peer", count, took, spent)


def _note_submitted(bench: Bench, name: str, side: str, count: int, took: Submitted, spent: Spent) -> None:
    bench.note(name, "rate", "jobs/s", **{side: count / took.seconds})
    bench.note(name, "client CPU", "s/1,000 jobs", **{side: took.cpu_s / count * 1000})
    for figure, unit, value in spent.figures(count):
        bench.note(name, figure, unit, **{side: value})


def drain_noop(bench: Bench) -> None:
    """Drain jobs that do nothing."""
    for concurrency in (5, 50):
        _drain_noop(bench, f"drain-noop, concurrency {concurrency}", concurrency)


def _drain_noop(bench: Bench, name: str, concurrency: int) -> None:
    from benchmarks.job_types import NOOP  # declares the types

    count = max(2000, bench.sized(10_000))  # fewer would all end in one cycle, at the same moment
    bench.ours.clear()
    _note(bench, name, ours=bench.ours.drain(count, NOOP, {}, concurrency=concurrency, warm_up=WARM_UP))
    if bench.peer:
        if not bench.peer.waiting:
            bench.peer.clear()
        _note(bench, name, peer=bench.peer.drain(count, {"kind": "noop"}, concurrency=concurrency, warm_up=WARM_UP))


def drain_call(bench: Bench) -> None:
    """Drain jobs with one main API query each, at several latencies."""
    from benchmarks.job_types import CALL  # declares the types

    settlement = "settlement-1-1-1"
    for latency_ms in (0, 5, 20):
        bench.control("POST", "faults", {"latencyMs": latency_ms})
        for concurrency in (5, 50):
            name = f"drain-call, {latency_ms} ms, concurrency {concurrency}"
            count = bench.sized(2000)
            bench.ours.clear()
            payload = {"settlementId": settlement}
            _note(bench, name, ours=bench.ours.drain(count, CALL, payload, concurrency=concurrency, warm_up=WARM_UP))
            if bench.peer:
                bench.peer.clear()
                data = {"kind": "call", "id": settlement}
                _note(bench, name, peer=bench.peer.drain(count, data, concurrency=concurrency, warm_up=WARM_UP))
    bench.control("DELETE", "faults")


def lag(bench: Bench) -> None:
    """Measure the start delay of 50 due jobs a second, with 0, 100,000 and 1,000,000 jobs waiting."""
    for waiting in _waiting_counts(bench):
        _lag(bench, f"firing-lag, {waiting:,} waiting", waiting, per_second=50, over_s=LAG_OVER_S)


def lag_busy(bench: Bench) -> None:
    """Measure the start delay of 1,000 due jobs a second, with 0 and 1,000,000 jobs waiting."""
    for waiting in (0, bench.sized(1_000_000)):
        _lag(bench, f"firing-lag-busy, {waiting:,} waiting", waiting, per_second=1000, over_s=BUSY_OVER_S)


def _lag(bench: Bench, name: str, waiting: int, *, per_second: int, over_s: float) -> None:
    """Spread due times evenly over a period, which a smaller benchmark shortens to 3 seconds at least."""
    _fill(bench, waiting)
    over_s = max(3.0, over_s * bench.scale)
    count = round(per_second * over_s)
    bench.ours.clear()
    _note_lags(bench, name, ours=bench.ours.lags(_due(count, over_s), concurrency=5, warm_up=WARM_UP))
    if bench.peer:
        _note_lags(bench, name, peer=bench.peer.lags(_due(count, over_s), concurrency=5, warm_up=WARM_UP))


def drain_waiting(bench: Bench) -> None:
    """Drain jobs that do nothing, with none and with 1,000,000 jobs waiting."""
    for waiting in (0, bench.sized(1_000_000)):
        _fill(bench, waiting)
        _drain_noop(bench, f"drain-waiting, {waiting:,} waiting", 5)


def cold_start(bench: Bench) -> None:
    """Start scheduler and worker with an empty Redis, 1,000 due jobs, and none or 1,000,000 waiting."""
    for waiting in (0, bench.sized(1_000_000)):
        bench.ours.clear()
        bench.ours.fill(waiting)
        first, last = bench.ours.cold_start(bench.sized(1000))
        bench.note(f"cold-start, {waiting:,} waiting", "first due job done", "s", ours=first)
        bench.note(f"cold-start, {waiting:,} waiting", "all due jobs done", "s", ours=last)


def memory(bench: Bench) -> None:
    """Measure the Redis memory of waiting jobs on an otherwise empty server."""
    for waiting in _waiting_counts(bench)[1:]:
        name = f"memory, {waiting:,} waiting"
        bench.ours.clear()
        if bench.peer:
            bench.peer.clear()
        bench.ours.fill(0)
        before = _redis_mb(bench)
        bench.note(name, "fill", "s", ours=bench.ours.fill(waiting))
        bench.note(name, "Redis", "MB", ours=_with_scheduler(bench) - before)
        if bench.peer:
            bench.ours.clear()
            before = _redis_mb(bench)
            bench.note(name, "fill", "s", peer=bench.peer.fill(waiting))
            bench.note(name, "Redis", "MB", peer=_redis_mb(bench) - before)


def _with_scheduler(bench: Bench) -> float:
    """Return Redis's memory after a scheduler had two rounds to fill it."""
    with bench.ours.process("rqscheduler", concurrency=5) as scheduler:
        time.sleep(8)
        if scheduler.poll() is not None:
            raise BenchmarkFailed(f"the scheduler exited ({scheduler.returncode})")
        return _redis_mb(bench)


def _redis_mb(bench: Bench) -> float:
    return float(redis_at(bench.our_redis).info("memory")["used_memory"]) / 1e6


def _waiting_counts(bench: Bench) -> tuple[int, int, int]:
    return 0, bench.sized(100_000), bench.sized(1_000_000)


def _fill(bench: Bench, waiting: int) -> None:
    bench.ours.fill(waiting)
    if bench.peer:
        bench.peer.fill(waiting)


def _due(count: int, over_s: float) -> list[float]:
    begin = round(time.time()) + 4.0  # by then both sides have accepted the jobs
    return [round(begin + over_s * n / count, 3) for n in range(count)]


def _note(bench: Bench, name: str, *, ours: Drained | None = None, peer: Drained | None = None) -> None:
    for side, drained in (("ours", ours), ("peer", peer)):
        if drained is not None:
            bench.note(name, "rate", "jobs/s", **{side: drained.rate})
            bench.note_cost(name, side, drained)
            bench.note(name, "worker RSS", "MB", **{side: drained.rss_mb})


def _note_lags(bench: Bench, name: str, *, ours: Iterable[float] = (), peer: Iterable[float] = ()) -> None:
    for side, lags in (("ours", list(ours)), ("peer", list(peer))):
        if lags:
            for percent in (50, 99):
                bench.note(name, f"p{percent}", "ms", **{side: percentile(lags, percent) * 1000})


SCENARIOS: dict[str, Callable[[Bench], None]] = {
    "submit": submit,
    "submit-eight": submit_eight,
    "drain-noop": drain_noop,
    "drain-call": drain_call,
    "firing-lag": lag,
    "firing-lag-busy": lag_busy,
    "drain-waiting": drain_waiting,
    "cold-start": cold_start,
    "memory": memory,
    "retention": retention,
    "retention-lag": retention_lag,
    "world-advance": world_advance,
    "world-year": world_year,
    "simulation": simulation,
    "event-expiration": expiration,
    "many-campaigns": many_campaigns,
    "scale-out": scale_out,
    "operations": operations,
    "scrape": scrape,
    "gate-cost": gate_cost,
    "api-slowed": api_slowed,
}
