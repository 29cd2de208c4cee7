"""Jobs that are done in slices, in this process."""

from collections.abc import Callable
from typing import Any

from django.utils import timezone

from jobs import service
from jobs.engine.worker import attempt
from jobs.errors import OutcomeUnknown
from jobs.ledger import Claimed
from jobs.models import Job
from jobs.service import Submission
from tests.support.servers import SandboxApi

Sized = Callable[..., SandboxApi]  #: by how many there are of what


def submit(kind: str, campaign_id: str = "campaign-1") -> Job:
    """A job as cron, listener and people submit it."""
    return service.submit(Submission(type=kind, campaign_id=campaign_id, payload={}), actor="test")[0]


def claim_oldest(**which: Any) -> list[Claimed]:
    """The oldest job that is there to be done, claimed; whatever it waits for is over."""
    waiting = Job.objects.filter(state__in=["QUEUED", "SCHEDULED", "RETRYING"], **which).order_by("id")[:1]
    ids = list(waiting.values_list("id", flat=True))
    Job.objects.filter(id__in=ids).update(state="QUEUED")
    return attempt.claim([str(i) for i in ids], worker="w", now=timezone.now())


def work_off(**which: Any) -> int:
    """Do the jobs one after the other, and what follows from them; how many attempts that took."""
    attempts = 0
    while jobs := claim_oldest(**which):
        attempt.record(attempt.run_handler(jobs), actor="worker:w", worker="w")
        attempts += 1
    return attempts


def lose(job: Claimed) -> None:
    """The worker was killed: its attempt is one of unknown outcome, as the scheduler finds it."""
    ended = attempt.ending_of(job, OutcomeUnknown("worker w was lost"), 1.0, now=timezone.now())
    attempt.record([ended], actor="scheduler", worker="w")
