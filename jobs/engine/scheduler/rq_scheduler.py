"""rq-scheduler's API on its own keys, with exact times: it keeps fractions of a second and uses UTC throughout.

Stock rq-scheduler truncates times to seconds, so a job runs up to a second early; evaluates cron expressions in the
machine's time zone; returns naive times; and loses a repeated job if it is killed at the wrong moment. A scheduler job
is a row in the database: cancelling or moving it here cancels or reschedules the row.
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
from jobs.broker import keys, rq_fields, rq_guard
from jobs.broker.aside import QUEUE, move_aside
from jobs.models import Job

_VIA_API = "through rq-scheduler's API"


class RQScheduler(DjangoScheduler):
    """The public API of rq-scheduler."""

    def enqueue_at(self, scheduled_time: datetime, func: Any, *args: Any, **kwargs: Any) -> Any:
        """Run a function at a time (naive: UTC); see rq_scheduler for the options. Raises redis.RedisError."""
        job = super().enqueue_at(_next_second(scheduled_time), func, *args, **kwargs)  # rounded up, then set exactly
        return self._set_exact_time(job, scheduled_time)

    def enqueue_in(self, time_delta: timedelta, func: Any, *args: Any, **kwargs: Any) -> Any:
        """Run a function after a delay. Raises redis.RedisError."""
        return self.enqueue_at(timezone.now() + time_delta, func, *args, **kwargs)

    def schedule(self, scheduled_time: datetime, func: Any, *args: Any, **kwargs: Any) -> Any:
        """Run a function at a time, and repeat it if an interval is given. Raises redis.RedisError."""
        job = super().schedule(_next_second(scheduled_time), func, *args, **kwargs)
        return self._set_exact_time(job, scheduled_time)

    def cron(self, cron_string: str, func: Any, *args: Any, **kwargs: Any) -> Any:
        """Run a function whenever the expression matches, in UTC unless `use_local_timezone` is set.

        Raises redis.RedisError.
        """
        job = super().cron(cron_string, func, *args, **kwargs)
        return self._set_exact_time(job, _next_match(cron_string, local=bool(job.meta.get("use_local_timezone"))))

    def enqueue_job(self, job: Any) -> None:
        """Enqueue a due job and, if it repeats, schedule its next run.

        In that order: if the process is killed in between, the job runs twice but is never lost.
        """
        if _names_ours(job):  # and its row was deleted
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
        """Return one of our queues; a job hash could name any queue, and any queue class to import."""
        return get_queue(job.origin if job.origin in settings.RQ_QUEUES else QUEUE, connection=self.connection)

    def cancel(self, job: Any) -> None:
        """Unschedule a job; a scheduler job is cancelled. Raises redis.RedisError."""
        mine = _row(job)
        if mine is None:
            super().cancel(job)
        else:
            service.cancel([mine], actor=actors.COMMAND, reason=f"cancelled {_VIA_API}")

    def change_execution_time(self, job: Any, date_time: datetime) -> None:
        """Move a job to another time; a scheduler job is rescheduled.

        Raises ValueError if it is not scheduled, InvalidJob if the time is out of range, and redis.RedisError.
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
        """Count scheduled jobs, up to `until` if it is given. Raises redis.RedisError."""
        return int(self.connection.zcount(self.scheduled_jobs_key, 0, _score(until)))

    def get_jobs(
        self, until: Any = None, with_times: bool = False, offset: int | None = None, length: int | None = None
    ) -> Iterator[Any]:
        """Yield scheduled jobs by time; `with_times` adds their exact, aware times. Raises redis.RedisError."""
        found: Any = self.connection.zrangebyscore(
            self.scheduled_jobs_key, 0, _score(until), withscores=True, start=offset, num=length
        )
        for rq_id, score in found:
            name = rq_fields.text(rq_id)
            try:
                job = self.job_class.fetch(name, connection=self.connection)
            except NoSuchJobError:
                if keys.uuid_of(name) is None:  # the rescuer restores scheduler jobs
                    self.connection.zrem(self.scheduled_jobs_key, rq_id)
                continue
            at = datetime.fromtimestamp(min(score, keys.LAST_SECOND - 1), tz=UTC)
            yield (job, at) if with_times else job

    def get_jobs_to_queue(self, with_times: bool = False) -> Iterator[Any]:
        """Yield jobs that are due. Raises redis.RedisError."""
        return self.get_jobs(timezone.now(), with_times=with_times)

    def _set_exact_time(self, job: Any, at: datetime) -> Any:
        self.connection.zadd(self.scheduled_jobs_key, {job.id: _utc(at).timestamp()}, xx=True)
        self._wake()
        return job

    def _wake(self) -> None:
        """Wake the active scheduler: a job may be due earlier than it knows."""
        self.connection.publish(keys.WAKE, "1")


def _names_ours(job: Any) -> bool:
    """Whether RQ would run a scheduler job. An unreadable hash is not one: it fails in RQ's own way."""
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
    """The next run of a job that was just enqueued."""
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
