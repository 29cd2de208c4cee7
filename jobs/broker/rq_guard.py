"""Limit what RQ does with data from Redis in this process: read JSON, and call functions that are allowed by name.

Stock RQ unpickles job hashes, results and meta wherever it reads them, and imports and calls any function that a hash
names: whoever can write to Redis can run code in workers, and in the web process when the dashboard is opened.
RQ's `serializer` and `job_class` options do not reach everywhere (executions, registries and results fall back to
pickle and to rq.job.Job), so the few functions that all of it passes are replaced, once, when Django starts.
"""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, Final

import structlog
from django.conf import settings
from redis import Redis
from redis.exceptions import ResponseError
from rq import executions, group, job, queue, rate_limit, registry, serializers, utils, worker_registration
from rq.exceptions import DeserializationError, NoSuchJobError
from rq.job import JOB_ID_PATTERN
from rq.job import Job as RQJob
from rq.results import Result
from rq.serializers import JSONSerializer
from rq.utils import import_attribute
from rq.worker import base as worker

from jobs.broker.rq_fields import CALLBACKS, MALFORMED, Hash, job_fields, result_fields, text, worker_fields

log = structlog.get_logger(__name__)
PERFORM: Final = "jobs.engine.worker.perform.perform"  #: what our job hashes name; it runs the row with that id
PERFORM_BEFORE: Final = "jobs.engine.perform.perform"  #: its path in the previous release
OURS: Final = (PERFORM, PERFORM_BEFORE)


class NotAllowed(ValueError):
    """Redis names a function that must not run here."""


def allows(name: str) -> bool:
    """Whether RQ may import and call the function of this dotted name."""
    return name in OURS or (settings.RUN_FOREIGN_RQ_JOBS and name in settings.RUN_FOREIGN_RQ_FUNCTIONS)


def refusal(rq_job: RQJob) -> str:
    """Why a plain RQ job must not run; empty where it may."""
    if not settings.RUN_FOREIGN_RQ_JOBS:
        return "RUN_FOREIGN_RQ_JOBS is false"
    try:
        names = [str(rq_job.func_name)]
    except DeserializationError:
        return "its data is not a JSON-encoded call"
    names += [name for name in (getattr(rq_job, f"_{field}") for field in CALLBACKS) if name]
    refused = [name[:200] for name in names if not allows(name)]
    return f"{', '.join(refused)}: not in RUN_FOREIGN_RQ_FUNCTIONS" if refused else ""


def install() -> None:
    """Guard RQ in this process and its forks; the second time does nothing."""
    if job.import_attribute is _import_allowed:
        return
    replaced: list[tuple[Any, str, Any]] = [
        # The class, not its name: others have imported it by now.
        (serializers.DefaultSerializer, "dumps", JSONSerializer.dumps),
        (serializers.DefaultSerializer, "loads", JSONSerializer.loads),
        (job, "import_attribute", _import_allowed),
        (RQJob, "send_webhooks", _send_no_webhooks),
        (RQJob, "restore", _guard_restore(RQJob.restore)),
        (RQJob, "fetch", classmethod(_fetch)),
        (RQJob, "fetch_many", classmethod(_fetch_many)),
        (Result, "restore", classmethod(_result_restoring(Result.restore))),
        (executions.Execution, "restore", _execution_restoring(executions.Execution.restore)),
        (worker.BaseWorker, "refresh", _guard_refresh(worker.BaseWorker.refresh)),
        (worker, "decode_redis_hash", worker_fields),
    ]
    readers = (executions, group, job, queue, rate_limit, registry, utils, worker, worker_registration)
    replaced += [(module, "as_text", text) for module in readers]
    for where, name, function in replaced:
        setattr(where, name, staticmethod(function) if name in ("dumps", "loads") else function)


# -- code


def _import_allowed(name: str) -> Callable[..., Any]:
    if not allows(name):
        log.warning("rq.function_refused", function=name[:200], next="it is not imported")
        raise NotAllowed(f"{name[:200]} may not run here: see RUN_FOREIGN_RQ_FUNCTIONS")
    return import_attribute(name)


def _send_no_webhooks(self: RQJob, status: Any, *, exc_string: str | None = None) -> None:
    """A job hash must not make this process, which is inside our network, send requests."""


# -- jobs


def _guard_restore(stock: Callable[[RQJob, Hash], Any]) -> Callable[[RQJob, Hash], Any]:
    @wraps(stock)
    def restore(self: RQJob, raw: Hash) -> Any:
        return stock(self, job_fields(raw))

    return restore


def _fetch(cls: type[RQJob], id: str, connection: Redis, serializer: Any = None) -> RQJob:  # noqa: A002 - RQ's name
    found = cls.fetch_many([id], connection, serializer)[0]
    if found is None:
        raise NoSuchJobError(f"No such job: {text(id)[:200]}")
    return found


def _fetch_many(
    cls: type[RQJob], job_ids: Iterable[str], connection: Redis, serializer: Any = None
) -> list[RQJob | None]:
    """As RQ's own, but ids and values that RQ never wrote do not break it."""
    ids = [job.parse_job_id(text(i)) for i in job_ids]
    with connection.pipeline(transaction=False) as pipeline:
        for rq_id in ids:
            pipeline.hgetall(cls.key_for(rq_id))
        hashes = pipeline.execute(raise_on_error=False)
    found: list[RQJob | None] = []
    for rq_id, raw in zip(ids, hashes, strict=True):
        if not raw or isinstance(raw, ResponseError) or not JOB_ID_PATTERN.fullmatch(rq_id):
            found.append(None)
            continue
        if isinstance(raw, Exception):
            raise raw
        one = cls(rq_id, connection=connection, serializer=serializer)
        try:
            one.restore(raw)
        except NoSuchJobError:
            found.append(None)
        else:
            found.append(one)
    return found


# -- results, executions, workers


def _result_restoring(stock: Any) -> Callable[..., Result]:
    @wraps(stock)
    def restore(
        cls: type[Result], job_id: str, result_id: str, payload: Hash, connection: Redis, serializer: Any = None
    ) -> Result:
        kept = result_fields(payload)
        at = result_id if int(result_id.partition("-")[0]) < 2**43 else "0-0"
        restored: Result = stock.__func__(cls, job_id, at, kept, connection, serializer)
        restored.id = result_id
        return restored

    return restore


def _execution_restoring(stock: Callable[[Any, Any], None]) -> Callable[[Any, Hash], None]:
    @wraps(stock)
    def restore(self: Any, data: Hash) -> None:
        requested = self.job_id
        try:
            stock(self, data)
        except MALFORMED as error:
            raise ValueError(f"{self.id}: {error}") from None  # as django-rq expects of a missing one
        if self.job_id != requested:
            raise ValueError(f"{self.id}: of another job")

    return restore


def _guard_refresh(stock: Callable[[Any], None]) -> Callable[[Any], None]:
    @wraps(stock)
    def refresh(self: Any) -> None:
        try:
            stock(self)
        except ResponseError:  # the key has another type; it is shown empty
            log.warning("rq.worker_unreadable", worker=self.name[:200])

    return refresh
