"""Checks of the URLs of Redis and the database, as redis-py, psycopg and SQLite read them."""

import re
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import dj_database_url
from marshmallow import ValidationError
from redis import ConnectionPool

from scheduler_project.database import pooler_faults
from scheduler_project.redis_connection import REFUSED, SENTINEL, read_sentinel
from scheduler_project.variable_checks import url

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
#: Options of a database URL that psycopg or Django take beside those of libpq.
MORE_OPTIONS = frozenset({"prepare_threshold", "assume_role", "pool_mode"})
_REDIS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_ca_path")
_DATABASE_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile")


def redis(value: str) -> None:
    """Check what redis-py checks only when it connects, or never: it reads /abc as database 0."""
    scheme = value.partition("://")[0]
    options = dict(parse_qsl(value.partition("?")[2]))
    if refused := sorted(set(options) & set(REFUSED)):
        raise ValidationError(f"{', '.join(refused)} cannot be set: replies are read as bytes")
    _readable({name: options[name] for name in _REDIS_FILES if name in options})
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
    elif not re.fullmatch(r"(/\d*)?", parts.path, re.ASCII):
        raise ValidationError("expected the number of a database after the host")
    try:
        ConnectionPool.from_url(value).make_connection()
    except (TypeError, ValueError) as error:
        raise ValidationError(f"redis-py rejects it: {error}") from None


def database(value: str) -> None:
    url("sqlite", "postgres", "postgresql")(value)
    parts = urlsplit(value)
    name = unquote(parts.path[1:])
    if parts.scheme == "sqlite" and parts.netloc:
        raise ValidationError("expected three slashes before a relative path, four before an absolute one")
    if not name:
        raise ValidationError("expected the name of a database")
    if parts.scheme == "sqlite":
        _sqlite(name, parts.query)
    else:
        _postgresql(value)


def _sqlite(name: str, query: str) -> None:
    if name == ":memory:":
        raise ValidationError("expected a file: in memory, each process would have its own database")
    if name.startswith("/") and not Path(name).parent.is_dir():
        raise ValidationError(f"there is no folder {Path(name).parent}")
    if Path(name).is_dir():
        raise ValidationError(f"expected a file, not the folder {name}")
    if query:
        raise ValidationError("expected no options: the service sets those of SQLite")


def _postgresql(value: str) -> None:
    from psycopg import ProgrammingError, conninfo  # only here: it loads libpq, which SQLite does without

    options = dj_database_url.parse(value).get("OPTIONS", {})
    try:
        conninfo.make_conninfo("", **{name: given for name, given in options.items() if name not in MORE_OPTIONS})
    except ProgrammingError as error:
        raise ValidationError(f"libpq rejects an option: {str(error).strip()}") from None
    if faults := pooler_faults(options):
        raise ValidationError("; ".join(faults))
    if (mode := options.get("sslmode", "prefer")) not in SSL_MODES:
        raise ValidationError(f"expected one of {', '.join(SSL_MODES)} for sslmode, not {mode!r}")
    for name in ("connect_timeout", "prepare_threshold"):
        if not isinstance(options.get(name, 0), int):
            raise ValidationError(f"expected a whole number for {name}")
    _readable({name: str(options[name]) for name in _DATABASE_FILES if options.get(name, "system") != "system"})


def _readable(files: dict[str, str]) -> None:
    for name, path in files.items():
        try:
            if not Path(path).is_dir():
                Path(path).open("rb").close()
        except OSError as error:
            raise ValidationError(f"{name}: cannot read {path}: {error.strerror}") from None
