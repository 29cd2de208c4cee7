"""The mirror of our jobs for RQ's own tools: started, finished and failed registries, executions and job status."""

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import structlog
from django.conf import settings
from django.utils import timezone
from redis import Redis, RedisError
from redis.exceptions import OutOfMemoryError
from rq.job import Job as RQJob
from rq.job import JobStatus
from rq.registry import FailedJobRegistry, FinishedJobRegistry
from rq.results import Result
from rq.utils import utcformat

from jobs import overrides, pauses
from jobs.broker import aside, enqueue, keys
from jobs.broker.scripts import FAIR_SHARE, MOST_PARKED, script
from jobs.ledger import Claimed, Ending
from jobs.models import Job
from jobs.registry import can_read, readable_versions
from jobs.states import FINAL, WAITING, State

log = structlog.get_logger(__name__)
_SHOWN: Final = (State.SUCCEEDED.value, State.SKIPPED.value, State.DEAD.value)  # in RQ's registries
KEPT_SECONDS: Final = 24 * 3600  # in Redis; the database keeps jobs for RETENTION_DAYS
LOCKED_SECONDS: Final = 1.0  #: until a job whose row was locked during the claim is enqueued again
_NO_JOB: Final = "it names a scheduler job that does not exist"
_PAUSES_UNKNOWN: Final = 2  # returned by lua/fetch.lua


_News = tuple[list[str], list[tuple[str, str, str, float]], list[tuple[str, str, str, str, bool]]]
GroupSizes = dict[str, tuple[int, bool]]  #: for each type, the jobs per group and whether they must share a campaign


class FetchedGroup(NamedTuple):
    """IDs for one thread, from the queue at position `rank` in order of priority."""

    rank: int
    ids: list[str]
    fetched_at: float  #: by time.monotonic


class RQMirror:
    """One worker's updates for Redis, sent together with its next fetch, in one script."""

    def __init__(self, worker: str, queues: Sequence[str], connection: Redis) -> None:
        self.foreign_runs = False
        self.running: Callable[[], Iterable[Claimed]] = tuple  #: the jobs in flight
        self.has_more = False  #: the last fetch stopped before it had passed all paused jobs
        self._worker = worker
        self._queues = list(queues)
        self._connection = connection
        self._claimed: list[str] = []
        self._started: list[tuple[str, str, str, float]] = []
        self._ended: list[tuple[str, str, str, str, bool]] = []
        self._dead: list[Ending] = []
        self._sent: _News = ([], [], [])
        self._answer: Callable[[], Any] | None = None

    @property
    def has_news(self) -> bool:
        return bool(self._claimed or self._started or self._ended or self._dead)

    def note_claimed(self, ids: Sequence[str]) -> None:
        """Note that the ledger has decided about these, so Redis may forget that they were fetched."""
        self._claimed += ids

    def note_started(self, jobs: Sequence[Claimed]) -> None:
        self._started += [(j.id, str(j.attempt), enqueue.queue_of(j), j.started_at.timestamp()) for j in jobs]

    def note_ended(self, ending: Ending, *, shown: bool) -> None:
        job, finished = ending.job, ending.to in FINAL
        status = JobStatus.FINISHED.value if finished else ""
        self._ended.append((str(job.id), str(job.attempt), enqueue.queue_of(job), status, shown))
        if ending.to is State.DEAD:
            self._dead.append(ending)

    def begin_fetch(self, now: datetime, *, slots: int, group_sizes: GroupSizes, ahead: bool = False) -> None:
        """Send all updates and ask for `slots` groups; Redis works until `end_fetch` reads the reply.

        With `ahead`, fetch only types in `group_sizes`. Raises redis.RedisError.
        """
        if self._dead:
            try:
                mirror_dead(self._dead, self._connection)
            except OutOfMemoryError as error:  # fetching makes room
                log.warning(
                    "rq_mirror.redis_full", jobs=len(self._dead), error=str(error), next="RQ does not list them"
                )
            self._dead = []
        foreign_fits = slots > 0 and not ahead and not self.foreign_runs and aside.QUEUE in self._queues
        self._answer = script("fetch").begin(
            self._connection,
            now=now.timestamp(),
            stamp=utcformat(now),
            worker=self._worker,
            claimed=self._claimed,
            started=self._started,
            ended=self._ended,
            slots=slots,
            group_sizes=group_sizes,
            ahead=ahead,
            foreign=foreign_fits,
            queues=self._queues if slots else [],
            fair_share=FAIR_SHARE,
            keep=settings.RETENTION_COMPLETED,
            kept_s=KEPT_SECONDS,
            shown_s=int(settings.LEASE.total_seconds()) + 60,
            most_parked=MOST_PARKED,
            reads=readable_versions(),
            limits=(limits := dict(overrides.concurrency())),
            held=self._find_held(limits) if limits else {},
            held_s=settings.LEASE.total_seconds() * 4 / 3,  # renewed later than the ledger's lease, by a fetch
        )
        self._sent = (self._claimed, self._started, self._ended)
        self._claimed, self._started, self._ended = [], [], []

    def _find_held(self, limits: Collection[str]) -> dict[str, list[str]]:
        """The running jobs of limited types, by type."""
        held: dict[str, list[str]] = {name: [] for name in limits}
        for job in self.running():
            if job.type in held:
                held[job.type].append(job.id)
        return held

    def end_fetch(self) -> tuple[list[FetchedGroup], tuple[str, str] | None]:
        """Return the fetched groups, and a plain RQ job's ID with its queue; nothing without a `begin_fetch`.

        Raises redis.RedisError; then the updates are kept and, as far as this process knows, nothing was fetched. If
        Redis has lost the pauses, nothing is fetched and they are published again, which may raise database errors.
        """
        if self._answer is None:
            return [], None
        answer, self._answer = self._answer, None
        try:
            groups, rq_id, queue, again = answer()
        except RedisError:
            claimed, started, ended = self._sent
            self._claimed, self._started = claimed + self._claimed, started + self._started
            self._ended = ended + self._ended
            raise
        self.has_more = bool(again)
        if again == _PAUSES_UNKNOWN:
            pauses.publish(self._connection)
        foreign = (keys.texts([rq_id]) or [""])[0] if rq_id else ""
        if rq_id and not foreign:
            aside.move_aside([rq_id], "its ID is not valid UTF-8", self._connection)
        self.foreign_runs = self.foreign_runs or bool(foreign)
        return self._ours(groups), (foreign, queue.decode()) if foreign else None

    def _ours(self, groups: list[Any]) -> list[FetchedGroup]:
        """The fetched groups without IDs that no row can have, which other code must have written."""
        ours, unknown = [], []
        for rank, *ids in groups:
            known = [i for i in keys.texts(ids) if keys.is_our_id(i)]
            if len(known) < len(ids):
                unknown += [i for i in ids if i.decode(errors="replace") not in known]
            if known:
                ours.append(FetchedGroup(rank, known, time.monotonic()))
        if unknown:
            self._connection.zrem(keys.TAKEN, *unknown)
            aside.move_aside(unknown, _NO_JOB, self._connection)
        return ours

    def sync(self, now: datetime) -> None:
        """Send all updates without fetching. Raises redis.RedisError."""
        if self.has_news and self._answer is None:
            self.begin_fetch(now, slots=0, group_sizes={})
            self.end_fetch()


