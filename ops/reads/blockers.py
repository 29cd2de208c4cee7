"""Why a job that is due does not run: no worker, an open breaker, or jobs ahead of it."""

from datetime import datetime
from typing import Final

from django.utils import timezone
from redis import RedisError
from rq import Worker
from rq.suspension import is_suspended

from jobs.broker import depths, keys
from jobs.broker.scripts import FAIR_SHARE
from jobs.main_api.client import main_api
from jobs.models import Job
from jobs.registry import can_read
from jobs.states import WAITING, Priority, State
from ops.humanize import format_count, format_jobs, naturaltime

MOST_COUNTED: Final = 1000  #: jobs ahead in the queue


def find_blockers(job: Job, now: datetime) -> list[str]:
    """A sentence for each thing but its due time that blocks the job; none if it runs or has ended."""
    state = State(job.state)
    try:
        if state is State.QUEUED:
            return [*_find_missing_workers(), *_find_newer_release(job), *_find_breaker(now), *_find_jobs_ahead(job)]
        if state in WAITING:
            return _find_breaker(now)
    except RedisError as error:
        return [f"Redis does not answer ({error}): nothing is queued or claimed until it does."]
    return []


def _find_missing_workers() -> list[str]:
    connection = keys.redis()
    if not Worker.count(connection=connection):
        return ["No worker is running: start one."]
    if is_suspended(connection):
        return ["All workers are suspended: manage.py rqresume lets them go on."]
    return []


def _find_newer_release(job: Job) -> list[str]:
    if can_read(job.type, job.payload_version) and not depths.awaits_newer_release(job, keys.redis()):
        return []
    what = f"version {job.payload_version} of {job.type}'s payload"
    return [f"It waits for a worker of a newer release: the workers that met it cannot read {what}."]


def _find_breaker(now: datetime) -> list[str]:
    breaker = main_api().breaker.snapshot()
    if breaker.until is None:
        return []
    until = timezone.localtime(breaker.until)
    probe = f"until {until:%H:%M:%S %Z}" if until > now else "and its probe is under way"
    when = naturaltime(breaker.until, now)
    return [f"The circuit breaker to the main API is open {probe} ({when}): {breaker.last_error}."]


def _find_jobs_ahead(job: Job) -> list[str]:
    """Those queued before it. Campaigns share workers fairly, so it may still run before many of them."""
    earlier = Job.objects.in_state(State.QUEUED).filter(moved_at__lt=job.moved_at)
    ahead = earlier.order_by("moved_at", "id").values_list("priority", flat=True)[: MOST_COUNTED + 1]
    higher = sum(priority > job.priority for priority in ahead)
    same = sum(priority == job.priority for priority in ahead)
    if not higher + same:
        return []
    more = "more than " if len(ahead) > MOST_COUNTED else ""
    queue = Priority(job.priority).queue
    text = f"{more}{format_jobs(same)} of the queue {queue} came before it; campaigns take turns of {FAIR_SHARE}."
    urgent = "1 more urgent job goes first." if higher == 1 else f"{format_count(higher)} more urgent jobs go first."
    return [text[0].upper() + text[1:]] + ([urgent] if higher else [])
