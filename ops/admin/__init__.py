"""The operators' pages. Each action calls jobs/service.py once and reports the result in a sentence."""

from ops.admin import (
    audit_trail,
    campaigns,
    cron,
    event_policies,
    event_questions,
    failures,
    job,
    logins,
    pauses,
    schedule,
    users,
    world_clocks,
)

__all__ = [
    "audit_trail",
    "campaigns",
    "cron",
    "event_policies",
    "event_questions",
    "failures",
    "job",
    "logins",
    "pauses",
    "schedule",
    "users",
    "world_clocks",
]
