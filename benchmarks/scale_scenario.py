"""Scenario of several workers beside each other: what each of them adds, and what a job costs then."""

from benchmarks.bench import Bench

WORKERS = (1, 2, 4, 8)
CONCURRENCY = 5
LATENCY_MS = 20
JOBS = 2000  #: for each worker
WARM_UP = 500  #: for each worker: they do not start at the same moment


def scale_out(bench: Bench) -> None:
    """Drain jobs with one query each by 1, 2, 4 and 8 workers."""
    from benchmarks.job_types import CALL  # declares the types

    bench.control("POST", "faults", {"latencyMs": LATENCY_MS})
    for workers in WORKERS:
        bench.ours.clear()
        drained = bench.ours.drain(
            workers * bench.sized(JOBS),
            CALL,
            {"settlementId": "settlement-1-1-1"},
            concurrency=CONCURRENCY,
            warm_up=workers * WARM_UP,
            workers=workers,
        )
        name = f"scale-out, {workers} worker{'s' if workers > 1 else ''}"
        bench.note(name, "rate", "jobs/s", ours=drained.rate)
        bench.note_cost(name, "ours", drained)
    bench.control("DELETE", "faults")
