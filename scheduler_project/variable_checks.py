"""Checks of environment variables: what the consumer of each value accepts. They raise ValidationError."""

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from marshmallow import ValidationError, validate
from redis import ConnectionPool

from scheduler_project.cron_expression import fires
from scheduler_project.moments import read_zone
from scheduler_project.redis_connection import REFUSED, SENTINEL, read_sentinel

LONGEST_TOKEN_NAME = 100


def number(minimum: float = 1, maximum: float = 10**9) -> Callable[[Any], Any]:
    return validate.Range(min=minimum, max=maximum, error="expected a number from {min} to {max}, got {input}")


def one_of(*choices: str) -> Callable[[Any], Any]:
    return validate.OneOf(choices, error="expected one of {choices}; got {input}")


def url(*schemes: str) -> Callable[[str], None]:
    def check(value: str) -> None:
        try:
            parts = urlsplit(value)
            host_is_there = parts.port != 0 and bool(parts.hostname or parts.scheme in ("unix", "sqlite"))
        except ValueError as error:  # an invalid port or IPv6 address
            raise ValidationError(f"not a URL: {error}") from None
        if parts.scheme not in schemes or not host_is_there:
            raise ValidationError(f"expected a URL beginning {' or '.join(s + '://' for s in schemes)}")
        if any(character.isspace() for character in value):
            raise ValidationError("contains white space")

    return check


def redis(value: str) -> None:
    """Check what redis-py checks only when it connects, or never: it reads /abc as database 0."""
    scheme = value.partition("://")[0]
    if refused := sorted({name for name, _ in parse_qsl(urlsplit(value).query)} & set(REFUSED)):
        raise ValidationError(f"{', '.join(refused)} cannot be set: replies are read as bytes")
    if "cluster" in scheme:
        raise ValidationError("Redis Cluster is not supported: the scripts use keys of several slots")
    if scheme in SENTINEL:
        try:
            read_sentinel(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None
        return
    url("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")(value)
    parts = urlsplit(value)
    if parts.scheme == "unix":
        if not parts.path:
            raise ValidationError("expected the path of a socket")
    elif not re.fullmatch(r"(/\d*)?", parts.path):
        raise ValidationError(f"expected a database number, got {parts.path[1:]!r}")
    try:
        ConnectionPool.from_url(value).make_connection()
    except (TypeError, ValueError) as error:
        raise ValidationError(f"redis-py rejects it: {error}") from None


def database(value: str) -> None:
    url("sqlite", "postgres", "postgresql")(value)
    parts = urlsplit(value)
    name = parts.path[1:]
    if not name:
        raise ValidationError("expected the name of a database")
    if parts.scheme == "sqlite" and name == ":memory:":
        raise ValidationError("expected a file: in memory, each process would have its own database")
    if parts.scheme == "sqlite" and name.startswith("/") and not Path(name).parent.is_dir():
        raise ValidationError(f"there is no folder {Path(name).parent}")


def cron(value: str) -> None:
    if not fires(value):
        raise ValidationError(f"{value!r} is not a cron expression of five or six fields that ever matches")


def tokens(value: list[str]) -> None:
    for entry in value:
        name, _, secret = entry.partition(":")
        if not name or len(secret) < 8:
            raise ValidationError("expected name:secret pairs separated by commas, secrets of 8 characters or more")
        if len(name) > LONGEST_TOKEN_NAME:
            raise ValidationError(
                f"expected names of at most {LONGEST_TOKEN_NAME} characters: the audit trail stores them"
            )
    secrets = [entry.partition(":")[2] for entry in value]
    if len(set(secrets)) < len(secrets):
        raise ValidationError("two names have the same secret")


def time_zone(value: str) -> None:
    try:
        read_zone(value)
    except ValueError as error:
        raise ValidationError(str(error)) from None


def hosts(value: list[str]) -> None:
    """Refuse hosts with a scheme or port: Django compares them with bare host names, so they would never match."""
    for host in value:
        if host and not re.fullmatch(r"\*|\.?[\w-]+(\.[\w-]+)*|\[[0-9a-fA-F:.]+\]", host):
            raise ValidationError(f"expected a host name without scheme, port and spaces, got {host!r}")


def origins(value: list[str]) -> None:
    for origin in value:
        if not origin.startswith(("http://", "https://")):
            raise ValidationError(f"expected https://host, got {origin!r}")


def functions(value: list[str]) -> None:
    """Check dotted names as RQ writes them into a job: module.function or module.Class.method."""
    for name in value:
        if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", name):
            raise ValidationError(f"expected dotted names of functions separated by commas, got {name!r}")
        if find_spec(name.partition(".")[0]) is None:  # the rest cannot be checked without importing the module
            raise ValidationError(f"there is no module {name.partition('.')[0]}, in {name!r}")


def header(value: str) -> None:
    if not (value.isascii() and value.isprintable() and value == value.strip()):
        raise ValidationError("expected printable ASCII without line breaks, or spaces around it")
