"""List jobs that must not run among RQ's failed jobs of `default`, with the reason, whatever their hash contains."""

from collections.abc import Sequence
from typing import Any, Final

import structlog
from django.utils import timezone
from redis import Redis
from redis.exceptions import ResponseError
from rq.job import JOB_ID_PATTERN, JobStatus
from rq.job import Job as RQJob
from rq.registry import FailedJobRegistry
from rq.results import Result
from rq.utils import utcformat

from jobs import counters

log = structlog.get_logger(__name__)
QUEUE: Final = "default"  #: plain RQ jobs run from it, after all scheduler jobs; their failures are listed here
KEPT_SECONDS: Final = 30 * 24 * 3600


def move_aside(ids: Sequence[str | bytes], reason: str, connection: Redis) -> None:
    """List jobs as failed without loading the functions they name. Raises redis.RedisError."""
    now = timezone.now()
    for rq_id in ids:
        name = rq_id if isinstance(rq_id, str) else rq_id.decode(errors="backslashreplace")
        counters.add("foreign_rq_jobs", "refused")
        log.warning("rq.job_refused", rq_job=name[:200], cause=reason, next="it is listed as failed")
        if not JOB_ID_PATTERN.fullmatch(name):
            continue  # not an RQ id: no page can show it
        rq_job = RQJob(name, connection=connection)
        try:
            if not connection.hexists(rq_job.key, "data"):
                continue  # deleted meanwhile
            with connection.pipeline(transaction=False) as pipeline:
                fields: dict[Any, Any] = {"status": JobStatus.FAILED.value, "origin": QUEUE, "ended_at": utcformat(now)}
                pipeline.hset(rq_job.key, mapping=fields)
                pipeline.expire(rq_job.key, KEPT_SECONDS)
                Result.create_failure(rq_job, KEPT_SECONDS, exc_string=f"Not run: {reason}", pipeline=pipeline)
                pipeline.zadd(
                    FailedJobRegistry(QUEUE, connection=connection).key, {name: now.timestamp() + KEPT_SECONDS}
                )
                pipeline.execute(raise_on_error=True)
        except ResponseError as error:  # the key has another type
            log.warning("rq.job_not_listed", rq_job=name[:200], error=str(error), next="it is left out of every list")
