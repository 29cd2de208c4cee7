"""What RQ can read of the hashes in Redis: an unreadable field is left out, the rest stays.

Texts are cut and cleaned; data and results are read as JSON only.
"""

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from typing import Any, Final

from rq.job import JOB_ID_PATTERN, JobStatus
from rq.results import Result
from rq.utils import str_to_date

from scheduler_project.text import plain

CALLBACKS: Final = ("success_callback_name", "failure_callback_name", "stopped_callback_name")
MOST_BYTES: Final = 1_000_000  #: of a field, decompressed; RQ's dashboard would try to draw more
MOST_TEXT: Final = 20_000  #: characters of a text
MALFORMED: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""Exceptions that parsers raise on malformed data."""
UNREADABLE: Final = "cannot be read"

Hash = Mapping[Any, Any]


def text(value: bytes | str) -> str:
    """Plain text of any bytes, cut to MOST_TEXT."""
    if isinstance(value, bytes):
        value = value[:MOST_TEXT].decode(errors="backslashreplace")
    elif not isinstance(value, str):
        raise ValueError(f"no text: {type(value)!r}")
    return plain(value[:MOST_TEXT])


def job_fields(raw: Hash) -> dict[str, Any]:
    """A job's hash with what RQ can read of it."""
    fields = {text(name): value for name, value in raw.items()}
    kept = {name: value for name, value in fields.items() if name not in _READERS or _reads(_READERS[name], value)}
    for name in ("origin", "worker_name", "description", "group_id", *CALLBACKS):
        if name in kept:
            kept[name] = text(kept[name]).encode()
    if "data" in kept:
        kept["data"] = _call(kept["data"])
    if "exc_info" in kept:
        kept["exc_info"] = text(_decompress(kept["exc_info"])).encode()
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


def _decompress(value: bytes) -> bytes:
    """The data, decompressed if necessary; at most MOST_BYTES."""
    try:
        return zlib.decompressobj().decompress(value, MOST_BYTES)
    except zlib.error:
        return value[:MOST_BYTES]


def _call(data: bytes) -> bytes:
    """A job's data if it is a JSON call of a function by name; otherwise data that RQ reports as unreadable."""
    plain = _decompress(data)
    try:
        name, instance, args, kwargs = json.loads(plain)
    except MALFORMED:
        return UNREADABLE.encode()
    fits = isinstance(name, str) and instance is None and isinstance(args, list) and isinstance(kwargs, dict)
    return plain if fits else UNREADABLE.encode()


def result_fields(raw: Hash) -> dict[str, Any]:
    """A result's hash with what RQ can read of it."""
    fields = {text(name): value for name, value in raw.items()}
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
    return kept


def worker_fields(raw: Hash, *, decode_values: bool = False) -> dict[str, Any]:
    readers: dict[str, Callable[[Any], Any]] = {
        **dict.fromkeys(("pid", "failed_job_count", "successful_job_count"), _whole),
        "total_working_time": float,
        **dict.fromkeys(("last_heartbeat", "birth"), str_to_date),
    }
    fields = {text(name): value for name, value in raw.items()}
    return {name: text(value) for name, value in fields.items() if name not in readers or _reads(readers[name], value)}


def _traceback(value: bytes) -> str:
    try:
        return text(_decompress(b64decode(value)))
    except ValueError:
        return UNREADABLE
