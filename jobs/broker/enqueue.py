"""Put job ids into Redis: into their queue, or into the scheduler's sorted set by due time.

Enqueueing a job twice is harmless, because a claim is a compare-and-set in the database. After a Redis outage the
sweep finds the QUEUED jobs that could not be enqueued, and the rescuer the others once they are overdue.
"""

import os
import zlib
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache, partial
from typing import Any, Final

import structlog
from django.conf import settings
from django.utils import timezone
from redis import ConnectionError as ConnectionLost
from redis import Redis, RedisError
from rq.job import Job as RQJob
from rq.serializers import JSONSerializer

from jobs.broker import keys
from jobs.broker.rq_guard import PERFORM
from jobs.broker.scripts import FAIR_SHARE, Script, script
from jobs.ledger import Claimed, Enqueued
from jobs.ledger.recording import after_commit
from jobs.models import Job
from jobs.states import WAITING, Priority, State

log = structlog.get_logger(__name__)
MARGIN: Final = timedelta(seconds=30)  # submitters look a little further ahead than the stager, so no job is missed
BATCH: Final = 500  # jobs per script call: it blocks Redis for a few milliseconds
RECOUNTED: Final = 20_000  # ids of a list: it blocks Redis for about ten milliseconds
#: Clients with a connection each that no thread uses at the moment: as many as have enqueued at once.
_kept: Final[list[Redis]] = []
os.register_at_fork(after_in_child=_kept.clear)
_QUEUES: Final = {priority.value: priority.queue for priority in Priority}

AnyJob = Job | Claimed | Enqueued


def queue_of(job: AnyJob) -> str:
    """The name of the queue that carries the job."""
    return _QUEUES[job.priority]


def enqueue(jobs: Sequence[AnyJob]) -> int:
    """Put due jobs into their queues and those due within the horizon into the sorted set. Returns how many.

    Raises redis.RedisError.
    """
    now = timezone.now()
    queued = [_row(job) for job in jobs if job.state == State.QUEUED]
    waiting: list[tuple[Any, ...]] = []
    if len(queued) < len(jobs):
        horizon = now + settings.FEED_HORIZON + MARGIN
        waiting = [
            (*_row(job), job.due_at.timestamp())
            for job in jobs
            if job.state in WAITING and job.due_at is not None and job.due_at <= horizon
        ]
    for start in range(0, max(len(queued), len(waiting)), BATCH):
        _run(
            script("enqueue"),
            queued=queued[start : start + BATCH],
            waiting=waiting[start : start + BATCH],
            blob=_data(),
            timeout=int(settings.JOB_TIMEOUT.total_seconds()),
            stamp=f"{now.isoformat(timespec='microseconds')[:-6]}Z",  # as rq.utils.utcformat, whose strftime is slow
            fair_share=FAIR_SHARE,
        )
    return len(queued) + len(waiting)


def _run(wanted: Script, **given: Any) -> None:
    """Run a script that may run twice, on a kept connection: one of the pool's costs twice as much."""
    try:
        client = _kept.pop()
    except IndexError:
        client = keys.own_redis()
    try:
        wanted.begin(client, **given)()
    except ConnectionLost:  # the server may have closed it long ago; now it connects again
        wanted.begin(client, **given)()
    _kept.append(client)  # not after an error: an answer may still come


def dequeue(jobs: Sequence[AnyJob]) -> None:
    """Remove jobs from Redis. Raises redis.RedisError."""
    for start in range(0, len(jobs), BATCH):
        rows = [(str(job.id), queue_of(job), job.campaign_id) for job in jobs[start : start + BATCH]]
        script("dequeue").run(keys.redis(), jobs=rows)


def recount(queue: str) -> None:
    """Recount the campaigns' shares of a queue. Raises redis.RedisError."""
    script("recount").run(keys.redis(), queue=queue, fair_share=FAIR_SHARE, most=RECOUNTED)


def enqueue_after_commit(jobs: Sequence[AnyJob]) -> None:
    """Enqueue after the commit. After a Redis outage the scheduler does it: see the module's docstring."""
    after_commit(partial(enqueue_committed, list(jobs)))


def enqueue_committed(jobs: list[AnyJob]) -> None:
    """Enqueue at once. After a Redis outage the scheduler does it: see the module's docstring."""
    _quietly(enqueue, jobs, next_step="the scheduler enqueues them when Redis answers")


def dequeue_after_commit(jobs: Sequence[AnyJob]) -> None:
    """Dequeue after the commit; during a Redis outage the claim of the job fails."""
    after_commit(partial(_quietly, dequeue, list(jobs), next_step="no worker can claim them"))


def _quietly(verb: Callable[[Sequence[AnyJob]], object], jobs: list[AnyJob], *, next_step: str) -> None:
    try:
        verb(jobs)
    except RedisError as error:
        log.warning("enqueue.redis_unreachable", jobs=len(jobs), error=str(error), next=next_step)


def _row(job: AnyJob) -> tuple[str, str, str, str, str, int, int, int]:
    description = f"{job.type} {job.campaign_id} {job.subject}".strip()
    numbers = job.payload_version, job.attempt, job.failures
    return (str(job.id), queue_of(job), job.campaign_id, job.type, description, *numbers)


@cache
def _data() -> bytes:
    """The function that RQ's own worker would call: the same for every job, which reads its id from RQ's context."""
    return zlib.compress(RQJob.create(PERFORM, connection=keys.redis(), serializer=JSONSerializer).data)
