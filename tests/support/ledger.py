"""Jobs' rows in the database."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.utils import timezone

from jobs.models import Job
from jobs.states import State
from tests.support.rows import insert


def state_of(job: Job) -> str:
    """The job's state in the database."""
    return str(Job.objects.values_list("state", flat=True).get(pk=job.pk))


def last_of(job: Job) -> tuple[str, str]:
    """State and actor of the job's last audit entry."""
    entry = job.audit_trail.order_by("id").last()
    assert entry is not None
    return entry.now, entry.actor


def last_reason(job: Job) -> str:
    """The reason of the job's last audit entry."""
    entry = job.audit_trail.order_by("id").last()
    assert entry is not None
    return entry.reason


def make_rows(state: State, number: int, *, over: timedelta = timedelta(0)) -> None:
    """Insert jobs in this state, in any number, past the ledger: for counting them. They are due evenly from now on."""
    now = timezone.now()
    lease: dict[str, Any] = {"lease_until": now + timedelta(hours=1)} if state is State.RUNNING else {}
    same = {"type": "EVENT_EXPIRATION", "campaign_id": "c", "state": state.value, **lease}
    insert(Job, ({**same, "due_at": now + over * n / number, "unique_key": uuid4().hex} for n in range(number)))
