"""A job's state in the database."""

from jobs.models import Job


def state_of(job: Job) -> str:
    """The job's state in the database."""
    return str(Job.objects.values_list("state", flat=True).get(pk=job.pk))


def last_of(job: Job) -> tuple[str, str]:
    """State and actor of the job's last audit entry."""
    entry = job.audit_trail.order_by("id").last()
    assert entry is not None
    return entry.now, entry.actor
