"""The interface of a channel: the fields of its form in the admin, and how it sends a message."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

import urllib3
from django.conf import settings
from django.core.exceptions import ValidationError

from monitoring.alerting.egress_guard import AddressRefused, egress_guard
from monitoring.alerting.message import Message

TIMEOUT_S: Final = 10.0  #: for connecting, and for each read
REDIRECTS: Final = 3
LONGEST_ANSWER: Final = 500  #: characters kept in the delivery log
Config = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """The receiver's response."""

    text: str = ""
    http_status: int | None = None


class Undeliverable(Exception):
    """The message cannot arrive with this configuration; it is not retried."""


class Refused(Exception):
    """The receiver rejected the message or was unreachable; it is retried."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"HTTP {answer.http_status}: {answer.text}" if answer.http_status else answer.text)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a channel's form."""

    name: str
    label: str
    says: str = ""
    secret: bool = False  #: write-only: never shown
    required: bool = True
    check: Callable[[str], None] | None = None  #: raises ValidationError


class Channel(ABC):
    name: ClassVar[str]
    label: ClassVar[str]
    says: ClassVar[str]
    icon: ClassVar[str]
    fields: ClassVar[tuple[Field, ...]] = ()

    @abstractmethod
    def send(self, message: Message, config: Config) -> Answer:
        """Send and return the receiver's response. Raises Undeliverable, or anything else if a retry may work."""


def check_http_url(value: str) -> None:
    """Raise ValidationError unless `value` is an http(s) URL. The egress guard checks its address on connecting."""
    try:
        parts = urlsplit(value)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise ValidationError("expected a URL that begins http:// or https://")


def check_receiver_url(value: str) -> None:
    """Check an http(s) URL and refuse credentials in it: pages would show them, and urllib3 would not send them."""
    check_http_url(value)
    if "@" in urlsplit(value).netloc:
        raise ValidationError(
            "a user and password in the URL are not sent; Apprise does so: jsons://user:password@host"
        )


def configured_guard() -> Any:
    """Return the egress guard, or a no-op if ALERT_ALLOW_PRIVATE_NETWORKS is set."""
    return nullcontext() if settings.ALERT_ALLOW_PRIVATE_NETWORKS else egress_guard()


def post(url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    """POST to an http(s) URL, following up to REDIRECTS redirects, and return a 2xx answer.

    Raises Undeliverable if the egress guard refuses the address, Refused for any other status, and urllib3's errors.
    """
    check_http_url(url)
    timeout = urllib3.Timeout(connect=TIMEOUT_S, read=TIMEOUT_S)
    retries = urllib3.Retry(total=REDIRECTS, connect=0, read=0, redirect=REDIRECTS, status=0, other=0)
    try:
        with configured_guard(), urllib3.PoolManager(timeout=timeout, retries=retries) as pool:
            got = pool.request(
                "POST", url, body=body, headers={"Content-Type": "application/json", **headers}, preload_content=False
            )
            text = got.read(LONGEST_ANSWER * 4).decode(errors="replace")[:LONGEST_ANSWER]
            got.close()
    except AddressRefused as refused:
        raise Undeliverable(str(refused)) from None
    except urllib3.exceptions.MaxRetryError as error:
        raise ConnectionError(str(error.reason)) from None
    answer = Answer(text, got.status)
    if not 200 <= got.status < 300:
        raise Refused(answer)
    return answer


def as_body(value: Any) -> bytes:
    """Encode as compact JSON."""
    return json.dumps(value, separators=(",", ":"), default=str).encode()


def as_text(message: Message) -> str:
    """Format a message as lines of text."""
    lines = [message.message, "", f"Kind: {message.kind}", f"Environment: {message.environment}"]
    lines += [f"{name}: {_as_line(value)}" for name, value in message.details.items()]
    return "\n".join([*lines, f"Time: {message.timestamp}"]).strip()


def _as_line(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