def mirror_dead(endings: Sequence[Ending], connection: Redis) -> None:
    """List dead letters as failed RQ jobs, with their traceback. Raises redis.RedisError."""
    kept, now = KEPT_SECONDS * 30, timezone.now()
    with connection.pipeline(transaction=False) as pipeline:
        for ending in endings:
            rq_job = RQJob(str(ending.job.id), connection=connection)
            rq_job.origin = enqueue.queue_of(ending.job)
            pipeline.hset(rq_job.key, mapping={"status": JobStatus.FAILED.value, "ended_at": utcformat(now)})
            pipeline.expire(rq_job.key, kept)
            # Not registry.add(): it saves the whole job, and we only have the ID.
            key = FailedJobRegistry(rq_job.origin, connection=connection).key
            pipeline.zadd(key, {rq_job.id: now.timestamp() + kept})
            Result.create_failure(rq_job, kept, exc_string=ending.traceback or ending.error, pipeline=pipeline)
        pipeline.execute()


def restore(ids: Collection[str], connection: Redis) -> None:
    """Restore RQ's view of jobs that were in a queue although they have ended.

    They were enqueued twice, or requeued with RQ's own tools; only the database decides whether a job runs.
    Raises redis.RedisError and database errors.
    """
    _restore([job for job in Job.objects.filter(id__in=ids) if job.state in _SHOWN], connection)


def resync(jobs: Sequence[Claimed | Job], connection: Redis) -> None:
    """Resync RQ's view of jobs whose end we could not record.

    Either it was recorded before and the acknowledgement lost with the connection, or another attempt has the job.
    Raises redis.RedisError and database errors.
    """
    ids = [str(job.id) for job in jobs]
    forget_started(jobs, connection)
    restore(ids, connection)
    enqueue.enqueue(list(Job.objects.filter(id__in=ids)))  # of those, what waits or was handed back


