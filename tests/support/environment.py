"""The environment of the tests, set before Django reads its settings: the machine's own variables do not matter."""

import os
import tempfile
from pathlib import Path

from sandbox.dialect import DIALECTS, TOKENS
from sandbox.ports import free_port
from scheduler_project.variables import VARIABLES

FOLDER = Path(tempfile.mkdtemp(prefix="scheduler-tests-"))
REDIS_PORT = free_port()
API_PORT = free_port()
DIALECT = os.environ.get("SANDBOX_DIALECT", "contract")  #: of every sandbox; `make test-today` sets it
if DIALECT not in DIALECTS:
    raise ValueError(f"SANDBOX_DIALECT: got {DIALECT!r}; known: {', '.join(DIALECTS)}")
TOKEN = TOKENS[DIALECT]
DATABASE_URL = os.environ.get("TEST_DATABASE_URL", f"sqlite:///{FOLDER / 'db.sqlite3'}")

for variable in VARIABLES:
    os.environ.pop(variable.name, None)
os.environ |= {
    "ENVIRONMENT": "test",
    "LOG_LEVEL": "info",
    "DATABASE_URL": DATABASE_URL,
    "REDIS_URL": f"redis://127.0.0.1:{REDIS_PORT}",
    "API_URL": f"http://127.0.0.1:{API_PORT}/graphql",
    "API_SERVICE_ACCOUNT_TOKEN": TOKEN,
    "API_REQUEST_TIMEOUT_MS": "10000",
    "API_CIRCUIT_BREAKER_DURATION_MS": "1500",
    "QUEUE_RETRY_BACKOFF_MS": "200",
    "LEASE_SECONDS": "10",
    "SHUTDOWN_GRACE_SECONDS": "10",
    "SCHEDULER_API_TOKENS": "tests:secret-of-tests",
    "ALERT_ALLOW_PRIVATE_NETWORKS": "true",
    "CRON_EVENT_EXPIRATION": "0 0 1 1 *",
    "CRON_SETTLEMENT_GROWTH": "0 0 1 1 *",
    "CRON_STRUCTURE_MAINTENANCE": "0 0 1 1 *",
}

#: What production requires beside the above, for processes that tests start.
PRODUCTION = {
    "ENVIRONMENT": "production",
    "SECRET_KEY": "a-secret-key-for-tests-Aeph7ohthie1ahShohz5Ahgh4ooWoowah3ThiChe",
    "ALLOWED_HOSTS": "scheduler.example",
    "API_URL": "https://api.example/graphql",
    "SECURE_PROXY_SSL_HEADER": "X-Forwarded-Proto: https",
    "TRUSTED_PROXIES": "1",
}
