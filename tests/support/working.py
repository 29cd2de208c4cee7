"""Jobs, and a worker in this process."""

from typing import Any

import django_rq
from django.conf import settings
from redis import Redis

from jobs import service
from jobs.engine.worker.worker import Worker
from jobs.models import AuditEntry, Job
from jobs.service import Submission


def work(redis: Redis, **options: Any) -> Worker:
    """Work in this process until the queues are empty."""
    worker = Worker([django_rq.get_queue(name) for name in settings.RQ_QUEUES], connection=redis)
    worker.work(burst=True, **options)
    return worker


def submit_one(campaign: str = "c-1", **more: Any) -> Job:
    """Submit one event expiration."""
    submission = Submission(type="EVENT_EXPIRATION", campaign_id=campaign, payload={}, **more)
    return service.submit(submission, actor="test")[0]


def submit(n: int, **changes: Any) -> list[Job]:
    """Submit event expirations with different subjects."""
    fields: dict[str, Any] = {"type": "EVENT_EXPIRATION", "campaign_id": "campaign-2", "payload": {}, **changes}
    submissions = [Submission(subject=str(i), **fields) for i in range(n)]
    return [job for job, _ in service.submit_many(submissions, actor="test")]


def claim_order(jobs: list[Job]) -> list[str]:
    """The jobs' IDs in the order of their claims."""
    entries = AuditEntry.objects.filter(now="RUNNING", job__in=jobs).order_by("id")
    return [str(job_id) for job_id in entries.values_list("job_id", flat=True)]


def submit_failing(n: int = 1) -> list[Job]:
    """Submit jobs of a campaign that does not exist: each becomes a dead letter."""
    payload = {"settlementId": "settlement-1-1-1", "growthType": "RESOURCE_GENERATION"}
    return submit(n, type="SETTLEMENT_GROWTH", campaign_id="no-such", payload=payload)
