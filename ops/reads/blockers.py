"""Why a job that is due does not run: a pause, no worker, an open breaker, the main API's limits, or jobs ahead of it.

A campaign's page (campaign.py) words the same causes with the same functions.
"""

import time
from datetime import datetime
from typing import Final

from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext, gettext_lazy, ngettext
from redis import RedisError
from rq import Worker
from rq.suspension import is_suspended

from jobs import pauses
from jobs.broker import depths, keys, overrides
from jobs.main_api import traffic
from jobs.main_api.client import main_api
from jobs.main_api.limits import Limits
from jobs.main_api.traffic import Traffic
from jobs.models import Job, Pause, PauseKind
from jobs.overrides import NONE
from jobs.registry import can_read
from jobs.states import WAITING, State
from ops.humanize import format_count, naturaltime
from ops.reads.backlog import Backlog
from ops.reads.status import describe_breaker

NO_WORKER: Final = gettext_lazy("No worker is running: start manage.py rqworker.")
SUSPENDED: Final = gettext_lazy("All workers are suspended: manage.py rqresume resumes them.")


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
    text = gettext("Redis does not answer (%(error)s): nothing is queued or claimed until it does.")
    return text % {"error": type(error).__name__}


def explain_pause(pause: Pause, campaign: str) -> str:
    """A sentence on a pause; `campaign` is its campaign's name, if known."""
    return f"{capfirst(pauses.as_sentence(pause, campaign if pause.kind == PauseKind.CAMPAIGN else ''))}."


def explain_breaker(now: datetime) -> str:
    """Why the breaker blocks jobs; empty if it does not. Raises redis.RedisError."""
    breaker = main_api().breaker.snapshot()
    if breaker.state == "closed":
        return ""
    said = {"state": describe_breaker(breaker.state)}
    if breaker.until is None:
        text = gettext("The circuit breaker to the main API is %(state)s")
    elif breaker.until > now:
        said["until"] = f"{timezone.localtime(breaker.until):%H:%M:%S %Z} ({naturaltime(breaker.until, now)})"
        text = gettext("The circuit breaker to the main API is %(state)s until %(until)s")
    else:
        text = gettext("The circuit breaker to the main API is %(state)s and its probe is under way")
    return f"{text % said}: {breaker.last_error}." if breaker.last_error else f"{text % said}."


def find_next_call() -> datetime | None:
    """When an open breaker lets the next call to the main API through; None if it is closed or forced."""
    return main_api().breaker.snapshot().until


def explain_traffic(found: Traffic, campaign_id: str) -> list[str]:
    """How the main API's limits, and its own state, hold back requests of all processes."""
    says = []
    if found.waits:
        says.append(_explain_limit(found, found.waiting.get(campaign_id, 0)))
    if found.closed_s:
        text = gettext("The main API has asked to send nothing for %(duration)s (HTTP 429).")
        says.append(text % {"duration": f"{found.closed_s:.0f} s"})
    if found.halved:
        says.append(_explain_halved(found))
    return says


def _explain_limit(found: Traffic, own: int) -> str:
    """Which limit is reached; `own` requests of the campaign wait for it."""
    text = ngettext(
        "The main API's limit is reached (%(limits)s): %(count)s request waits, %(own)s of this campaign.",
        "The main API's limit is reached (%(limits)s): %(count)s requests wait, %(own)s of this campaign.",
        found.waits,
    )
    said = {"limits": describe_limits(found.limits), "count": format_count(found.waits), "own": format_count(own)}
    return text % said


def _explain_halved(found: Traffic) -> str:
    now, causes = time.time(), {one.cause for one in found.halved}
    refuses, slow = bool(causes & {"413", "429"}), "latency" in causes
    if refuses and slow:
        text = gettext(
            "The main API answers slowly and refuses requests, so fewer are in flight: %(sizes)s. "
            "One more is let in each second."
        )
    elif refuses:
        text = gettext(
            "The main API refuses requests, so fewer are in flight: %(sizes)s. One more is let in each second."
        )
    elif slow:
        text = gettext(
            "The main API answers slowly, so fewer requests are in flight: %(sizes)s. One more is let in each second."
        )
    else:
        text = gettext(
            "The main API is busy, so fewer requests are in flight: %(sizes)s. One more is let in each second."
        )
    size = gettext("%(now)s of %(most)s")
    return text % {"sizes": ", ".join(size % {"now": one.now(now), "most": one.most} for one in found.halved)}


def describe_limits(limits: Limits) -> str:
    """The main API's limits in words.

    >>> describe_limits(Limits(10, 1)), describe_limits(Limits())
    ('10 requests in flight, 1 request per second', 'no limit')
    """
    parts = []
    if limits.in_flight:
        text = ngettext("%(count)s request in flight", "%(count)s requests in flight", limits.in_flight)
        parts.append(text % {"count": format_count(limits.in_flight)})
    if limits.per_second:
        text = ngettext("%(count)s request per second", "%(count)s requests per second", limits.per_second)
        parts.append(text % {"count": format_count(limits.per_second)})
    return ", ".join(parts) or gettext("no limit")


def _find_traffic(job: Job) -> list[str]:
    return explain_traffic(traffic.read(keys.redis()), job.campaign_id)


def _find_place(job: Job) -> list[str]:
    """Where the running job's request waits for a permit; nothing if it does not."""
    place = traffic.place_of(str(job.pk), job.campaign_id, keys.redis())
    if place is None:
        return []
    said = {
        "limits": describe_limits(traffic.read(keys.redis()).limits),
        "count": format_count(place),
        "campaign": job.campaign_id,
    }
    if job.campaign_id:
        text = ngettext(
            "Waiting for the main API's limit: %(limits)s; %(count)s request of campaign %(campaign)s before it.",
            "Waiting for the main API's limit: %(limits)s; %(count)s requests of campaign %(campaign)s before it.",
            place,
        )
    else:
        text = ngettext(
            "Waiting for the main API's limit: %(limits)s; %(count)s request before it.",
            "Waiting for the main API's limit: %(limits)s; %(count)s requests before it.",
            place,
        )
    return [text % said]


def _find_missing_workers() -> list[str]:
    connection = keys.redis()
    if not Worker.count(connection=connection):
        return [str(NO_WORKER)]
    if is_suspended(connection):
        return [str(SUSPENDED)]
    return []


def _find_newer_release(job: Job) -> list[str]:
    if can_read(job.type, job.payload_version) and not depths.awaits_newer_release(job, keys.redis()):
        return []
    text = gettext(
        "It waits for a worker of a newer release: current workers cannot read version %(version)s of the payload of "
        "%(type)s."
    )
    return [text % {"version": job.payload_version, "type": job.type}]


def _find_type_limit(job: Job) -> list[str]:
    """Nothing unless as many jobs of the type run as an operator lets run at a time."""
    limit = (overrides.read(keys.redis()) or {}).get(job.type, NONE).concurrency
    if limit is None or keys.redis().zcount(keys.RUNNING.format(job.type), time.time(), "+inf") < limit:
        return []
    text = ngettext(
        "%(count)s job of its type is running, the limit set on the type's page.",
        "%(count)s jobs of its type are running, the limit set on the type's page.",
        limit,
    )
    return [text % {"count": format_count(limit)}]


def _find_breaker(now: datetime) -> list[str]:
    explained = explain_breaker(now)
    return [explained] if explained else []


def _find_jobs_ahead(job: Job, now: datetime) -> list[str]:
    """Those queued before it. Campaigns share workers fairly, so it may still run before many of them."""
    return Backlog(keys.redis(), now).find_place(job).explain()
