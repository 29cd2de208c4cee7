"""Every environment variable of the service with its type, default, limits and meaning."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from marshmallow import validate

from scheduler_project import store_checks
from scheduler_project import variable_checks as check
from scheduler_project.languages import ENGLISH

DEVELOPMENT_SECRET_KEY = "development-only-secret-key-never-used-in-production"  # noqa: S105 - production refuses it
LOG_LEVELS = ("error", "warn", "info", "debug", "verbose")


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable: how it is read, and its meaning as in docs/configuration.md."""

    name: str
    kind: str  #: the method of `environs.Env` that reads it
    default: Any
    says: str
    check: Callable[[Any], Any] | None = None
    is_secret: bool = False  #: no message shows the value


VARIABLES: tuple[Variable, ...] = (
    Variable("PORT", "int", 9266, "Port of the HTTP server.", check.number(1, 65535)),
    Variable("LOG_LEVEL", "str", "info", "error, warn, info, debug or verbose.", check.one_of(*LOG_LEVELS)),
    Variable(
        "SECRET_KEY", "str", DEVELOPMENT_SECRET_KEY, "Django's secret key. Required in production.", is_secret=True
    ),
    Variable(
        "ALLOWED_HOSTS", "list", ["*"], "Host names the web process answers to, separated by commas.", check.hosts
    ),
    Variable(
        "CSRF_TRUSTED_ORIGINS",
        "list",
        [],
        "Origins (https://host) behind a TLS proxy, separated by commas.",
        check.origins,
    ),
    Variable(
        "URL_PREFIX", "str", "", "Path below which a proxy serves the scheduler, such as /scheduler.", check.url_prefix
    ),
    Variable(
        "PUBLIC_URL",
        "str",
        "",
        "Where people reach the admin, such as https://ops.example.org: alerts link to it.",
        check.public_url,
    ),
    Variable(
        "SECURE_PROXY_SSL_HEADER",
        "str",
        "",
        "What a proxy that ends TLS sends: X-Forwarded-Proto: https.",
        check.proxy_header,
    ),
    Variable(
        "SECURE_HSTS_SECONDS",
        "int",
        31_536_000,
        "How long browsers use https only, in production.",
        check.number(0, 315_360_000),
    ),
    Variable(
        "SECURE_HSTS_INCLUDE_SUBDOMAINS", "bool", True, "Whether that holds for subdomains and preload lists, too."
    ),
    Variable(
        "TRUSTED_PROXIES", "int", 0, "Number of proxies in front, each adding to X-Forwarded-For.", check.number(0, 10)
    ),
    Variable("ALLOW_PLAIN_HTTP", "bool", False, "Production without TLS: no redirect, no HSTS, cookies over http."),
    Variable("TIME_ZONE", "str", "UTC", "Time zone of the admin until the browser's is known.", check.time_zone),
    Variable(
        "LANGUAGE_CODE", "str", ENGLISH, "Language of pages and alerts: one of locale/, or en-gb.", check.language
    ),
    Variable(
        "DATABASE_URL",
        "str",
        "sqlite:///var/db.sqlite3",
        "postgres://… or sqlite:///path. Required in production.",
        store_checks.database,
    ),
    Variable("DATABASE_POOL_SIZE", "int", 20, "Most database connections of one process.", check.number(1, 1_000)),
    Variable(
        "DATABASE_STATEMENT_TIMEOUT_MS",
        "int",
        30000,
        "Time limit of one statement on PostgreSQL; 0 is none. Migrations have none.",
        check.number(0, 2**30),
    ),
    Variable(
        "DATABASE_LOCK_TIMEOUT_MS",
        "int",
        10000,
        "How long a statement waits for a lock; on SQLite, for another writer.",
        check.number(0, 2**30),
    ),
    Variable(
        "REDIS_URL",
        "str",
        "redis://localhost:6379",
        "Redis, or redis+sentinel://host,host2/mymaster: queues, leases, cache, pub/sub.",
        store_checks.redis,
    ),
    Variable(
        "API_URL",
        "str",
        "http://localhost:9264/graphql",
        "The main API's GraphQL endpoint.",
        check.api_url,
    ),
    Variable("ALLOW_LOOPBACK_API", "bool", False, "Production whose API_URL is on this machine."),
    Variable(
        "API_SERVICE_ACCOUNT_TOKEN",
        "str",
        "",
        "JWT or camp_sk_… key for the main API. Required in production.",
        check.token,
        is_secret=True,
    ),
    Variable(
        "CRON_EVENT_EXPIRATION", "str", "*/5 * * * *", "Initial schedule of the event expiration task.", check.cron
    ),
    Variable(
        "CRON_SETTLEMENT_GROWTH", "str", "0 * * * *", "Initial schedule of the settlement growth task.", check.cron
    ),
    Variable(
        "CRON_STRUCTURE_MAINTENANCE",
        "str",
        "0 * * * *",
        "Initial schedule of the structure maintenance task.",
        check.cron,
    ),
    Variable(
        "QUEUE_MAX_RETRIES", "int", 3, "Failed attempts after which a job is a dead letter.", check.number(1, 1_000)
    ),
    Variable(
        "QUEUE_RETRY_BACKOFF_MS",
        "int",
        5000,
        "Backoff before the second attempt; doubles each time.",
        check.number(1, 3_600_000),
    ),
    Variable("QUEUE_CONCURRENCY", "int", 5, "Jobs one worker process runs at a time.", check.number(1, 1_000)),
    Variable(
        "API_REQUEST_TIMEOUT_MS", "int", 10000, "Time limit of one request to the main API.", check.number(1, 3_600_000)
    ),
    Variable(
        "API_LARGEST_ANSWER_MB",
        "int",
        8,
        "Largest answer of the main API; the list of all campaigns takes 1 MB for some 9,000.",
        check.number(1, 1_024),
    ),
    Variable(
        "API_CIRCUIT_BREAKER_THRESHOLD",
        "int",
        5,
        "Calls within 10 s before the breaker may open (at 50% faults).",
        check.number(1, 1_000_000),
    ),
    Variable(
        "API_CIRCUIT_BREAKER_DURATION_MS",
        "int",
        30000,
        "How long the breaker stays open before it probes.",
        check.number(1, 86_400_000),
    ),
    Variable(
        "EFFECT_UNKNOWN_OUTCOME",
        "str",
        "dead",
        "retry or dead: what to do when an effect's outcome is unknown.",
        check.one_of("retry", "dead"),
    ),
    Variable(
        "FEED_HORIZON_SECONDS",
        "int",
        300,
        "Jobs due within this many seconds are kept in Redis.",
        check.number(1, 31_536_000),
    ),
    Variable(
        "LEASE_SECONDS",
        "int",
        30,
        "Heartbeat timeout after which a worker's jobs are reclaimed.",
        check.number(3, 3_600),
    ),
    Variable("JOB_TIMEOUT_SECONDS", "int", 60, "Time limit of one attempt of a job.", check.number(1, 86_400)),
    Variable(
        "WORLD_TIME_POLL_SECONDS",
        "int",
        5,
        "Time between two polls of all world times while they find changes that no message told; 0 is never.",
        check.number(0, 3_600),
    ),
    Variable(
        "SHUTDOWN_GRACE_SECONDS",
        "int",
        30,
        "How long a stopping process waits for running jobs.",
        check.number(0, 86_400),
    ),
    Variable(
        "RETENTION_COMPLETED",
        "int",
        100,
        "Finished jobs kept in Redis for the dashboard, per queue.",
        check.number(0, 1_000_000),
    ),
    Variable(
        "RETENTION_FAILED",
        "int",
        500,
        "Dead letters kept in Redis for the dashboard, per queue.",
        check.number(0, 1_000_000),
    ),
    Variable(
        "RETENTION_DAYS",
        "int",
        30,
        "Days to keep a finished job and its audit trail; dead letters stay until they are retried or discarded.",
        check.number(1, 36_500),
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
        check.functions,
    ),
    Variable(
        "SCHEDULER_API_TOKENS",
        "list",
        [],
        "name:secret pairs for /api/jobs, separated by commas.",
        check.tokens,
        is_secret=True,
    ),
    Variable(
        "METRICS_TOKEN",
        "str",
        "",
        "Bearer token that shows reasons in /health. Staff see them too.",
        check.long_token,
        is_secret=True,
    ),
    Variable(
        "ALERT_THROTTLE_SECONDS",
        "int",
        300,
        "Repeats of an alert within this window are counted, not sent.",
        check.number(0, 31_536_000),
    ),
    Variable(
        "ALERT_LAG_SECONDS", "int", 300, "Queue time after which an alert is raised.", check.number(1, 31_536_000)
    ),
    Variable(
        "ALERT_ALLOW_PRIVATE_NETWORKS",
        "bool",
        False,
        "Allow alerts to private, loopback and link-local addresses.",
    ),
    Variable("EMAIL_HOST", "str", "localhost", "SMTP server for alerts.", check.host),
    Variable("EMAIL_PORT", "int", 25, "SMTP port.", check.number(1, 65535)),
    Variable("EMAIL_HOST_USER", "str", "", "SMTP user (optional).", check.credential),
    Variable("EMAIL_HOST_PASSWORD", "str", "", "SMTP password (optional).", check.credential, is_secret=True),
    Variable("EMAIL_USE_TLS", "bool", False, "Use STARTTLS."),
    Variable("EMAIL_USE_SSL", "bool", False, "Use implicit TLS (port 465)."),
    Variable(
        "EMAIL_FROM",
        "str",
        "campaign-scheduler@localhost",
        "Sender address of alert e-mails.",
        validate.Email(error="expected one e-mail address, such as scheduler@example.org"),
    ),
)
