"""Counts what the client and its gate do, for the metrics (jobs/counters.py)."""

from typing import Final

from jobs import counters
from jobs.main_api.calls import ApiCall
from jobs.main_api.errors import ERROR_OF_CODE
from jobs.main_api.gate import Waited

_RESULTS: Final = frozenset({"ok", "error", "fault", "refused", "INTERNAL_SERVER_ERROR", *ERROR_OF_CODE})


def count_call(call: ApiCall) -> None:
    result = call.result if call.result in _RESULTS else "other"  # extension codes are the main API's to choose
    counters.add("api_requests", call.operation, result)
    counters.observe("api_request_seconds", call.seconds, call.operation)


def count_wait(wait: Waited) -> None:
    result = "sent" if wait.got_in else "given_up"
    counters.add("api_waits", result)
    counters.add("api_waited_seconds", result, by=wait.seconds)


def count_halving(cause: str) -> None:
    counters.add("api_halvings", cause)


def count_breaker_move(_was: str, now: str) -> None:
    counters.add("breaker_moves", now)