def give_back(ids: Collection[str], connection: Redis) -> None:
    """Return fetched jobs that could not be claimed.

    Ended jobs are restored as `restore` does. Of those still QUEUED, jobs for a newer release go back to their queue,
    where lua/fetch.lua sets them aside; the others, whose rows were locked during the claim, are scheduled again. So
    are waiting jobs: an ID that was queued twice is fetched again after its job has ended and is to be retried.
    Raises redis.RedisError and database errors.
    """
    jobs = list(Job.objects.filter(id__in=ids))
    unknown = set(ids) - {str(job.id) for job in jobs}
    if unknown:
        aside.move_aside(sorted(unknown), _NO_JOB, connection)
    _restore([job for job in jobs if job.state in _SHOWN], connection)
    enqueue.enqueue([job for job in jobs if job.state in WAITING])
    queued = [job for job in jobs if job.state == State.QUEUED]
    if newer := [job for job in queued if not can_read(job.type, job.payload_version)]:
        log.info("rq_mirror.newer_release_awaited", jobs=len(newer), job_types=sorted({job.type for job in newer}))
        enqueue.enqueue(newer)  # with their versions
    locked = [str(job.id) for job in queued if can_read(job.type, job.payload_version)]
    if locked:
        log.info("rq_mirror.row_locked", jobs=len(locked), again_in_s=LOCKED_SECONDS)
        again = timezone.now().timestamp() + LOCKED_SECONDS
        connection.zadd(keys.SCHEDULED, dict.fromkeys(locked, again))
        connection.publish(keys.WAKE, "1")


def put_back(ids: Collection[str], connection: Redis) -> None:
    """Return fetched jobs that no thread is free for to their queues. Raises redis.RedisError and database errors."""
    queued = Job.objects.in_state(State.QUEUED).filter(id__in=ids)
    if put := enqueue.enqueue(list(queued)):
        log.info("rq_mirror.put_back", jobs=put)
    connection.zrem(keys.TAKEN, *ids)


def _restore(rows: Collection[Job], connection: Redis) -> None:
    with connection.pipeline(transaction=False) as pipeline:
        for job in rows:
            log.info("rq_mirror.job_already_ended", job_id=str(job.id), job_type=job.type, state=job.state)
            dead = job.state == State.DEAD
            status = JobStatus.FAILED if dead else JobStatus.FINISHED
            kept = KEPT_SECONDS * (30 if dead else 1)
            pipeline.hset(RQJob.key_for(str(job.id)), "status", status.value)
            pipeline.expire(RQJob.key_for(str(job.id)), kept)
            if dead:
                key = FailedJobRegistry(enqueue.queue_of(job), connection=connection).key
                pipeline.zadd(key, {str(job.id): timezone.now().timestamp() + kept})
        pipeline.execute()


def forget_started(jobs: Sequence[Claimed | Job], connection: Redis) -> None:
    """Remove a lost worker's attempts from RQ's started registries. Raises redis.RedisError."""
    with connection.pipeline(transaction=False) as pipeline:
        for job in jobs:
            composite = f"{job.id}:{job.attempt}"
            pipeline.zrem(f"rq:wip:{enqueue.queue_of(job)}", composite)
            pipeline.delete(f"rq:execution:{composite}", f"rq:executions:{job.id}")
        pipeline.execute()


def forget_gone(queue: str, connection: Redis) -> None:
    """Remove attempts without an execution from RQ's started registry.

    Their worker was killed after the database had recorded their end and before Redis had. Raises redis.RedisError
    and database errors.
    """
    key = f"rq:wip:{queue}"
    shown: Any = connection.zrangebyscore(key, "+inf", "+inf")  # ours; plain RQ jobs have a finite score
    for start in range(0, len(shown), 500):
        composites = keys.texts(shown[start : start + 500])
        with connection.pipeline(transaction=False) as pipeline:
            for composite in composites:
                pipeline.exists(f"rq:execution:{composite}")
            gone = [c for c, exists in zip(composites, pipeline.execute(), strict=True) if not exists]
        if gone:
            connection.zrem(key, *gone)
            restore({i for c in gone if keys.is_our_id(i := c.partition(":")[0])}, connection)


def trim(queue: str, connection: Redis) -> None:
    """Keep the last RETENTION_COMPLETED finished and RETENTION_FAILED failed jobs of a queue in Redis."""
    for registry, keep in (
        (FinishedJobRegistry(queue, connection=connection), settings.RETENTION_COMPLETED),
        (FailedJobRegistry(queue, connection=connection), settings.RETENTION_FAILED),
    ):
        surplus = connection.zrange(registry.key, 0, -keep - 1)
        for start in range(0, len(surplus), 500):
            ids = keys.texts(surplus[start : start + 500])
            connection.zrem(registry.key, *ids)
            connection.delete(*(RQJob.key_for(i) for i in ids), *(Result.get_key(i) for i in ids))
