"""Checks of environment variables: what the consumer of each value accepts.

Each raises ValidationError, which says what fits. The reader adds the variable's name and the value.
"""

import re
from collections.abc import Callable
from importlib.util import find_spec
from ipaddress import ip_address
from socket import inet_aton, inet_ntoa
from typing import Any
from urllib.parse import urlsplit

from marshmallow import ValidationError, validate

from scheduler_project.cron_expression import fires
from scheduler_project.languages import languages
from scheduler_project.moments import read_zone

LONGEST_TOKEN_NAME = 100
_LABELS = r"[a-z0-9_-]+(\.[a-z0-9_-]+)*"


def number(minimum: int, maximum: int) -> Callable[[Any], Any]:
    return validate.Range(min=minimum, max=maximum, error="expected a whole number from {min} to {max}")


def one_of(*choices: str) -> Callable[[Any], Any]:
    return validate.OneOf(choices, error="expected one of {choices}")


def url(*schemes: str) -> Callable[[str], None]:
    def check(value: str) -> None:
        try:
            parts = urlsplit(value)
            host_is_there = parts.port != 0 and bool(parts.hostname or parts.scheme in ("unix", "sqlite"))
        except ValueError:  # whose text may hold half of a password
            raise ValidationError(
                "expected a URL with a host and a port from 1 to 65535; percent-encode odd characters of a password"
            ) from None
        if parts.scheme not in schemes or not host_is_there:
            expected = " or ".join(f"{scheme}://" for scheme in schemes)
            raise ValidationError(f"expected a URL beginning {expected}, with a host")
        if any(character.isspace() or not character.isprintable() for character in value):
            raise ValidationError("expected a URL without white space and control characters")

    return check


def api_url(value: str) -> None:
    """An HTTP client sends the path as it is, and a fragment never."""
    url("http", "https")(value)
    if not value.isascii():
        raise ValidationError("expected ASCII: percent-encode the path, and write the host in Punycode (xn--…)")
    if "#" in value:
        raise ValidationError("expected a URL without #: percent-encode it as %23")


def host(value: str) -> None:
    """A host to connect to, without scheme, port and brackets."""
    if not (re.fullmatch(rf"{_LABELS}\.?", value, re.IGNORECASE) or _is_address(value)):
        raise ValidationError("expected a host name or an IP address, without scheme and port")


def hosts(value: list[str]) -> None:
    """Django compares these with the bare, lower-case host of a request. Other forms would never match."""
    for entry in value:
        bracketed = entry.startswith("[") and entry.endswith("]") and _is_address(entry[1:-1])
        if not (entry == "*" or bracketed or re.fullmatch(rf"\.?{_LABELS}", entry, re.IGNORECASE)):
            raise ValidationError(
                "expected host names separated by commas, without scheme, port and spaces; "
                f".example.org for all below it, [::1] for an IPv6 address; not {entry!r}"
            )


def origins(value: list[str]) -> None:
    """Django compares these with a browser's Origin header, letter by letter."""
    for entry in value:
        _check_origin(
            entry,
            "origins as browsers send them, separated by commas: https://example.org, https://example.org:8443 or "
            f"https://*.example.org, in lower case and without a path; not {entry!r}",
        )


def public_url(value: str) -> None:
    """An origin, or nothing; URL_PREFIX has the path."""
    expected = "one origin such as https://ops.example.org, in lower case and without a path; or nothing"
    if "*" in value or "," in value:
        raise ValidationError(f"expected {expected}")
    if value:
        _check_origin(value, expected)


def _check_origin(entry: str, expected: str) -> None:
    try:
        parts = urlsplit(entry)
        port = parts.port
    except ValueError:
        raise ValidationError(f"expected {expected}") from None
    name = (parts.hostname or "").removeprefix("*.")
    is_host = re.fullmatch(_LABELS, name) or (_is_address(name) and "*" not in parts.netloc)
    bracketed = f"[{name}]" if ":" in name else name
    wanted = f"{parts.scheme}://{'*.' if '://*.' in entry else ''}{bracketed}{'' if port is None else f':{port}'}"
    if parts.scheme not in ("http", "https") or not is_host or entry != wanted or port == 0:
        raise ValidationError(f"expected {expected}")
    if port == {"http": 80, "https": 443}[parts.scheme]:
        raise ValidationError(
            f"browsers leave out the port {port} of {parts.scheme}: write {entry[: -len(f':{port}')]}"
        )


