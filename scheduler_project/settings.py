"""Django's settings, read from the environment (variables.py lists them)."""

import sys
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import django_stubs_ext
from django.templatetags.static import static
from django.utils.translation import gettext_lazy

from scheduler_project.database import Timeouts, database_settings
from scheduler_project.environment import BadEnvironment, read
from scheduler_project.hosts import proxy_ssl_header
from scheduler_project.languages import FOLDER as LOCALE
from scheduler_project.languages import languages
from scheduler_project.logs import configure_logging

django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent
try:
    _env = read(BASE_DIR / ".env")
except BadEnvironment as bad:
    sys.exit("\n".join(f"environment: {fault}" for fault in bad.faults))

ENVIRONMENT: str = _env["ENVIRONMENT"]
DEBUG = False  # tracebacks go to the log, never to a page
PORT: int = _env["PORT"]
LOG_LEVEL: str = _env["LOG_LEVEL"]
SECRET_KEY: str = _env["SECRET_KEY"]
# A container's health check uses the loopback address, whatever the service's public name is.
ALLOWED_HOSTS: list[str] = [*_env["ALLOWED_HOSTS"], "127.0.0.1", "localhost"]
CSRF_TRUSTED_ORIGINS: list[str] = _env["CSRF_TRUSTED_ORIGINS"]
URL_PREFIX: str = _env["URL_PREFIX"]
PUBLIC_URL: str = _env["PUBLIC_URL"]
TRUSTED_PROXIES: int = _env["TRUSTED_PROXIES"]
FORCE_SCRIPT_NAME = URL_PREFIX or None
SESSION_COOKIE_AGE = int(timedelta(hours=12).total_seconds())
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = f"{URL_PREFIX}/"  # not for what else the host serves
_tls = ENVIRONMENT == "production" and not _env["ALLOW_PLAIN_HTTP"]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = _tls
SECURE_HSTS_SECONDS: int = _env["SECURE_HSTS_SECONDS"] if _tls else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = bool(_env["SECURE_HSTS_INCLUDE_SUBDOMAINS"])
SECURE_PROXY_SSL_HEADER = proxy_ssl_header(_env["SECURE_PROXY_SSL_HEADER"])
SECURE_REDIRECT_EXEMPT = [rf"^({URL_PREFIX[1:]}/)?(health|metrics)(/|$)"]  # probes come directly, over http

