"""Put job ids into Redis: into their queue, or into the scheduler's sorted set by due time.

Enqueueing a job twice is harmless, because a claim is a compare-and-set in the database. After a Redis outage the
sweep finds the QUEUED jobs that could not be enqueued, and the rescuer the others once they are overdue.
"""

import math
import os
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any, Final

import structlog
from django.conf import settings
from django.utils import timezone
from redis import ConnectionError as ConnectionLost
from redis import RedisError
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
RECENT_S: Final = 1.0  #: a moment ago Redis was there, and knew the script
_ENQUEUED_LATER: Final = "the scheduler enqueues them when Redis answers"
_QUEUES: Final = {priority.value: priority.queue for priority in Priority}

AnyJob = Job | Claimed | Enqueued


class _Client:
    """A connection of its own, for one thread at a time: one of the pool costs twice as much."""

    __slots__ = ("answered_at", "raw", "redis")

    def __init__(self) -> None:
        self.redis = keys.own_redis()
        self.raw: Any = self.redis.connection
        self.answered_at = -math.inf  #: by time.monotonic()

    def is_good(self) -> bool:
        """Whether it answered a moment ago and has not been closed since. Call it while no answer is to come."""
        return time.monotonic() < self.answered_at + RECENT_S and self.raw.is_quiet()


#: Those that no thread uses at the moment: as many as have enqueued at once.
_kept: Final[list[_Client]] = []
#: What reads an answer that nobody has waited for, and keeps its client again: see `send_committed`.
unread: Final = deque[Callable[[], object]]()
os.register_at_fork(after_in_child=_kept.clear)
os.register_at_fork(after_in_child=unread.clear)


def queue_of(job: AnyJob) -> str:
    """The name of the queue that carries the job."""
    return _QUEUES[job.priority]


def enqueue(jobs: Sequence[AnyJob]) -> int:
    """Put due jobs into their queues and those due within the horizon into the sorted set. Returns how many.

    Raises redis.RedisError.
    """
    return _begin(jobs)[0]()


def _begin(jobs: Sequence[AnyJob]) -> tuple[Callable[[], int], bool]:
    """Send jobs to Redis; return a function that does the rest of `enqueue`, and whether they are expected to arrive.

    Both raise redis.RedisError.
    """
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
    if not count:
        return int, False  # which returns 0; nothing is sent, so nobody shall read its answer later
    finish, is_good = _begin_calls(script("enqueue"), _calls(queued, waiting, now))

    def answer() -> int:
        finish()
        return count

    return answer, is_good


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


def _begin_calls(wanted: Script, calls: Iterator[dict[str, Any]]) -> tuple[Callable[[], None], bool]:
    """Begin calls that may run twice; return a function that waits until they have run, and whether to expect it.

    While Redis works on one, the next one is made and sent.
    """
    client = _take_client()
    is_good = client.is_good()
    sent: list[dict[str, Any]] = []
    is_lost = False
    try:
        client.raw.check_health()
        for given in calls:
            sent.append(given)
            wanted.send(client.redis, **given)
    except ConnectionLost:  # the server may have closed it long ago
        is_lost = True
        sent.extend(calls)

    def finish() -> None:
        again = is_lost
        try:
            for _ in () if is_lost else sent:
                client.raw.read_response()
        except (ConnectionLost, NoScriptError):  # it may have been restarted
            again = True
        if again:
            client.raw.disconnect()  # more answers may come; now it connects again
            for given in sent:
                wanted.begin(client.redis, **given)()
        client.answered_at = time.monotonic()
        _kept.append(client)  # not after an error: an answer may still come

    return finish, is_good


def _take_client() -> _Client:
    """A client with no answer left to read."""
    read: Callable[[], object] | None = None
    with suppress(IndexError):
        read = unread.popleft()
    if read:
        read()
    try:
        return _kept.pop()
    except IndexError:
        return _Client()


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
        finish, _ = _begin(jobs)
    except RedisError as error:
        return partial(_warn, jobs, error, _ENQUEUED_LATER)
    return partial(_quietly, finish, jobs, _ENQUEUED_LATER)


def dequeue_after_commit(jobs: Sequence[AnyJob]) -> None:
    """Dequeue after the commit; during a Redis outage the claim of the job fails."""
    left = list(jobs)
    after_commit(partial(_quietly, partial(dequeue, left), left, "no worker can claim them"))


def send_committed(jobs: Sequence[AnyJob]) -> None:
    """Enqueue at once, without waiting for the answer on a connection that answered a moment ago.

    The next call that enqueues in this process reads the answer, and enqueues these jobs again if they were lost. Until
    then the sweep finds them. Only for a few jobs: they must reach Redis before whatever is sent to it later.
    """
    try:
        finish, is_good = _begin(jobs)
    except RedisError as error:
        _warn(jobs, error, _ENQUEUED_LATER)
        return
    read = partial(_quietly, finish, jobs, _ENQUEUED_LATER)
    if is_good:
        unread.append(read)
    else:
        read()


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
