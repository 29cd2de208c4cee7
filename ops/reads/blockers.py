"""Why a job that is due does not run: a pause, no worker, an open breaker, or jobs ahead of it.

A campaign's page (campaign.py) words the same causes with the same functions.
"""

from datetime import datetime
from typing import Final

from django.utils import timezone
from django.utils.text import capfirst
from redis import RedisError
from rq import Worker
from rq.suspension import is_suspended

from jobs import pauses
from jobs.broker import depths, keys
from jobs.broker.scripts import FAIR_SHARE
from jobs.main_api.client import main_api
from jobs.models import Job, Pause, PauseKind
from jobs.registry import can_read
from jobs.states import WAITING, Priority, State
from ops.humanize import format_count, format_jobs, naturaltime

MOST_COUNTED: Final = 1000  #: jobs ahead in the queue
NO_WORKER: Final = "No worker is running: start manage.py rqworker."
SUSPENDED: Final = "All workers are suspended: manage.py rqresume resumes them."


def find_blockers(job: Job, now: datetime) -> list[str]:
    """A sentence for each thing but its due time that blocks the job; none if it runs or has ended."""
    state = State(job.state)
    try:
        if state is State.QUEUED:
            return [*_find_missing_workers(), *_find_newer_release(job), *_find_breaker(now), *_find_jobs_ahead(job)]
        if state in WAITING:
            return _find_breaker(now)
    except RedisError as error:
        return [explain_redis(error)]
    return []


def explain_redis(error: RedisError) -> str:
    return f"Redis does not answer ({type(error).__name__}): nothing is queued or claimed until it does."


def explain_pause(pause: Pause, campaign: str) -> str:
    """A sentence on a pause; `campaign` is its campaign's name, if known."""
    return f"{capfirst(pauses.as_sentence(pause, campaign if pause.kind == PauseKind.CAMPAIGN else ''))}."


def explain_breaker(now: datetime) -> str:
    """Why the breaker blocks jobs; empty if it does not. Raises redis.RedisError."""
    breaker = main_api().breaker.snapshot()
    if breaker.state == "closed":
        return ""
    if breaker.until is None:
        when = ""
    elif breaker.until > now:
        when = f" until {timezone.localtime(breaker.until):%H:%M:%S %Z} ({naturaltime(breaker.until, now)})"
    else:
        when = " and its probe is under way"
    cause = f": {breaker.last_error}" if breaker.last_error else ""
    return f"The circuit breaker to the main API is {breaker.state}{when}{cause}."


def _find_missing_workers() -> list[str]:
    connection = keys.redis()
    if not Worker.count(connection=connection):
        return [NO_WORKER]
    if is_suspended(connection):
        return [SUSPENDED]
    return []


def _find_newer_release(job: Job) -> list[str]:
    if can_read(job.type, job.payload_version) and not depths.awaits_newer_release(job, keys.redis()):
        return []
    what = f"version {job.payload_version} of {job.type}'s payload"
    return [f"It waits for a worker of a newer release: the workers that met it cannot read {what}."]


def _find_breaker(now: datetime) -> list[str]:
    explained = explain_breaker(now)
    return [explained] if explained else []


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
