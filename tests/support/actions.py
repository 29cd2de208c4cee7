"""Operators' actions on jobs, as a browser confirms them."""

from datetime import timedelta

from django.test import Client
from django.utils import timezone

from jobs import service
from jobs.models import Job
from jobs.service import Submission
from tests.support.people import JOBS

TRAIL = "/admin/jobs/auditentry/"


def confirm(client: Client, verb: str, jobs: list[Job], **more: str) -> str:
    """Confirm an action on jobs; the page that follows."""
    form = {"action": verb, "_selected_action": [str(job.pk) for job in jobs], "confirmed": "1", **more}
    return str(client.post(JOBS, form, follow=True).content.decode())


def effects(count: int) -> list[Job]:
    at = timezone.now() + timedelta(hours=1)
    payloads = [{"effectId": f"e-{n}", "executeAt": at.isoformat()} for n in range(count)]
    wanted = [Submission(type="DEFERRED_EFFECT", campaign_id="c-1", payload=payload) for payload in payloads]
    return [job for job, _ in service.submit_many(wanted, actor="test")]
