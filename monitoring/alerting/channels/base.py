"""The interface of a channel: the fields of its form in the admin, and how it sends a message."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Any, ClassVar, Final
from urllib.parse import urljoin, urlsplit

import urllib3
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext

from monitoring.alerting.channels.limits import Limit, cut
from monitoring.alerting.egress_guard import AddressRefused, egress_guard
from monitoring.alerting.links import name_of_link
from monitoring.alerting.message import Message
from scheduler_project.text import StrOrPromise

TIMEOUT_S: Final = 10.0  #: for connecting, and for each read; DEADLINE_S of delivery.py is for all of it
REDIRECTS: Final = 3
LONGEST_HOST: Final = 260  #: characters of a host and its port
LONGEST_ANSWER: Final = 500  #: characters kept in the delivery log
LONGEST_RETRY_AFTER: Final = timedelta(hours=1)
Config = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ChannelResponse:
    """The receiver's response."""

    text: str = ""
    http_status: int | None = None
    retry_after: timedelta | None = None  #: how long the receiver wants to be left alone


class Undeliverable(Exception):
    """The message cannot arrive with this configuration; it is not retried."""


class DeliveryFailed(Exception):
    """The receiver rejected the message or was unreachable; it is retried."""

    def __init__(self, answer: ChannelResponse) -> None:
        super().__init__(f"HTTP {answer.http_status}: {answer.text}" if answer.http_status else answer.text)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a channel's form."""

    name: str
    label: StrOrPromise
    says: StrOrPromise = ""
    secret: bool = False  #: write-only: never shown
    required: bool = True
    is_receiver: bool = False  #: who gets what the secrets are for: another one needs them entered again
    check: Callable[[str], None] | None = None  #: raises ValidationError


class Channel(ABC):
    name: ClassVar[str]
    label: ClassVar[StrOrPromise]
    says: ClassVar[StrOrPromise]
    icon: ClassVar[str]
    fields: ClassVar[tuple[Field, ...]] = ()

    @abstractmethod
    def send(self, message: Message, config: Config) -> ChannelResponse:
        """Send and return the receiver's response. Raises Undeliverable, or anything else if a retry may work."""


def check_http_url(value: str) -> None:
    """Raise ValidationError unless `value` is an http(s) URL. The egress guard checks its address on connecting."""
    try:
        parts = urlsplit(value)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise ValidationError(gettext("Enter a URL that begins with http:// or https://."))


def check_receiver_url(value: str) -> None:
    """Check an http(s) URL and refuse credentials in it: pages would show them, and urllib3 would not send them."""
    check_http_url(value)
    if "@" in urlsplit(value).netloc:
        raise ValidationError(
            gettext("User and password in the URL are not sent. Use Apprise instead: jsons://user:password@host.")
        )


def make_guard() -> Any:
    """Return the egress guard, or a no-op if ALERT_ALLOW_PRIVATE_NETWORKS is set."""
    return nullcontext() if settings.ALERT_ALLOW_PRIVATE_NETWORKS else egress_guard()


def post(url: str, body: bytes, headers: Mapping[str, str]) -> ChannelResponse:
    """POST to an http(s) URL, following up to REDIRECTS redirects on its host, and return a 2xx answer.

    Raises Undeliverable if the egress guard refuses the address, DeliveryFailed for any other status, ConnectionError,
    and errors of urllib3.
    """
    timeout = urllib3.Timeout(connect=TIMEOUT_S, read=TIMEOUT_S)
    fields = {"Content-Type": "application/json", **headers}
    method = "POST"
    with make_guard(), urllib3.PoolManager(timeout=timeout) as pool:
        for _ in range(1 + REDIRECTS):
            check_http_url(url)
            got = _request(pool, method, url, body if method == "POST" else None, fields)
            location = got.get_redirect_location()
            if not location:
                return _response(got)
            got.close()
            target = urljoin(url, location)
            if not _may_follow(url, target):  # nobody has chosen that receiver, and the body may hold a secret
                host = urlsplit(target).netloc.rpartition("@")[2][:LONGEST_HOST]
                answer = ChannelResponse(f"redirects to {host}: if that is right, enter its URL", got.status)
                raise DeliveryFailed(answer)
            url, method = target, "GET" if got.status == HTTPStatus.SEE_OTHER else method
    raise DeliveryFailed(ChannelResponse("too many redirects", got.status))


