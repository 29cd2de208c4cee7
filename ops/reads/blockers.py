"""What a job that is due still waits for: a worker, the breaker, its turn; said for the person who asks why."""

from datetime import datetime
from typing import Final

from django.utils import timezone
from redis import RedisError
from rq import Worker
from rq.suspension import is_suspended

from jobs.broker import keys
from jobs.broker.scripts import FAIR_SHARE
from jobs.main_api.client import main_api
from jobs.models import Job
from jobs.states import WAITING, Priority, State
from ops.humanize import naturaltime

MOST_COUNTED: Final = 1000  #: jobs ahead in the queue


def holds(job: Job, now: datetime) -> list[str]:
    """Sentences about what holds the job back beside its due time; none for one that has ended or runs."""
    state = State(job.state)
    try:
        if state is State.QUEUED:
            return [*_workers(), *_breaker(now), *_turn(job)]
        if state in WAITING:
            return _breaker(now)
    except RedisError as error:
        return [f"Redis does not answer ({error}): nothing is queued or claimed until it does."]
    return []


def _workers() -> list[str]:
    connection = keys.redis()
    if not Worker.count(connection=connection):
        return ["No worker is running: start one."]
    if is_suspended(connection):
        return ["All workers are suspended: manage.py rqresume lets them go on."]
    return []


def _breaker(now: datetime) -> list[str]:
    breaker = main_api().breaker.snapshot()
    if breaker.until is None:
        return []
    until = timezone.localtime(breaker.until)
    probe = f"until {until:%H:%M:%S %Z}" if until > now else "and its probe is under way"
    when = naturaltime(breaker.until, now)
    return [f"The circuit breaker to the main API is open {probe} ({when}): {breaker.last_error}."]


def _turn(job: Job) -> list[str]:
    """How many were queued before it. Campaigns take turns, so that it may run before many of them."""
    earlier = Job.objects.in_state(State.QUEUED).filter(moved_at__lt=job.moved_at)
    ahead = earlier.order_by("moved_at", "id").values_list("priority", flat=True)[: MOST_COUNTED + 1]
    higher = sum(priority > job.priority for priority in ahead)
    same = sum(priority == job.priority for priority in ahead)
    if not higher + same:
        return []
    more = "more than " if len(ahead) > MOST_COUNTED else ""
    queue = Priority(job.priority).queue
    jobs = "job" if same == 1 else "jobs"
    text = f"{more}{same:,} {jobs} of the queue {queue} came before it; campaigns take turns of {FAIR_SHARE}."
    urgent = "1 more urgent job goes first." if higher == 1 else f"{higher:,} more urgent jobs go first."
    return [text[0].upper() + text[1:]] + ([urgent] if higher else [])
