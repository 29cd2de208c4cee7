"""Put job ids into Redis: into their queue, or into the scheduler's sorted set by due time.

Enqueueing a job twice is harmless, because a claim is a compare-and-set in the database. After a Redis outage the
sweep finds the QUEUED jobs that could not be enqueued, and the rescuer the others once they are overdue.
"""

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any, Final

import structlog
from django.conf import settings
from django.utils import timezone
from redis import ConnectionError as ConnectionLost
from redis import Redis, RedisError
from redis.exceptions import NoScriptError
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
_ENQUEUED_LATER: Final = "the scheduler enqueues them when Redis answers"
_QUEUES: Final = {priority.value: priority.queue for priority in Priority}

AnyJob = Job | Claimed | Enqueued


def queue_of(job: AnyJob) -> str:
    """The name of the queue that carries the job."""
    return _QUEUES[job.priority]


def enqueue(jobs: Sequence[AnyJob]) -> int:
    """Put due jobs into their queues and those due within the horizon into the sorted set. Returns how many.

    Raises redis.RedisError.
    """
    return _begin(jobs)()


def _begin(jobs: Sequence[AnyJob]) -> Callable[[], int]:
    """Send jobs to Redis and return a function that does the rest of `enqueue`. Both raise redis.RedisError."""
    now = timezone.now()
    queued = [job for job in jobs if job.state == State.QUEUED]
    waiting: list[tuple[AnyJob, datetime]] = []
    if len(queued) < len(jobs):
        horizon = now + settings.FEED_HORIZON + MARGIN
        waiting = [
            (job, job.due_at)
            for job in jobs
            if job.state in WAITING and job.due_at is not None and job.due_at <= horizon
        ]
    count = len(queued) + len(waiting)
    finish = _begin_calls(script("enqueue"), _calls(queued, waiting, now)) if count else None

    def answer() -> int:
        if finish:
            finish()
        return count

    return answer


def _calls(
    queued: Sequence[AnyJob], waiting: Sequence[tuple[AnyJob, datetime]], now: datetime
) -> Iterator[dict[str, Any]]:
    """What the script is given, for BATCH jobs of each kind at a time."""
    for start in range(0, max(len(queued), len(waiting)), BATCH):
        yield {
            "queued": [_row(job) for job in queued[start : start + BATCH]],
            "waiting": [(*_row(job), due_at.timestamp()) for job, due_at in waiting[start : start + BATCH]],
            "blob": _data(),
            "timeout": int(settings.JOB_TIMEOUT.total_seconds()),
            "stamp": f"{now.isoformat(timespec='microseconds')[:-6]}Z",  # as rq.utils.utcformat, whose strftime is slow
            "fair_share": FAIR_SHARE,
        }


def _begin_calls(wanted: Script, calls: Iterator[dict[str, Any]]) -> Callable[[], None]:
    """Begin calls that may run twice, on a kept connection: one of the pool's costs twice as much.

    While Redis works on one, the next one is made and sent. The function returned waits until all have run.
    """
    try:
        client = _kept.pop()
    except IndexError:
        client = keys.own_redis()
    raw: Any = client.connection
    sent: list[dict[str, Any]] = []
    is_lost = False
    try:
        for given in calls:
            sent.append(given)
            wanted.send(client, **given)
    except ConnectionLost:  # the server may have closed it long ago
        is_lost = True
        sent.extend(calls)

    def finish() -> None:
        again = is_lost
        try:
            for _ in () if is_lost else sent:
                raw.read_response()
        except (ConnectionLost, NoScriptError):  # it may have been restarted
            again = True
        if again:
            raw.disconnect()  # more answers may come; now it connects again
            for given in sent:
                wanted.begin(client, **given)()
        _kept.append(client)  # not after an error: an answer may still come

    return finish


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


def enqueue_committed(jobs: Sequence[AnyJob]) -> None:
    """Enqueue at once. After a Redis outage the scheduler does it: see the module's docstring."""
    begin_committed(jobs)()


def begin_committed(jobs: Sequence[AnyJob]) -> Callable[[], object]:
    """Send jobs to Redis at once; the function returned waits until they are there, as `enqueue_committed`."""
    try:
        finish = _begin(jobs)
    except RedisError as error:
        return partial(_warn, jobs, error, _ENQUEUED_LATER)
    return partial(_quietly, finish, jobs, _ENQUEUED_LATER)


def dequeue_after_commit(jobs: Sequence[AnyJob]) -> None:
    """Dequeue after the commit; during a Redis outage the claim of the job fails."""
    left = list(jobs)
    after_commit(partial(_quietly, partial(dequeue, left), left, "no worker can claim them"))


def _quietly(act: Callable[[], object], jobs: Sequence[AnyJob], next_step: str) -> None:
    try:
        act()
    except RedisError as error:
        _warn(jobs, error, next_step)


def _warn(jobs: Sequence[AnyJob], error: RedisError, next_step: str) -> None:
    log.warning("enqueue.redis_unreachable", jobs=len(jobs), error=str(error), next=next_step)


def _row(job: AnyJob) -> tuple[str, str, str, str, str, int, int, int]:
    description = f"{job.type} {job.campaign_id} {job.subject}".strip()
    numbers = job.payload_version, job.attempt, job.failures
    return (str(job.id), queue_of(job), job.campaign_id, job.type, description, *numbers)


@cache
def _data() -> bytes:
    """The function that RQ's own worker would call: the same for every job, which reads its id from RQ's context."""
    return zlib.compress(RQJob.create(PERFORM, connection=keys.redis(), serializer=JSONSerializer).data)