REDIS_URL: str = _env["REDIS_URL"]
API_URL: str = _env["API_URL"]
API_SERVICE_ACCOUNT_TOKEN: str = _env["API_SERVICE_ACCOUNT_TOKEN"]
API_LARGEST_ANSWER_MB: int = _env["API_LARGEST_ANSWER_MB"]
API_REQUEST_TIMEOUT = timedelta(milliseconds=_env["API_REQUEST_TIMEOUT_MS"])
API_CIRCUIT_BREAKER_THRESHOLD: int = _env["API_CIRCUIT_BREAKER_THRESHOLD"]
API_CIRCUIT_BREAKER_DURATION = timedelta(milliseconds=_env["API_CIRCUIT_BREAKER_DURATION_MS"])
CRON_EVENT_EXPIRATION: str = _env["CRON_EVENT_EXPIRATION"]
CRON_SETTLEMENT_GROWTH: str = _env["CRON_SETTLEMENT_GROWTH"]
CRON_STRUCTURE_MAINTENANCE: str = _env["CRON_STRUCTURE_MAINTENANCE"]
QUEUE_MAX_RETRIES: int = _env["QUEUE_MAX_RETRIES"]
QUEUE_RETRY_BACKOFF = timedelta(milliseconds=_env["QUEUE_RETRY_BACKOFF_MS"])
QUEUE_CONCURRENCY: int = _env["QUEUE_CONCURRENCY"]
EFFECT_UNKNOWN_OUTCOME: str = _env["EFFECT_UNKNOWN_OUTCOME"]
FEED_HORIZON = timedelta(seconds=_env["FEED_HORIZON_SECONDS"])
LEASE = timedelta(seconds=_env["LEASE_SECONDS"])
JOB_TIMEOUT = timedelta(seconds=_env["JOB_TIMEOUT_SECONDS"])
WORLD_TIME_POLL = timedelta(seconds=_env["WORLD_TIME_POLL_SECONDS"])
SHUTDOWN_GRACE = timedelta(seconds=_env["SHUTDOWN_GRACE_SECONDS"])
RETENTION_COMPLETED: int = _env["RETENTION_COMPLETED"]
RETENTION_FAILED: int = _env["RETENTION_FAILED"]
RETENTION = timedelta(days=_env["RETENTION_DAYS"])
RUN_FOREIGN_RQ_JOBS: bool = _env["RUN_FOREIGN_RQ_JOBS"]
RUN_FOREIGN_RQ_FUNCTIONS = frozenset(_env["RUN_FOREIGN_RQ_FUNCTIONS"])
SCHEDULER_API_TOKENS: dict[str, str] = {
    secret: name for name, _, secret in (entry.partition(":") for entry in _env["SCHEDULER_API_TOKENS"])
}
METRICS_TOKEN: str = _env["METRICS_TOKEN"]
ALERT_THROTTLE = timedelta(seconds=_env["ALERT_THROTTLE_SECONDS"])
ALERT_LAG = timedelta(seconds=_env["ALERT_LAG_SECONDS"])
ALERT_ALLOW_PRIVATE_NETWORKS: bool = _env["ALERT_ALLOW_PRIVATE_NETWORKS"]
EMAIL_HOST: str = _env["EMAIL_HOST"]
EMAIL_PORT: int = _env["EMAIL_PORT"]
EMAIL_HOST_USER: str = _env["EMAIL_HOST_USER"]
EMAIL_HOST_PASSWORD: str = _env["EMAIL_HOST_PASSWORD"]
EMAIL_USE_TLS: bool = _env["EMAIL_USE_TLS"]
EMAIL_USE_SSL: bool = _env["EMAIL_USE_SSL"]
DEFAULT_FROM_EMAIL: str = _env["EMAIL_FROM"]

