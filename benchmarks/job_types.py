"""Job types for benchmarks. Only benchmarks import them, in functions: the import declares them in the process."""

import time
from typing import Any

from jobs.errors import JobError, PermanentError
from jobs.registry import NoPayload, Payload, job_type
from jobs.run import Run

NOOP = "BENCHMARK_NOOP"
CALL = "BENCHMARK_CALL"
LAG = "BENCHMARK_LAG"


class OneCall(Payload, frozen=True, kw_only=True):
    settlement_id: str


@job_type(NOOP, payload=NoPayload)
def do_nothing(payload: NoPayload, run: Run) -> None:
    """Do nothing, so that only the engine's cost is measured."""


@job_type(CALL, payload=OneCall)
def call_once(payload: OneCall, run: Run) -> dict[str, Any]:
    """Send one query to the main API."""
    settlement = run.api.settlements([payload.settlement_id])[payload.settlement_id]
    if isinstance(settlement, JobError):
        raise settlement
    if settlement is None:
        raise PermanentError(f"the main API does not know {payload.settlement_id}")
    return {"version": settlement.version}


@job_type(LAG, payload=NoPayload)
def say_when(payload: NoPayload, run: Run) -> dict[str, Any]:
    """Return when the handler's first line ran, in seconds since 1970."""
    return {"began": time.time()}