def url_prefix(value: str) -> None:
    """Proxies and browsers compare paths letter by letter, and encode reserved characters in several ways."""
    if not re.fullmatch(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*", value):
        raise ValidationError("expected a path such as /scheduler, without a slash at its end; or nothing")


def proxy_header(value: str) -> None:
    """A header's name and the one value that means TLS."""
    if value and not re.fullmatch(r"[A-Za-z]+(-[A-Za-z]+)*: ?[a-z]+", value):
        raise ValidationError("expected a header and its value for TLS, such as X-Forwarded-Proto: https; or nothing")


def is_loopback(value: str) -> bool:
    """Whether a URL's host is this machine, by name or by an address in any of the forms that resolvers take.

    >>> [is_loopback(f"http://{host}/") for host in ("LOCALHOST.", "api.localhost", "127.1", "[::1]", "0")]
    [True, True, True, True, True]
    >>> [is_loopback(f"http://{host}/") for host in ("api", "10.0.0.1", "[fd00::1]")]
    [False, False, False]
    """
    name = (urlsplit(value).hostname or "").rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name)
    except ValueError:
        try:
            address = ip_address(inet_ntoa(inet_aton(name)))  # 127.1, 0x7f000001
        except OSError:
            return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def is_weak_key(value: str) -> bool:
    """Whether Django calls a secret key insecure (security.W009), or everybody knows it."""
    return len(value) < 50 or len(set(value)) < 5 or value.startswith(("django-insecure-", "development-only-"))


def cron(value: str) -> None:
    if not fires(value):
        raise ValidationError("expected a cron expression of five or six fields that ever matches")


def time_zone(value: str) -> None:
    try:
        read_zone(value)
    except ValueError as error:
        raise ValidationError(f"expected a time zone such as Europe/Berlin: {error}") from None


def language(value: str) -> None:
    codes = [code for code, _ in languages()]
    if value not in codes:
        raise ValidationError(
            f"expected one of {', '.join(codes)}; another language needs its compiled catalogue, such as "
            "locale/de/LC_MESSAGES/django.mo"
        )


def functions(value: list[str]) -> None:
    """Dotted names as RQ writes them into a job: module.function or module.Class.method."""
    for name in value:
        if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", name):
            raise ValidationError(f"expected dotted names of functions separated by commas; not {name!r}")
        if find_spec(name.partition(".")[0]) is None:  # the rest cannot be checked without importing the module
            raise ValidationError(f"there is no module {name.partition('.')[0]}")


def token(value: str) -> None:
    """A secret that travels in a header after `Bearer`."""
    if value and not is_token(value):
        raise ValidationError("expected printable ASCII without spaces and commas (and without the word Bearer)")


def long_token(value: str) -> None:
    token(value)
    if value and len(value) < 8:
        raise ValidationError("expected 8 characters or more")


def tokens(value: list[str]) -> None:
    for entry in value:
        name, _, secret = entry.partition(":")
        if not name or len(secret) < 8 or not is_token(secret) or name != name.strip() or not name.isprintable():
            raise ValidationError(
                "expected name:secret pairs separated by commas, without spaces around them; secrets of 8 characters "
                "or more, in printable ASCII without spaces"
            )
        if len(name) > LONGEST_TOKEN_NAME:
            raise ValidationError(
                f"expected names of at most {LONGEST_TOKEN_NAME} characters: the audit trail has them"
            )
    secrets = [entry.partition(":")[2] for entry in value]
    if len(set(secrets)) < len(secrets):
        raise ValidationError("two names have the same secret")


def credential(value: str) -> None:
    """What smtplib encodes as ASCII, in one line."""
    if not (value.isascii() and value.isprintable()):
        raise ValidationError("expected printable ASCII: SMTP logins cannot carry anything else")


def is_token(value: str) -> bool:
    return bool(re.fullmatch(r"[!-+\--~]+", value))


def _is_address(text: str) -> bool:
    try:
        return bool(ip_address(text))
    except ValueError:
        return False
