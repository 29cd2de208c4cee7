"""Limit what RQ does with data from Redis in this process: read JSON, and call functions that are allowed by name.

Stock RQ unpickles job hashes, results and meta wherever it reads them, and imports and calls any function that a hash
names: whoever can write to Redis can run code in workers, and in the web process when the dashboard is opened.
RQ's `serializer` and `job_class` options do not reach everywhere (executions, registries and results fall back to
pickle and to rq.job.Job), so the few functions that all of it passes are replaced, once, when Django starts.
"""

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, Final

import structlog
from django.conf import settings
from redis import Redis
from redis.exceptions import ResponseError
from rq import executions, group, job, queue, rate_limit, registry, serializers, utils, worker_registration
from rq.exceptions import DeserializationError, NoSuchJobError
from rq.job import JOB_ID_PATTERN, JobStatus
from rq.job import Job as RQJob
from rq.results import Result
from rq.serializers import JSONSerializer
from rq.utils import import_attribute, str_to_date
from rq.worker import base as worker

from scheduler_project.text import plain

log = structlog.get_logger(__name__)
PERFORM: Final = "jobs.engine.worker.perform.perform"  #: what our job hashes name; it runs the row with that id
PERFORM_BEFORE: Final = "jobs.engine.perform.perform"  #: its path in the previous release
OURS: Final = (PERFORM, PERFORM_BEFORE)
CALLBACKS: Final = ("success_callback_name", "failure_callback_name", "stopped_callback_name")
MOST_BYTES: Final = 1_000_000  #: of a field, decompressed; RQ's dashboard would try to draw more
MOST_TEXT: Final = 20_000  #: characters of a text
MALFORMED: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""Exceptions that parsers raise on malformed data."""
UNREADABLE: Final = "cannot be read"

Hash = Mapping[Any, Any]


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
        (RQJob, "restore", _restoring(RQJob.restore)),
        (RQJob, "fetch", classmethod(_fetch)),
        (RQJob, "fetch_many", classmethod(_fetch_many)),
        (Result, "restore", classmethod(_result_restoring(Result.restore))),
        (executions.Execution, "restore", _execution_restoring(executions.Execution.restore)),
        (worker.BaseWorker, "refresh", _refreshing(worker.BaseWorker.refresh)),
        (worker, "decode_redis_hash", _worker_fields),
    ]
    readers = (executions, group, job, queue, rate_limit, registry, utils, worker, worker_registration)
    replaced += [(module, "as_text", text) for module in readers]
    for where, name, function in replaced:
        setattr(where, name, staticmethod(function) if name in ("dumps", "loads") else function)


def text(value: bytes | str) -> str:
    """Plain text of any bytes, cut to MOST_TEXT."""
    if isinstance(value, bytes):
        value = value[:MOST_TEXT].decode(errors="backslashreplace")
    elif not isinstance(value, str):
        raise ValueError(f"no text: {type(value)!r}")
    return plain(value[:MOST_TEXT])


# -- code


def _import_allowed(name: str) -> Callable[..., Any]:
    if not allows(name):
        log.warning("rq.function_refused", function=name[:200], next="it is not imported")
        raise NotAllowed(f"{name[:200]} may not run here: see RUN_FOREIGN_RQ_FUNCTIONS")
    return import_attribute(name)


def _send_no_webhooks(self: RQJob, status: Any, *, exc_string: str | None = None) -> None:
    """A job hash must not make this process, which is inside our network, send requests."""


# -- job hashes: an unreadable field is left out, the rest of the job stays


def _restoring(stock: Callable[[RQJob, Hash], Any]) -> Callable[[RQJob, Hash], Any]:
    @wraps(stock)
    def restore(self: RQJob, raw: Hash) -> Any:
        return stock(self, _job_fields(raw))

    return restore


def _job_fields(raw: Hash) -> dict[str, Any]:
    """A job's hash with what RQ can read of it."""
    fields = {text(name): value for name, value in raw.items()}
    kept = {name: value for name, value in fields.items() if name not in _READERS or _reads(_READERS[name], value)}
    for name in ("origin", "worker_name", "description", "group_id", *CALLBACKS):
        if name in kept:
            kept[name] = text(kept[name]).encode()
    if "data" in kept:
        kept["data"] = _call(kept["data"])
    if "exc_info" in kept:
        kept["exc_info"] = text(_decompressed(kept["exc_info"])).encode()
    kept.pop("webhooks", None)
    if kept.get("status") == b"queued":  # django-rq's start page takes it for granted
        kept.setdefault("enqueued_at", kept.get("created_at", b"1970-01-01T00:00:00.000000Z"))
    return kept


