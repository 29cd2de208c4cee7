"""A job's moves, as its page shows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext

from jobs.models import AuditEntry, Job
from jobs.stops import AT_WORLD_TIME
from ops.humanize import duration
from ops.reads import attempts
from ops.reads.changes import read_changes
from ops.reads.job_actions import describe
from ops.reads.reasons import typed_reason


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineMove:
    """One move, and how long the job stayed in the state that it led to."""

    entry: AuditEntry
    stayed: str
    error: str
    did: str
    """What the operator did, if that is known; empty for what the reason says."""
    reason: str
    changes: dict[str, tuple[Any, Any]]
    attempt: int | None
    """The number of its attempt; None if it belongs to none."""


def read_timeline(trail: Sequence[AuditEntry], now: datetime) -> list[TimelineMove]:
    """Latest first; the entries with their actions."""
    numbers, ends = attempts.number_claims(trail), [entry.at for entry in trail[1:]] + [now]
    return [
        TimelineMove(
            entry=entry,
            stayed=duration(end - entry.at),
            error=attempts.error_of(entry),
            did=_describe(entry),
            reason=typed_reason(entry.actor, entry.reason),
            changes=read_changes(entry),
            attempt=numbers.get(entry.attempt),
        )
        for entry, end in zip(trail, ends, strict=True)
    ][::-1]


def _describe(entry: AuditEntry) -> str:
    if entry.action:
        return describe(entry.action)
    return "" if entry.was or typed_reason(entry.actor, entry.reason) else gettext("submitted")


def find_first_due(job: Job) -> datetime | None:
    """The due time with which it was submitted, if that is known and another by now."""
    first = job.first_due_at
    return first if first and first not in (job.due_at, AT_WORLD_TIME) else None
