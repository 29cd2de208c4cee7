"""Where the request that a thread is serving came from: its address and id, for the audit trail and the logs."""

import json
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final, NamedTuple
from uuid import uuid4

import structlog
from django.http import HttpRequest, HttpResponse

from scheduler_project.text import is_request_id

META_KEY: Final = "scheduler.request_id"


class Origin(NamedTuple):
    """Where a request came from."""

    ip: str
    request_id: str


_NOWHERE: Final = Origin("", "")
_of_this_request: ContextVar[Origin] = ContextVar("origin", default=_NOWHERE)


def current() -> Origin:
    """The origin of the request this thread serves; empty outside of requests."""
    return _of_this_request.get()


def as_details() -> str | None:
    """The origin as the details of an audit entry; None outside of requests."""
    origin = current()
    return None if origin is _NOWHERE else json.dumps({"from": origin._asdict()})


def remember(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Django middleware: X-Request-Id, or a new id, goes into the logs, the audit trail and back to the client."""

    def serve(request: HttpRequest) -> HttpResponse:
        told = request.headers.get("X-Request-Id", "")
        origin = Origin(_address(request), told if is_request_id(told) else uuid4().hex)
        request.META[META_KEY] = origin.request_id  # for lines that Django writes when this is left
        token = _of_this_request.set(origin)
        try:
            with structlog.contextvars.bound_contextvars(request_id=origin.request_id):
                answer = get_response(request)
        finally:
            _of_this_request.reset(token)
        answer.headers.setdefault("X-Request-Id", origin.request_id)
        return answer

    return serve


def _address(request: HttpRequest) -> str:
    """Who connected; behind a proxy also whom it says that it speaks for, which is only as true as the proxy is."""
    ip = str(request.META.get("REMOTE_ADDR") or "")
    told = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    return f"{ip} for {told}"[:100] if told.isascii() and told.isprintable() and told else ip[:100]