def _reads(read: Callable[[Any], Any], value: Any) -> bool:
    if not value:
        return True  # RQ treats an empty field as missing
    try:
        return read(value) is not False
    except MALFORMED:
        return False


def _json(value: bytes) -> Any:
    if len(value) > MOST_BYTES:
        raise ValueError("too long")
    return json.loads(value)


def _whole(value: bytes) -> bool:
    return abs(int(value)) < 2**53


def _ids(value: bytes) -> bool:
    return all(isinstance(i, str) and JOB_ID_PATTERN.fullmatch(i) for i in _json(value)[:100]) and len(value) < 10_000


_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(("created_at", "enqueued_at", "started_at", "ended_at", "last_heartbeat"), str_to_date),
    **dict.fromkeys(
        (
            "timeout",
            "result_ttl",
            "failure_ttl",
            "ttl",
            "success_callback_timeout",
            "failure_callback_timeout",
            "stopped_callback_timeout",
            "allow_dependency_failures",
            "enqueue_at_front",
            "enqueue_at_front_on_retry",
            "number_of_retries",
            "retries_left",
            "repeats_left",
            "rate_limit_concurrency",
        ),
        _whole,
    ),
    "status": lambda value: JobStatus(value.decode()),
    "meta": lambda value: isinstance(_json(value), dict),
    "result": _json,
    "dependency_ids": _ids,
    "dependency_id": lambda value: bool(JOB_ID_PATTERN.fullmatch(value.decode())),
    "retry_intervals": lambda value: all(isinstance(i, int) for i in _json(value)),
    "repeat_intervals": lambda value: all(isinstance(i, int) for i in _json(value)),
    "rate_limit_key": bytes.decode,
}


def _decompressed(value: bytes) -> bytes:
    """The data, decompressed if necessary; at most MOST_BYTES."""
    try:
        return zlib.decompressobj().decompress(value, MOST_BYTES)
    except zlib.error:
        return value[:MOST_BYTES]


def _call(data: bytes) -> bytes:
    """A job's data if it is a JSON call of a function by name; otherwise data that RQ reports as unreadable."""
    plain = _decompressed(data)
    try:
        name, instance, args, kwargs = json.loads(plain)
    except MALFORMED:
        return UNREADABLE.encode()
    fits = isinstance(name, str) and instance is None and isinstance(args, list) and isinstance(kwargs, dict)
    return plain if fits else UNREADABLE.encode()


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
        fields = {text(name): value for name, value in payload.items()}
        kept: dict[str, Any] = {"type": fields.get("type", b"")}
        if not _reads(lambda value: Result.Type(int(value)), kept["type"] or b"-"):
            kept["type"] = str(Result.Type.FAILED.value).encode()
        for name in ("execution_started_at", "execution_ended_at"):
            if name in fields and _reads(lambda value: 0 < float(value) < 2**33, fields[name]):
                kept[name] = fields[name]
        for name in ("worker_name", "execution_id"):
            kept[name] = text(fields.get(name, b"")).encode()
        if value := fields.get("return_value"):
            readable = len(value) < MOST_BYTES and _reads(lambda v: (_json(b64decode(v)), True)[1], value)
            kept["return_value"] = value if readable else b64encode(json.dumps(UNREADABLE).encode())
        if trace := fields.get("exc_string"):
            kept["exc_string"] = b64encode(zlib.compress(_traceback(trace).encode()))
        at = result_id if int(result_id.partition("-")[0]) < 2**43 else "0-0"
        restored: Result = stock.__func__(cls, job_id, at, kept, connection, serializer)
        restored.id = result_id
        return restored

    return restore


def _traceback(value: bytes) -> str:
    try:
        return text(_decompressed(b64decode(value)))
    except ValueError:
        return UNREADABLE


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


def _refreshing(stock: Callable[[Any], None]) -> Callable[[Any], None]:
    @wraps(stock)
    def refresh(self: Any) -> None:
        try:
            stock(self)
        except ResponseError:  # the key has another type; it is shown empty
            log.warning("rq.worker_unreadable", worker=self.name[:200])

    return refresh


def _worker_fields(raw: Hash, *, decode_values: bool = False) -> dict[str, Any]:
    readers: dict[str, Callable[[Any], Any]] = {
        **dict.fromkeys(("pid", "failed_job_count", "successful_job_count"), _whole),
        "total_working_time": float,
        **dict.fromkeys(("last_heartbeat", "birth"), str_to_date),
    }
    fields = {text(name): value for name, value in raw.items()}
    return {name: text(value) for name, value in fields.items() if name not in readers or _reads(readers[name], value)}