def _request(pool: urllib3.PoolManager, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Any:
    """Return the answer, its body unread."""
    try:
        return pool.request(
            method, url, body=body, headers=headers, redirect=False, retries=False, preload_content=False
        )
    except AddressRefused as refused:
        raise Undeliverable(str(refused)) from None


def _response(got: Any) -> ChannelResponse:
    """Read the beginning of an answer. A body that breaks off does not unsend the message: the status counts."""
    try:
        text = got.read(LONGEST_ANSWER * 4).decode(errors="replace")[:LONGEST_ANSWER]
    except urllib3.exceptions.HTTPError as error:
        text = f"incomplete answer: {error}"[:LONGEST_ANSWER]
    finally:
        got.close()
    wait = retry_after(got.headers.get("Retry-After", ""))
    if not HTTPStatus.OK <= got.status < HTTPStatus.MULTIPLE_CHOICES:
        raise DeliveryFailed(ChannelResponse(text, got.status, wait))
    return ChannelResponse(text, got.status)


def _may_follow(url: str, target: str) -> bool:
    """Whether a receiver may send a message on from `url` to `target`: on its own host, and not from https to http.

    >>> [_may_follow("https://a/x", target) for target in ("https://A:8443/y", "http://a/x", "https://b/x")]
    [True, False, False]
    """
    here, there = urlsplit(url), urlsplit(target)
    return here.hostname == there.hostname and there.scheme in (here.scheme, "https")


def retry_after(header: str) -> timedelta | None:
    """Read a Retry-After of seconds or an HTTP date, up to LONGEST_RETRY_AFTER; None if it says nothing.

    >>> retry_after("120"), retry_after("Fri, 31 Dec 9999 23:59:59 GMT"), retry_after("soon"), retry_after("0")
    (datetime.timedelta(seconds=120), datetime.timedelta(seconds=3600), None, None)
    """
    try:
        seconds = urllib3.Retry().parse_retry_after(header)
    except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
        return None
    return timedelta(seconds=min(seconds, LONGEST_RETRY_AFTER.total_seconds())) if seconds > 0 else None


def as_text(message: Message, limit: Limit) -> str:
    """Format a message as lines of text within `limit`, each ended by a line feed, however its parts end lines.

    Django looks for lines that are too long for a mail at all ten line ends, a mail server at line feeds only. Where
    there is too much of it, links and the runbook stay, unless they alone would take most of the room.
    """
    lines = [
        message.message,
        "",
        gettext("Kind: %(kind)s") % {"kind": message.kind},
        gettext("Environment: %(environment)s") % {"environment": message.environment},
        *(f"{name}: {_as_line(value)}" for name, value in message.details.items()),
        gettext("Time: %(time)s") % {"time": message.timestamp},
    ]
    body = _join(lines)
    end = _join([f"{name_of_link(name)}: {address}" for name, address in message.links.items()])
    if message.runbook:
        runbook = gettext("Runbook: %(runbook)s") % {"runbook": message.runbook}
        end = f"{end}\n{runbook}".strip()
    if not end:
        return cut(body, limit)
    room = limit.size - limit.of(f"\n\n{end}")
    if room < limit.size // 2:
        return cut(f"{body}\n\n{end}", limit)
    return f"{cut(body, Limit(room, limit.of))}\n\n{end}"


def _join(lines: Sequence[str]) -> str:
    return "\n".join("\n".join(lines).splitlines()).strip()


def _as_line(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
