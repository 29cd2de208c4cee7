"""Every environment variable of the service with its type, default, limits and meaning.

`read()` reports all invalid values together, one line each. Only `settings.py` calls it.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from environs import Env, EnvValidationError
from marshmallow import ValidationError, validate
from redis import ConnectionPool

from scheduler_project.cron_expression import fires
from scheduler_project.moments import read_zone
from scheduler_project.redis_connection import REFUSED, SENTINEL, read_sentinel
from scheduler_project.text import is_storable

DEVELOPMENT_SECRET_KEY = "development-only-secret-key-never-used-in-production"  # noqa: S105
LONGEST_TOKEN_NAME = 100
LOG_LEVELS = ("error", "warn", "info", "debug", "verbose")


class BadEnvironment(Exception):
    """One or more environment variables are missing or invalid; `faults` has one line for each."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("\n".join(faults))


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable: how it is read, and its meaning as in docs/configuration.md."""

    name: str
    kind: str  #: the method of `environs.Env` that reads it
    default: Any
    says: str
    check: Callable[[Any], Any] | None = None


def _positive(minimum: float = 1, maximum: float = 10**9) -> Callable[[Any], Any]:
    return validate.Range(min=minimum, max=maximum, error="expected a number from {min} to {max}, got {input}")


def _one_of(*choices: str) -> Callable[[Any], Any]:
    return validate.OneOf(choices, error="expected one of {choices}; got {input}")


def _url(*schemes: str) -> Callable[[str], None]:
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


def _redis(value: str) -> None:
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
    _url("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")(value)
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


def _database(value: str) -> None:
    _url("sqlite", "postgres", "postgresql")(value)
    parts = urlsplit(value)
    name = parts.path[1:]
    if not name:
        raise ValidationError("expected the name of a database")
    if parts.scheme == "sqlite" and name == ":memory:":
        raise ValidationError("expected a file: in memory, each process would have its own database")
    if parts.scheme == "sqlite" and name.startswith("/") and not Path(name).parent.is_dir():
        raise ValidationError(f"there is no folder {Path(name).parent}")


def _cron(value: str) -> None:
    if not fires(value):
        raise ValidationError(f"{value!r} is not a cron expression of five or six fields that ever matches")


def _tokens(value: list[str]) -> None:
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


def _time_zone(value: str) -> None:
    try:
        read_zone(value)
    except ValueError as error:
        raise ValidationError(str(error)) from None


def _hosts(value: list[str]) -> None:
    """Refuse hosts with a scheme or port: Django compares them with bare host names, so they would never match."""
    for host in value:
        if host and not re.fullmatch(r"\*|\.?[\w-]+(\.[\w-]+)*|\[[0-9a-fA-F:.]+\]", host):
            raise ValidationError(f"expected a host name without scheme, port and spaces, got {host!r}")


def _origins(value: list[str]) -> None:
    for origin in value:
        if not origin.startswith(("http://", "https://")):
            raise ValidationError(f"expected https://host, got {origin!r}")


def _functions(value: list[str]) -> None:
    """Check dotted names as RQ writes them into a job: module.function or module.Class.method."""
    for name in value:
        if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", name):
            raise ValidationError(f"expected dotted names of functions separated by commas, got {name!r}")
        if find_spec(name.partition(".")[0]) is None:  # the rest cannot be checked without importing the module
            raise ValidationError(f"there is no module {name.partition('.')[0]}, in {name!r}")


def _header(value: str) -> None:
    if not (value.isascii() and value.isprintable() and value == value.strip()):
        raise ValidationError("expected printable ASCII without line breaks, or spaces around it")


VARIABLES: tuple[Variable, ...] = (
    Variable("PORT", "int", 9266, "Port of the HTTP server.", _positive(1, 65535)),
    Variable("LOG_LEVEL", "str", "info", "error, warn, info, debug or verbose.", _one_of(*LOG_LEVELS)),
    Variable("SECRET_KEY", "str", DEVELOPMENT_SECRET_KEY, "Django's secret key. Required in production."),
    Variable("ALLOWED_HOSTS", "list", ["*"], "Host names the web process answers to, separated by commas.", _hosts),
    Variable(
        "CSRF_TRUSTED_ORIGINS", "list", [], "Origins (https://host) behind a TLS proxy, separated by commas.", _origins
    ),
    Variable("TIME_ZONE", "str", "UTC", "Time zone of the admin until the browser's is known.", _time_zone),
    Variable(
        "DATABASE_URL",
        "str",
        "sqlite:///var/db.sqlite3",
        "postgres://… or sqlite:///path. Required in production.",
        _database,
    ),
    Variable("DATABASE_POOL_SIZE", "int", 20, "Most database connections of one process.", _positive()),
    Variable(
        "REDIS_URL",
        "str",
        "redis://localhost:6379",
        "Redis, or redis+sentinel://host,host2/mymaster: queues, leases, cache, pub/sub.",
        _redis,
    ),
    Variable(
        "API_URL", "str", "http://localhost:9264/graphql", "The main API's GraphQL endpoint.", _url("http", "https")
    ),
    Variable(
        "API_SERVICE_ACCOUNT_TOKEN",
        "str",
        "",
        "JWT or camp_sk_… key for the main API. Required in production.",
        _header,
    ),
    Variable("CRON_EVENT_EXPIRATION", "str", "*/5 * * * *", "Initial schedule of the event expiration task.", _cron),
    Variable("CRON_SETTLEMENT_GROWTH", "str", "0 * * * *", "Initial schedule of the settlement growth task.", _cron),
    Variable(
        "CRON_STRUCTURE_MAINTENANCE", "str", "0 * * * *", "Initial schedule of the structure maintenance task.", _cron
    ),
    Variable("QUEUE_MAX_RETRIES", "int", 3, "Failed attempts after which a job is a dead letter.", _positive()),
    Variable(
        "QUEUE_RETRY_BACKOFF_MS", "int", 5000, "Backoff before the second attempt; doubles each time.", _positive()
    ),
    Variable("QUEUE_CONCURRENCY", "int", 5, "Jobs one worker process runs at a time.", _positive()),
    Variable("API_REQUEST_TIMEOUT_MS", "int", 10000, "Time limit of one request to the main API.", _positive()),
    Variable(
        "API_CIRCUIT_BREAKER_THRESHOLD",
        "int",
        5,
        "Calls within 10 s before the breaker may open (at 50% faults).",
        _positive(),
    ),
    Variable(
        "API_CIRCUIT_BREAKER_DURATION_MS",
        "int",
        30000,
        "How long the breaker stays open before it probes.",
        _positive(),
    ),
    Variable(
        "EFFECT_UNKNOWN_OUTCOME",
        "str",
        "dead",
        "retry or dead: what to do when an effect's outcome is unknown.",
        _one_of("retry", "dead"),
    ),
    Variable("FEED_HORIZON_SECONDS", "int", 300, "Jobs due within this many seconds are kept in Redis.", _positive()),
    Variable("LEASE_SECONDS", "int", 30, "Heartbeat timeout after which a worker's jobs are reclaimed.", _positive(3)),
    Variable("JOB_TIMEOUT_SECONDS", "int", 60, "Time limit of one attempt of a job.", _positive()),
    Variable("SHUTDOWN_GRACE_SECONDS", "int", 30, "How long a stopping process waits for running jobs.", _positive(0)),
    Variable(
        "RETENTION_COMPLETED", "int", 100, "Finished jobs kept in Redis for the dashboard, per queue.", _positive(0)
    ),
    Variable("RETENTION_FAILED", "int", 500, "Dead letters kept in Redis for the dashboard, per queue.", _positive(0)),
    Variable(
        "RETENTION_DAYS",
        "int",
        30,
        "Days to keep a finished job and its audit trail in the database.",
        _positive(1, 36_500),
    ),
    Variable(
        "RUN_FOREIGN_RQ_JOBS",
        "bool",
        False,
        "Run plain RQ jobs of the functions below. Otherwise they are listed as failed.",
    ),
    Variable(
        "RUN_FOREIGN_RQ_FUNCTIONS",
        "list",
        [],
        "Dotted names of functions and callbacks that plain RQ jobs may call, separated by commas.",
        _functions,
    ),
    Variable("SCHEDULER_API_TOKENS", "list", [], "name:secret pairs for /api/jobs, separated by commas.", _tokens),
    Variable("METRICS_TOKEN", "str", "", "Bearer token that shows reasons in /health. Staff see them too.", _header),
    Variable(
        "ALERT_THROTTLE_SECONDS",
        "int",
        300,
        "Repeats of an alert within this window are counted, not sent.",
        _positive(0),
    ),
    Variable("ALERT_LAG_SECONDS", "int", 300, "Queue time after which an alert is raised.", _positive()),
    Variable(
        "ALERT_ALLOW_PRIVATE_NETWORKS",
        "bool",
        False,
        "Allow alerts to private, loopback and link-local addresses.",
    ),
    Variable("EMAIL_HOST", "str", "localhost", "SMTP server for alerts."),
    Variable("EMAIL_PORT", "int", 25, "SMTP port.", _positive(1, 65535)),
    Variable("EMAIL_HOST_USER", "str", "", "SMTP user (optional)."),
    Variable("EMAIL_HOST_PASSWORD", "str", "", "SMTP password (optional)."),
    Variable("EMAIL_USE_TLS", "bool", False, "Use STARTTLS."),
    Variable("EMAIL_USE_SSL", "bool", False, "Use implicit TLS (port 465)."),
    Variable("EMAIL_FROM", "str", "campaign-scheduler@localhost", "Sender address of alert e-mails.", validate.Email()),
)


def read(dotenv: Path | None = None) -> dict[str, Any]:
    """Return the environment, ENVIRONMENT included, as typed values by name; `dotenv` provides what is not set.

    Raises BadEnvironment with one line for every missing or invalid variable.
    """
    env = Env(eager=False)
    if dotenv and dotenv.exists():
        try:
            env.read_env(str(dotenv), recurse=False)
        except ValueError as error:  # not UTF-8, or a NUL character
            raise BadEnvironment([f"{dotenv.name}: cannot be read: {error}"]) from None
    values: dict[str, Any] = {}
    environment = env.str("ENVIRONMENT", None) or env.str("NODE_ENV", None) or "development"
    values["ENVIRONMENT"] = environment
    for variable in VARIABLES:
        reader = getattr(env, variable.kind)
        values[variable.name] = reader(variable.name, variable.default, validate=variable.check)
    faults = []
    try:
        env.seal()
    except EnvValidationError as error:
        found = dict(error.error_messages) if isinstance(error.error_messages, Mapping) else {"": error.error_messages}
        faults += [f"{name}: {' '.join(map(str, messages))}" for name, messages in found.items()]
    texts = {name: "".join(value) if isinstance(value, list) else value for name, value in values.items()}
    odd = [name for name, value in texts.items() if isinstance(value, str) and not is_storable(value)]
    faults += [f"{name}: contains NUL, or bytes that are not UTF-8" for name in odd]
    faults += _faults_between(values)
    if faults:
        raise BadEnvironment(faults)
    return values


def _faults_between(values: Mapping[str, Any]) -> list[str]:
    """Check the rules that involve several variables, or the environment."""
    faults = []
    environment = values["ENVIRONMENT"]
    if environment not in ("development", "production", "test"):
        faults.append(f"ENVIRONMENT: expected development, production or test, got {environment!r}")
    if environment == "production":
        if not values["API_SERVICE_ACCOUNT_TOKEN"]:
            faults.append("API_SERVICE_ACCOUNT_TOKEN: must be set when ENVIRONMENT=production")
        if values["SECRET_KEY"] == DEVELOPMENT_SECRET_KEY:
            faults.append("SECRET_KEY: must be set when ENVIRONMENT=production")
        if "DATABASE_URL" not in os.environ:  # each container would have its own SQLite file
            faults.append("DATABASE_URL: must be set when ENVIRONMENT=production")
    if values["SECRET_KEY"] == "":
        faults.append("SECRET_KEY: must not be empty")
    if values["EMAIL_USE_TLS"] and values["EMAIL_USE_SSL"]:
        faults.append("EMAIL_USE_SSL: EMAIL_USE_TLS is set, too; set only one of them")
    if values["RUN_FOREIGN_RQ_JOBS"] and not values["RUN_FOREIGN_RQ_FUNCTIONS"]:
        faults.append("RUN_FOREIGN_RQ_JOBS: set RUN_FOREIGN_RQ_FUNCTIONS, too: it lists the functions to run")
    concurrency, pool = values["QUEUE_CONCURRENCY"], values["DATABASE_POOL_SIZE"]
    if concurrency and pool and concurrency + 2 > pool:
        faults.append(
            f"QUEUE_CONCURRENCY: {values['QUEUE_CONCURRENCY']} jobs and 2 housekeeping threads need more database "
            f"connections than DATABASE_POOL_SIZE={values['DATABASE_POOL_SIZE']}: raise it, or lower QUEUE_CONCURRENCY"
        )
    return faults
