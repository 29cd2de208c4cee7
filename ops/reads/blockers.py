"""Why a job that is due does not run: a pause, no worker, an open breaker, the main API's limits, or jobs ahead of it.

A campaign's page (campaign.py) words the same causes with the same functions.
"""

import time
from datetime import datetime
from typing import Final

from django.utils import timezone
from django.utils.text import capfirst
from redis import RedisError
from rq import Worker
from rq.suspension import is_suspended

from jobs import pauses
from jobs.broker import depths, keys, overrides
from jobs.main_api import traffic
from jobs.main_api.client import main_api
from jobs.main_api.traffic import Traffic
from jobs.models import Job, Pause, PauseKind
from jobs.overrides import NONE
from jobs.registry import can_read
from jobs.states import WAITING, State
from ops.humanize import format_count, format_jobs, naturaltime
from ops.reads.backlog import Backlog

NO_WORKER: Final = "No worker is running: start manage.py rqworker."
SUSPENDED: Final = "All workers are suspended: manage.py rqresume resumes them."


def find_blockers(job: Job, now: datetime) -> list[str]:
    """A sentence for each thing but its due time that blocks the job; none if it has ended."""
    state = State(job.state)
    try:
        if state is State.QUEUED:
            own = [*_find_missing_workers(), *_find_newer_release(job), *_find_type_limit(job)]
            return [*own, *_find_breaker(now), *_find_traffic(job), *_find_jobs_ahead(job, now)]
        if state in WAITING:
            return [*_find_breaker(now), *_find_traffic(job)]
        if state is State.RUNNING:
            return _find_place(job) or _find_traffic(job)
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


def explain_traffic(found: Traffic, campaign_id: str) -> list[str]:
    """How the main API's limits, and its own state, hold back requests of all processes."""
    says = []
    if found.waits:
        own = found.waiting.get(campaign_id, 0)
        of_it = f", {format_count(own)} of them of this campaign" if own else ""
        says.append(f"The main API's limit is reached ({found.limits}): {format_requests(found.waits)} wait{of_it}.")
    if found.closed_s:
        says.append(f"The main API has asked to send nothing for {found.closed_s:.0f} s (HTTP 429).")
    if found.halved:
        now = time.time()
        causes = {"latency": "answers slowly"} | dict.fromkeys(("413", "429"), "refuses requests")
        why = " and ".join(sorted({causes.get(one.cause, "is busy") for one in found.halved}))
        sizes = ", ".join(f"{one.now(now)} of {one.most}" for one in found.halved)
        says.append(f"The main API {why}, so fewer requests are in flight: {sizes}. One more a second is let in.")
    return says


def format_requests(count: int) -> str:
    """A number of requests.

    >>> format_requests(1), format_requests(1_234)
    ('1 request', '1,234 requests')
    """
    return f"{format_count(count)} request{'' if count == 1 else 's'}"


def _find_traffic(job: Job) -> list[str]:
    return explain_traffic(traffic.read(keys.redis()), job.campaign_id)


def _find_place(job: Job) -> list[str]:
    """Where the running job's request waits for a permit; nothing if it does not."""
    place = traffic.place_of(str(job.pk), job.campaign_id, keys.redis())
    if place is None:
        return []
    limits = traffic.read(keys.redis()).limits
    of = f"of campaign {job.campaign_id} " if job.campaign_id else ""
    return [f"Waiting for the main API's limit: {limits}; {format_requests(place)} {of}before it."]


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


def _find_type_limit(job: Job) -> list[str]:
    """Nothing unless as many jobs of the type run as an operator lets run at a time."""
    limit = (overrides.read(keys.redis()) or {}).get(job.type, NONE).concurrency
    if limit is None or keys.redis().zcount(keys.RUNNING.format(job.type), time.time(), "+inf") < limit:
        return []
    return [f"{format_jobs(limit)} of its type run, as many as may at a time. The type's page has the limit."]


def _find_breaker(now: datetime) -> list[str]:
    explained = explain_breaker(now)
    return [explained] if explained else []


def _find_jobs_ahead(job: Job, now: datetime) -> list[str]:
    """Those queued before it. Campaigns share workers fairly, so it may still run before many of them."""
    return Backlog(keys.redis(), now).find_place(job).explain()
