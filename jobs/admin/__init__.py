"""The operators' pages. Each action is one call of jobs/service.py and a sentence about what it did."""

from jobs.admin import campaigns, control, cron, failures, job, people, schedule, trail

__all__ = ["campaigns", "control", "cron", "failures", "job", "people", "schedule", "trail"]
