"""What RQ's own tools see of our jobs: started, finished and failed registries, executions and job status."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import structlog
from django.conf import settings
from django.utils import timezone
from redis import Redis, RedisError
from rq.job import Job as RQJob
from rq.job import JobStatus
from rq.registry import FailedJobRegistry, FinishedJobRegistry
from rq.results import Result
from rq.utils import utcformat

from jobs import pauses
from jobs.broker import aside, enqueue, keys
from jobs.broker.scripts import ASIDE, FAIR_SHARE, script
from jobs.ledger import Claimed
from jobs.ledger.moves import Ending
from jobs.models import Job
from jobs.states import FINAL, WAITING, State

log = structlog.get_logger(__name__)
_SHOWN: Final = (State.SUCCEEDED.value, State.SKIPPED.value, State.DEAD.value)  # by RQ's registries, when they ended
KEPT_SECONDS: Final = 24 * 3600  # in Redis; the database keeps them RETENTION_DAYS
LOCKED_SECONDS: Final = 1.0  #: until a job whose row was locked when it was to be claimed is queued again
_NO_JOB: Final = "it names a type of ours, and no job of ours has its id"
_PAUSES_UNKNOWN: Final = 2  # an answer of lua/fetch.lua


_News = tuple[list[str], list[tuple[str, str, str, float]], list[tuple[str, str, str, str, bool]]]
Batches = dict[str, tuple[int, bool]]  #: by type how many jobs make a group, and whether they must be of one campaign


class Batch(NamedTuple):
    """Ids that one thread is to be given, out of a queue which is the `rank`th in order of priority."""

    rank: int
    ids: list[str]


class RQMirror:
    """What one worker has to tell Redis, told with the next turn in one script."""

    def __init__(self, worker: str, queues: Sequence[str], connection: Redis) -> None:
        self.foreign_runs = False
        self.has_more = False  #: the last turn did not finish with what is paused
        self._worker = worker
        self._queues = list(queues)
        self._connection = connection
        self._claimed: list[str] = []
        self._started: list[tuple[str, str, str, float]] = []
        self._ended: list[tuple[str, str, str, str, bool]] = []
        self._dead: list[Ending] = []
        self._telling: _News = ([], [], [])
        self._answer: Callable[[], Any] | None = None

    @property
    def has_news(self) -> bool:
        """Whether there is something to tell."""
        return bool(self._claimed or self._started or self._ended or self._dead)

    def note_claimed(self, ids: Sequence[str]) -> None:
        """These are in the database's hands: Redis may forget that they were taken."""
        self._claimed += ids

    def note_started(self, jobs: Sequence[Claimed]) -> None:
        """These are running."""
        self._started += [(j.id, str(j.attempt), enqueue.queue_of(j), j.started_at.timestamp()) for j in jobs]

    def note_ended(self, ending: Ending, *, shown: bool) -> None:
        """This attempt has ended."""
        job, finished = ending.job, ending.to in FINAL
        status = JobStatus.FINISHED.value if finished else ""
        self._ended.append((str(job.id), str(job.attempt), enqueue.queue_of(job), status, shown))
        if ending.to is State.DEAD:
            self._dead.append(ending)

    def begin_fetch(self, now: datetime, *, slots: int, batches: Batches, ahead: bool = False) -> None:
        """Send what there is to tell, to take for `slots` groups; Redis works on it until `end_fetch` asks.

        With `ahead` nothing but types of `batches` is taken. Raises redis.RedisError.
        """
        if self._dead:
            show_dead(self._dead, self._connection)
            self._dead = []
        foreign_fits = slots > 0 and not ahead and not self.foreign_runs and aside.QUEUE in self._queues
        self._answer = script("fetch").begin(
            self._connection,
            now=now.timestamp(),
            stamp=f"{now.replace(tzinfo=None).isoformat(timespec='microseconds')}Z",  # as rq.utils.utcformat
            worker=self._worker,
            claimed=self._claimed,
            started=self._started,
            ended=self._ended,
            slots=slots,
            batches=batches,
            ahead=ahead,
            foreign=foreign_fits,
            queues=self._queues if slots else [],
            fair_share=FAIR_SHARE,
            keep=settings.RETENTION_COMPLETED,
            kept_s=KEPT_SECONDS,
            shown_s=int(settings.LEASE.total_seconds()) + 60,
            aside=ASIDE,
        )
        self._telling = (self._claimed, self._started, self._ended)
        self._claimed, self._started, self._ended = [], [], []

    def end_fetch(self) -> tuple[list[Batch], tuple[str, str] | None]:
        """The groups of our ids that were taken, and a stranger's id with its queue; nothing where no turn has begun.

        Raises redis.RedisError; then nothing was told and, as far as this process knows, nothing taken. Where Redis has
        forgotten what is paused nothing is taken; it is told, which may raise database errors too.
        """
        if self._answer is None:
            return [], None
        answer, self._answer = self._answer, None
        try:
            groups, rq_id, queue, again = answer()
        except RedisError:
            claimed, started, ended = self._telling
            self._claimed, self._started = claimed + self._claimed, started + self._started
            self._ended = ended + self._ended
            raise
        self.has_more = bool(again)
        if again == _PAUSES_UNKNOWN:
            pauses.publish(self._connection)
        foreign = (keys.texts([rq_id]) or [""])[0] if rq_id else ""
        if rq_id and not foreign:
            aside.move_aside([rq_id], "its id is no text", self._connection)
        self.foreign_runs = self.foreign_runs or bool(foreign)
        return self._ours(groups), (foreign, queue.decode()) if foreign else None

    def _ours(self, groups: list[Any]) -> list[Batch]:
        """What was taken, without ids that no row can have: somebody else has written them."""
        taken, unknown = [], []
        for rank, *ids in groups:
            known = [i for i in keys.texts(ids) if keys.uuid_of(i)]
            unknown += [i for i in ids if i.decode(errors="replace") not in known]
            if known:
                taken.append(Batch(rank, known))
        if unknown:
            self._connection.zrem(keys.TAKEN, *unknown)
            aside.move_aside(unknown, _NO_JOB, self._connection)
        return taken

    def sync(self, now: datetime) -> None:
        """Tell without taking anything. Raises redis.RedisError."""
        if self.has_news and self._answer is None:
            self.begin_fetch(now, slots=0, batches={})
            self.end_fetch()


