"""rq-scheduler's API on its own keys, with exact times: fractions of a second are kept, and everything is UTC.

Stock rq-scheduler cuts a time to its second, so that a job runs up to a second early, counts cron expressions in the
machine's zone, answers with naive times, and loses a repeated job that it is killed over. A job of ours is a row of the
database: to cancel or move it here is to cancel or reschedule it there.
"""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import crontab
from django.conf import settings
from django.utils import timezone
from django_rq.queues import DjangoScheduler, get_queue
from rq.exceptions import DeserializationError, NoSuchJobError
from rq.job import Job as RQJob

from jobs import actor as actors
from jobs import service
from jobs.broker import keys, rq_guard
from jobs.broker.aside import QUEUE, move_aside
from jobs.models import Job

_VIA_API = "through rq-scheduler's API"


class RQScheduler(DjangoScheduler):
    """What rq-scheduler's users call."""

    def enqueue_at(self, scheduled_time: datetime, func: Any, *args: Any, **kwargs: Any) -> Any:
        """Run a function at a time (naive: UTC); see rq_scheduler for the options. Raises redis.RedisError."""
        job = super().enqueue_at(_next_second(scheduled_time), func, *args, **kwargs)  # never early, then exact
        return self._exactly(job, scheduled_time)

    def enqueue_in(self, time_delta: timedelta, func: Any, *args: Any, **kwargs: Any) -> Any:
        """Run a function after a while. Raises redis.RedisError."""
        return self.enqueue_at(timezone.now() + time_delta, func, *args, **kwargs)

    def schedule(self, scheduled_time: datetime, func: Any, *args: Any, **kwargs: Any) -> Any:
        """Run a function at a time, again and again where there is an interval. Raises redis.RedisError."""
        job = super().schedule(_next_second(scheduled_time), func, *args, **kwargs)
        return self._exactly(job, scheduled_time)

    def cron(self, cron_string: str, func: Any, *args: Any, **kwargs: Any) -> Any:
        """Run a function whenever the expression matches, in UTC unless `use_local_timezone` is set.

        Raises redis.RedisError.
        """
        job = super().cron(cron_string, func, *args, **kwargs)
        return self._exactly(job, _next_match(cron_string, local=bool(job.meta.get("use_local_timezone"))))

    def enqueue_job(self, job: Any) -> None:
        """Put a due job into its queue and, where it is repeated, back into the timetable.

        One command each, the queue first: killed between them it runs twice, and is never lost.
        """
        if _names_ours(job):  # and its row is gone
            self.connection.zrem(self.scheduled_jobs_key, job.id)
            self.connection.delete(job.key)
            return
        if refusal := rq_guard.refusal(job):
            self.connection.zrem(self.scheduled_jobs_key, job.id)
            move_aside([job.id], refusal, self.connection)
            return
        repeat = job.meta.get("repeat")
        if repeat:
            job.meta["repeat"] = int(repeat) - 1
        self.get_queue_for_job(job).enqueue_job(job, at_front=bool(job.enqueue_at_front))
        next_time = _after(job) if repeat is None or job.meta["repeat"] > 0 else None
        if next_time is None:
            self.connection.zrem(self.scheduled_jobs_key, job.id)
        else:
            self.connection.zadd(self.scheduled_jobs_key, {job.id: next_time.timestamp()})

    def get_queue_for_job(self, job: Any) -> Any:
        """One of our queues: a job hash may name any queue, and a class of queues to import."""
        return get_queue(job.origin if job.origin in settings.RQ_QUEUES else QUEUE, connection=self.connection)

    def cancel(self, job: Any) -> None:
        """Take a job out; one of ours is cancelled. Raises redis.RedisError."""
        mine = _row(job)
        if mine is None:
            super().cancel(job)
        else:
            service.cancel([mine], actor=actors.COMMAND, reason=f"cancelled {_VIA_API}")

    def change_execution_time(self, job: Any, date_time: datetime) -> None:
        """Move a job to another time; one of ours is rescheduled.

        Raises ValueError when it does not wait, InvalidJob when the time is beyond our limits, and redis.RedisError.
        """
        mine = _row(job)
        if mine is not None:
            report = service.reschedule(
                [mine], due_at=_utc(date_time), actor=actors.COMMAND, reason=f"moved {_VIA_API}"
            )
            moved = bool(report.done)
        else:
            answer: Any = self.connection.zadd(
                self.scheduled_jobs_key, {job.id: _utc(date_time).timestamp()}, xx=True, ch=True
            )
            moved = bool(answer) or job in self
        if not moved:
            raise ValueError("Job not in scheduled jobs queue")
        self._wake()

    def count(self, until: Any = None) -> int:
        """How many jobs wait, for a time at most `until` where it is given. Raises redis.RedisError."""
        return int(self.connection.zcount(self.scheduled_jobs_key, 0, _score(until)))

    def get_jobs(
        self, until: Any = None, with_times: bool = False, offset: int | None = None, length: int | None = None
    ) -> Iterator[Any]:
        """The jobs that wait, by time; with their times, aware and exact, where asked for. Raises redis.RedisError."""
        found: Any = self.connection.zrangebyscore(
            self.scheduled_jobs_key, 0, _score(until), withscores=True, start=offset, num=length
        )
        for rq_id, score in found:
            name = rq_guard.text(rq_id)
            try:
                job = self.job_class.fetch(name, connection=self.connection)
            except NoSuchJobError:
                if keys.uuid_of(name) is None:  # the rescuer brings ours back
                    self.connection.zrem(self.scheduled_jobs_key, rq_id)
                continue
            at = datetime.fromtimestamp(min(score, keys.LAST_SECOND - 1), tz=UTC)
            yield (job, at) if with_times else job

    def get_jobs_to_queue(self, with_times: bool = False) -> Iterator[Any]:
        """The jobs whose time has come. Raises redis.RedisError."""
        return self.get_jobs(timezone.now(), with_times=with_times)

    def _exactly(self, job: Any, at: datetime) -> Any:
        self.connection.zadd(self.scheduled_jobs_key, {job.id: _utc(at).timestamp()}, xx=True)
        self._wake()
        return job

    def _wake(self) -> None:
        """End the active scheduler's sleep: something may be due earlier than it knows."""
        self.connection.publish(keys.WAKE, "1")


