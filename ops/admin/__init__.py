"""The operators' pages. Each action is one call of jobs/service.py and a sentence about what it did."""

from ops.admin import audit_trail, campaigns, cron, failures, job, pauses, schedule, users

__all__ = ["audit_trail", "campaigns", "cron", "failures", "job", "pauses", "schedule", "users"]
