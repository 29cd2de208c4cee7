"""The address and ID of the request that is being served, for the audit trail and the logs."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from ipaddress import ip_address
from typing import Final, NamedTuple
from uuid import uuid4

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from scheduler_project.text import is_request_id, line

LONGEST_LOGIN_NAME: Final = 150  #: of users; the form of the login lets longer ones pass
META_KEY: Final = "scheduler.request_id"


class Origin(NamedTuple):
    ip: str
    request_id: str


_OUTSIDE_REQUESTS: Final = Origin("", "")
_current: ContextVar[Origin] = ContextVar("origin", default=_OUTSIDE_REQUESTS)


def current() -> Origin:
    """Return the origin of the request being served; its fields are empty outside of requests."""
    return _current.get()


def as_details() -> dict[str, dict[str, str]]:
    """Return the origin for an audit entry's details; empty outside of requests."""
    origin = current()
    return {} if origin is _OUTSIDE_REQUESTS else {"from": origin._asdict()}


class RequestId:
    """Django middleware: puts X-Request-Id, or a new ID, into the logs, the audit trail and the response."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-Id", "")
        origin = Origin(_address(request), given if is_request_id(given) else uuid4().hex)
        request.META[META_KEY] = origin.request_id  # Django logs some lines after this middleware has returned
        token = _current.set(origin)
        try:
            with structlog.contextvars.bound_contextvars(request_id=origin.request_id):
                response = self._get_response(request)
        finally:
            _current.reset(token)
        response.headers.setdefault("X-Request-Id", origin.request_id)
        return response


def client_address(request: HttpRequest) -> str:
    """Return the client's address as TRUSTED_PROXIES proxies report it, each appending its peer to X-Forwarded-For.

    The peer's where they do not: then the header is the client's own. Empty for a Unix socket.
    """
    peer = _ip(str(request.META.get("REMOTE_ADDR") or "").partition("%")[0])
    if not settings.TRUSTED_PROXIES:
        return peer
    forwarded = request.headers.get("X-Forwarded-For", "")[-2_000:].split(",")
    if len(forwarded) < settings.TRUSTED_PROXIES:
        return peer
    return _ip(forwarded[-settings.TRUSTED_PROXIES]) or peer


def login_name(request: HttpRequest, credentials: Mapping[str, object] | None = None) -> str:
    """Return the user's name that a login was tried with, as it may be stored and shown."""
    given = credentials.get("username") if credentials else request.POST.get("username")
    return line(str(given or ""), LONGEST_LOGIN_NAME)


def _ip(text: str) -> str:
    try:
        return str(ip_address(text.strip()))
    except ValueError:
        return ""


def _address(request: HttpRequest) -> str:
    """Return the client's address; without TRUSTED_PROXIES, the peer's and what is claimed of the client's."""
    if settings.TRUSTED_PROXIES:
        return client_address(request)
    ip = str(request.META.get("REMOTE_ADDR") or "")
    forwarded = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    return f"{ip} for {forwarded}"[:100] if forwarded.isascii() and forwarded.isprintable() and forwarded else ip[:100]
