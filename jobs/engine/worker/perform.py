"""The function that RQ's job hashes name, so that any RQ worker can run scheduler jobs, one at a time."""

from django.conf import settings
from django.utils import timezone
from rq import get_current_job

from jobs import actor as actors
from jobs import pauses
from jobs.broker import enqueue
from jobs.engine.worker import attempt
from jobs.ledger import moves
from jobs.models import Job
from jobs.policies import time_limit_of
from jobs.registry import can_read


def perform() -> str:
    """Claim, run and record RQ's current job. Returns its new state, or why it was left alone."""
    current = get_current_job()
    if current is None:
        raise RuntimeError("perform() runs as a job of RQ only")
    job = Job.objects.filter(pk=current.id).first()
    paused_by = pauses.blocking_pauses(job, pauses.active()) if job else []
    if paused_by:  # RQ's entry expires after a while; then the sweep enqueues the job again
        return f"left alone: {pauses.as_sentence(paused_by[0])}"
    if job and not can_read(job.type, job.payload_version):
        return "left alone: it waits for a worker of a newer release"
    worker = "rq-perform"
    claimed = attempt.claim([current.id], worker=worker, now=timezone.now())
    if not claimed:
        return "left alone: not queued"
    # RQ's workers do not renew leases, and enforce time limits themselves.
    until = timezone.now() + time_limit_of(claimed[0].type) + settings.LEASE
    moves.renew_leases([current.id], worker=worker, until=until)
    moved = attempt.record(attempt.run_handler(claimed), actor=actors.worker(worker), worker=worker)
    enqueue.enqueue_after_commit(moved)
    return moved[0].state if moved else "left alone: claimed by another attempt"