INSTALLED_APPS = [
    "jobs",  # before django_rq: its rqworker and rqscheduler commands replace django_rq's
    # Jobs run without any of these; the production image lacks the last two.
    *(app for app in ("api", "ops", "monitoring", "sandbox", "benchmarks") if find_spec(app)),
    "unfold.apps.BasicAppConfig",  # before admin: its templates replace admin's
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "scheduler_project.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "axes",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_rq",
    "django_prometheus",
]
MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "scheduler_project.hosts.Hosts",
    "django.middleware.security.SecurityMiddleware",
    "scheduler_project.security_headers.set_headers",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "scheduler_project.request_origin.RequestId",
    "scheduler_project.addresses.clean",
    "scheduler_project.addresses.OddKeys",
    "scheduler_project.time_zone.activate",
    "scheduler_project.languages.activate",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "axes.middleware.AxesMiddleware",  # turns the answer to a locked-out login into a page
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]
ROOT_URLCONF = "scheduler_project.urls"
CSRF_FAILURE_VIEW = "scheduler_project.faults.stale_form"
WSGI_APPLICATION = "scheduler_project.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASE_TIMEOUTS = Timeouts(_env["DATABASE_STATEMENT_TIMEOUT_MS"], _env["DATABASE_LOCK_TIMEOUT_MS"])
DATABASE_POOL_SIZE: int = _env["DATABASE_POOL_SIZE"]
DATABASES = {"default": database_settings(_env["DATABASE_URL"], DATABASE_POOL_SIZE, DATABASE_TIMEOUTS, base=BASE_DIR)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
AUTHENTICATION_BACKENDS = ["scheduler_project.backend.Backend", "django.contrib.auth.backends.ModelBackend"]
# By address: a lock by name would let anybody lock out the administrators.
AXES_LOCKOUT_PARAMETERS = ["ip_address"]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_CLIENT_IP_CALLABLE = "scheduler_project.request_origin.client_address"
AXES_USERNAME_CALLABLE = "scheduler_project.request_origin.login_name"
AXES_LOCKOUT_CALLABLE = "scheduler_project.faults.locked_out"
AXES_DISABLE_ACCESS_LOG = True  # the log has them
AXES_ENABLE_ADMIN = False  # ops/admin/logins.py
AXES_VERBOSE = False
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

USE_TZ = True
TIME_ZONE: str = _env["TIME_ZONE"]
# One language for the whole service, whatever browsers accept: alerts, and what is stored, have no reader yet.
USE_I18N = True
LANGUAGE_CODE: str = _env["LANGUAGE_CODE"]
LANGUAGES = languages()
LOCALE_PATHS = [LOCALE]
FORMAT_MODULE_PATH = ["scheduler_project.formats"]
STATIC_URL = f"{URL_PREFIX}/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = True  # works before collectstatic too, as in `make up`

#: Queue names in the order in which workers empty them.
QUEUE_NAMES = ("critical", "high", "normal", "low")
RQ_QUEUES = {
    name: {
        "URL": REDIS_URL,
        "DEFAULT_TIMEOUT": int(JOB_TIMEOUT.total_seconds()),
        "SERIALIZER": "rq.serializers.JSONSerializer",  # see jobs/broker/rq_guard.py
    }
    # django-rq's own commands (rqsuspend, rqresume) and enqueue() use "default"; workers empty it last.
    for name in (*QUEUE_NAMES, "default")
}
RQ = {
    "WORKER_CLASS": "jobs.engine.worker.worker.Worker",
    "QUEUE_CLASS": "jobs.broker.queue.Queue",
    "SCHEDULER_CLASS": "jobs.engine.scheduler.rq_scheduler.RQScheduler",
}
RQ_SHOW_ADMIN_LINK = False

# Unfold takes callbacks as dotted names and imports them for the first page: settings cannot import ops/.
MENU = "ops.admin.navigation.navigation"
PALETTE = "ops.admin.palette.find"
UNFOLD = {
    "SITE_TITLE": gettext_lazy("Campaign scheduler"),
    "SITE_HEADER": gettext_lazy("Campaign scheduler"),
    "SITE_SUBHEADER": gettext_lazy("Operations"),
    "SITE_SYMBOL": "hourglass_top",
    "SITE_URL": None,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda _: static("ops/favicon.svg")}],
    "SHOW_HISTORY": False,
    "SHOW_BACK_BUTTON": True,
    "ENVIRONMENT": "ops.admin.navigation.environment",
    "STYLES": [
        lambda _: static("ops/ops.css"),
        lambda _: static("ops/control.css"),
        lambda _: static("ops/live.css"),
        lambda _: static("ops/access.css"),
    ],
    "SCRIPTS": [lambda _: static("ops/ops.js"), lambda _: static("ops/morph.js"), lambda _: static("ops/live.js")],
    "DASHBOARD_CALLBACK": "ops.admin.dashboard.callback",
    "SIDEBAR": {"command_search": True},
    "COLORS": {
        "primary": {
            "50": "oklch(97% .014 254.6)",
            "100": "oklch(93.2% .032 255.6)",
            "200": "oklch(88.2% .059 254.1)",
            "300": "oklch(80.9% .105 251.8)",
            "400": "oklch(70.7% .165 254.6)",
            "500": "oklch(62.3% .214 259.8)",
            "600": "oklch(54.6% .245 262.9)",
            "700": "oklch(48.8% .243 264.4)",
            "800": "oklch(42.4% .199 265.6)",
            "900": "oklch(37.9% .146 265.5)",
            "950": "oklch(28.2% .091 267.9)",
        },
    },
}

LOGGING_CONFIG = None
configure_logging(
    LOG_LEVEL,
    as_json=ENVIRONMENT == "production",
    secrets=[
        *(SECRET_KEY, API_SERVICE_ACCOUNT_TOKEN, METRICS_TOKEN, EMAIL_HOST_PASSWORD, *SCHEDULER_API_TOKENS),
        *(urlsplit(url).password or "" for url in (REDIS_URL, API_URL, _env["DATABASE_URL"])),
    ],
)
