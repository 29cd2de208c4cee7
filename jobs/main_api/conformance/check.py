"""One check of the main API."""

import os
import socket
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from jobs.errors import NotFound
from jobs.main_api.conformance.asker import Asker, SendRequest, Unreachable
from jobs.main_api.conformance.gather import Facts, gather
from jobs.main_api.conformance.points import judge
from jobs.main_api.conformance.report import CheckOutcome, Report, outcome_of, quote
from jobs.main_api.heard import Heard
from jobs.main_api.names import has_failed
from scheduler_project.logs import mask

WITHIN_S: Final = 60.0  #: after which nothing more is asked


def check(
    send: SendRequest,
    *,
    url: str,
    is_key: bool,
    by: str,
    effect_ids: Iterable[str] = (),
    heard: Heard | None = None,
    within_s: float = WITHIN_S,
) -> Report:
    """Check the main API behind `send`; `by` is the actor. Never raises for what the main API does."""
    asker = Asker(send, within_s=within_s)
    reason, facts = "", Facts(is_key=is_key)
    outcome = CheckOutcome.UNREACHABLE
    try:
        facts = gather(asker, is_key=is_key, effect_ids=effect_ids, heard=heard)
    except Unreachable as silent:
        reason = quote(silent)
    points, faults = [], []
    if not reason and not facts.are_campaigns_readable:
        outcome, reason = CheckOutcome.CANNOT_WORK, _why_unreadable(facts)
    elif not reason:
        points, faults = judge(facts), _faults(facts)
        outcome = outcome_of(points, broken=bool(faults or any(facts.violations.values())))
    return Report(
        checked_at=datetime.now(UTC).isoformat(timespec="seconds"),
        checked_by=by,
        process=f"pid {os.getpid()} on {socket.gethostname()}",
        url=mask(url),
        outcome=outcome,
        reason=reason,
        campaigns=len(facts.visible),
        operations=facts.violations,
        schema=quote(facts.why_no_schema),
        faults=faults,
        points=points,
        requests=asker.requests,
        seconds=round(asker.seconds, 3),
    )


def _why_unreadable(facts: Facts) -> str:
    why = facts.campaigns.why("campaigns") or "campaigns: the answer holds no list"
    hint = ". Check API_SERVICE_ACCOUNT_TOKEN" if facts.campaigns.is_refused else ""
    return quote(f"campaigns cannot be read: {why}") + hint


def _faults(facts: Facts) -> list[str]:
    """What is wrong with reads, beside the points."""
    failed = [
        asked.why(name)
        for name, asked in facts.reads.items()
        if asked.error and has_failed(asked.answer) and not asked.is_refused and asked.kind is not NotFound
    ]
    return [quote(fault) for fault in (*facts.unreadable, *failed)]