def show_dead(endings: Sequence[Ending], connection: Redis) -> None:
    """Show dead letters as RQ's failed jobs, with their traceback. Raises redis.RedisError."""
    kept, now = KEPT_SECONDS * 30, timezone.now()
    with connection.pipeline(transaction=False) as pipeline:
        for ending in endings:
            rq_job = RQJob(str(ending.job.id), connection=connection)
            rq_job.origin = enqueue.queue_of(ending.job)
            pipeline.hset(rq_job.key, mapping={"status": JobStatus.FAILED.value, "ended_at": utcformat(now)})
            pipeline.expire(rq_job.key, kept)
            # Not registry.add(): that saves the whole job, of which we have but the id.
            key = FailedJobRegistry(rq_job.origin, connection=connection).key
            pipeline.zadd(key, {rq_job.id: now.timestamp() + kept})
            Result.create_failure(rq_job, kept, exc_string=ending.traceback or ending.error, pipeline=pipeline)
        pipeline.execute()


def restore(ids: Collection[str], connection: Redis) -> None:
    """Show jobs that Redis carried and the database does not want run as what they are.

    They were carried twice, or RQ's own requeue has put them back: what becomes of a job of ours the database decides.
    Raises redis.RedisError and database errors.
    """
    _restore([job for job in Job.objects.filter(id__in=ids) if job.state in _SHOWN], connection)


def resync(jobs: Sequence[Claimed | Job], connection: Redis) -> None:
    """Let Redis have jobs as the database does whose end was not taken from us: it had been recorded and the answer was
    lost with the connection, or the job had been given to another attempt.

    Raises redis.RedisError and database errors.
    """
    ids = [str(job.id) for job in jobs]
    forget_started(jobs, connection)
    restore(ids, connection)
    enqueue.enqueue([job for job in Job.objects.filter(id__in=ids) if job.state in WAITING])


def give_back(ids: Collection[str], connection: Redis) -> None:
    """Give back what was taken and could not be claimed: what has ended as `restore` does, and what is still to run,
    because somebody else had its row locked at that moment, to the timetable.

    Raises redis.RedisError and database errors.
    """
    jobs = list(Job.objects.filter(id__in=ids))
    unknown = set(ids) - {str(job.id) for job in jobs}
    if unknown:
        aside.move_aside(sorted(unknown), _NO_JOB, connection)
    _restore([job for job in jobs if job.state in _SHOWN], connection)
    locked = [str(job.id) for job in jobs if job.state == State.QUEUED]
    if locked:
        log.info("rq_mirror.row_locked", jobs=len(locked), again_in_s=LOCKED_SECONDS)
        again = timezone.now().timestamp() + LOCKED_SECONDS
        connection.zadd(keys.SCHEDULED, dict.fromkeys(locked, again))
        connection.publish(keys.WAKE, "1")


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
    """Take the attempts of a lost worker out of RQ's lists of what is running. Raises redis.RedisError."""
    with connection.pipeline(transaction=False) as pipeline:
        for job in jobs:
            composite = f"{job.id}:{job.attempt}"
            pipeline.zrem(f"rq:wip:{enqueue.queue_of(job)}", composite)
            pipeline.delete(f"rq:execution:{composite}", f"rq:executions:{job.id}")
        pipeline.execute()


def forget_gone(queue: str, connection: Redis) -> None:
    """Take attempts that no worker shows any more out of RQ's lists of what is running: theirs was killed when the
    database had heard of their end and Redis had not.

    Raises redis.RedisError and database errors.
    """
    key = f"rq:wip:{queue}"
    shown: Any = connection.zrangebyscore(key, "+inf", "+inf")  # ours; RQ's own are bounded by time
    for start in range(0, len(shown), 500):
        composites = keys.texts(shown[start : start + 500])
        with connection.pipeline(transaction=False) as pipeline:
            for composite in composites:
                pipeline.exists(f"rq:execution:{composite}")
            gone = [c for c, exists in zip(composites, pipeline.execute(), strict=True) if not exists]
        if gone:
            connection.zrem(key, *gone)
            restore({i for c in gone if keys.uuid_of(i := c.partition(":")[0])}, connection)


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
