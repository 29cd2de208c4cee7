"""Receivers of job_moved: they log each move and feed the histograms."""

import logging
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import structlog

from jobs import claims, counters
from jobs.states import ENDED, State
from jobs.waits import wait_in
from monitoring.metrics import ATTEMPTS

if TYPE_CHECKING:
    from jobs.ledger.recording import Moved

log = structlog.get_logger("jobs")


def log_moves(moves: "list[Moved]", **_: Any) -> None:
    """Log one line per move, at a level that says whether it needs attention."""
    logged = {state for state in {m.now for m in moves} if log.is_enabled_for(_LEVELS[state])}
    for m in moves if logged else ():
        if m.now not in logged:
            continue
        values = {
            "job_id": m.job_id,
            "job_type": m.job_type,
            "campaign_id": m.campaign_id,
            "was": m.was or "new",
            "now": m.now,
            "attempt": m.attempt,
            "actor": m.actor,
            "reason": m.reason,
        }
        if m.duration_ms is not None:
            values["duration_ms"] = round(m.duration_ms, 1)
        if m.request_id:
            values["request_id"] = m.request_id
        log.log(_LEVELS[m.now], "job.moved", **values)


def count_ends(moves: "list[Moved]", **_: Any) -> None:
    """Observe run times, and the attempts of finished jobs. A wait is no run, and neither is what was handed back."""
    ended = [m for m in moves if m.was == State.RUNNING]
    if not ended:
        return
    ran, attempts = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    for m in ended:
        if wait_in(m.error) or claims.is_handed_back(m.now, m.error):
            continue
        if m.duration_ms is not None:
            ran[m.job_type].append(m.duration_ms / 1000)
        if m.now in ENDED:
            attempts[m.job_type].append(m.attempts)
    for job_type, seconds in ran.items():
        counters.observe_many("job_run_seconds", seconds, job_type)
    for job_type, numbers in attempts.items():
        counters.observe_many("job_attempts", numbers, job_type, bounds=ATTEMPTS)


def _level(state: str) -> int:
    if state == State.DEAD:
        return logging.ERROR
    if state == State.RETRYING:
        return logging.WARNING
    return logging.INFO if state in ENDED else logging.DEBUG


_LEVELS: Final = {state.value: _level(state) for state in State}