def _names_ours(job: Any) -> bool:
    """Whether RQ would run one of our jobs. What only its own worker can read is none: there it fails as RQ's do."""
    try:
        return job.func_name in rq_guard.OURS
    except DeserializationError:
        return False


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _next_second(at: datetime) -> datetime:
    return datetime.fromtimestamp(math.ceil(_utc(at).timestamp()), tz=UTC)


def _next_match(cron_string: str, *, local: bool) -> datetime:
    now = datetime.now().astimezone() if local else datetime.now(UTC)
    match: datetime = crontab.CronTab(cron_string).next(
        now=now.replace(tzinfo=None), return_datetime=True, default_utc=True
    )
    return match.astimezone(UTC) if local else match.replace(tzinfo=UTC)


def _after(job: Any) -> datetime | None:
    """When a job that was just put into its queue is due again."""
    if interval := job.meta.get("interval"):
        return timezone.now() + timedelta(seconds=int(interval))
    if cron_string := job.meta.get("cron_string"):
        return _next_match(cron_string, local=bool(job.meta.get("use_local_timezone")))
    return None


def _score(until: Any) -> Any:
    match until:
        case None:
            return "+inf"
        case datetime():
            return _utc(until).timestamp()
        case timedelta():
            return (timezone.now() + until).timestamp()
        case _:
            return until


def _row(job: Any) -> Job | None:
    key = keys.uuid_of(job.id if isinstance(job, RQJob) else str(job))
    return Job.objects.filter(pk=key).first() if key else None
