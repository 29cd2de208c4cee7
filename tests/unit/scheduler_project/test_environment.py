"""The environment: all invalid variables are reported at once, one line each."""

import re
from pathlib import Path

import pytest

from scheduler_project.environment import BadEnvironment, read
from scheduler_project.variables import DEVELOPMENT_SECRET_KEY, VARIABLES
from tests.support import forked
from tests.support.environment import PRODUCTION
from tests.support.servers import ROOT

KEY = PRODUCTION["SECRET_KEY"]


def test_all_invalid_variables_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has its own line, beginning with its name."""
    bad = {
        "PORT": "99999",
        "REDIS_URL": "http://x",
        "QUEUE_CONCURRENCY": "many",
        "CRON_EVENT_EXPIRATION": "never",
        "LOG_LEVEL": "loud",
        "EFFECT_UNKNOWN_OUTCOME": "maybe",
        "SCHEDULER_API_TOKENS": "nocolon",
        "TIME_ZONE": "Mars/Base",
        "CSRF_TRUSTED_ORIGINS": "example.org",
        "API_URL": "http://[",
        "DATABASE_URL": "postgres://db:port/x",
        "CRON_SETTLEMENT_GROWTH": "0 0 31 2 *",
        "SECRET_KEY": "",
        "CRON_STRUCTURE_MAINTENANCE": "* * * * * * *",
        "LEASE_SECONDS": "1",
        "RETENTION_DAYS": "9999999999",
        "QUEUE_RETRY_BACKOFF_MS": "1" + "0" * 30,
        "API_SERVICE_ACCOUNT_TOKEN": "a\nb",
    }
    for name, value in bad.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(BadEnvironment) as caught:
        read()

    assert {fault.split(":")[0] for fault in caught.value.faults} == set(bad)


@pytest.mark.parametrize("held", [b"EMAIL_HOST_USER=a\0b", b"EMAIL_HOST_USER=\xff"])
def test_an_unreadable_file_is_reported(tmp_path: Path, held: bytes) -> None:
    """In one line, as a variable is."""
    dotenv = tmp_path / ".env"
    dotenv.write_bytes(held)

    with pytest.raises(BadEnvironment, match=r"^(\.env: cannot be read|EMAIL_HOST_USER: contains NUL)"):
        read(dotenv)


def test_production_needs_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Defaults of development are missing or rejected there."""
    needed = {
        "API_SERVICE_ACCOUNT_TOKEN",
        "SECRET_KEY",
        "DATABASE_URL",
        "ALLOWED_HOSTS",
        "API_URL",
        "SECURE_PROXY_SSL_HEADER",
    }
    monkeypatch.setenv("ENVIRONMENT", "production")
    for name in needed:
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(BadEnvironment) as caught:
        read()

    assert {fault.split(":")[0] for fault in caught.value.faults} == needed


@pytest.mark.parametrize(
    ("name", "bad", "good"),
    [
        ("SECRET_KEY", ["short", "x" * 80, "abcd" * 20, "django-insecure-" + KEY, DEVELOPMENT_SECRET_KEY], [KEY]),
        ("ALLOWED_HOSTS", ["*", "", "web,*"], ["web", ".example.org"]),
        (
            "API_URL",
            [
                "http://localhost:9264/graphql",
                "http://127.0.0.1/",
                "http://[::1]/",
                "http://0.0.0.0/",
                "http://[::ffff:127.0.0.1]/",
                "http://2130706433/",
            ],
            ["http://api:3000/graphql"],
        ),
        ("SECURE_PROXY_SSL_HEADER", [""], ["X-Forwarded-Proto: https"]),
        ("TRUSTED_PROXIES", ["0"], ["1", "2"]),
    ],
)
def test_production_is_hardened_or_refuses_to_start(
    monkeypatch: pytest.MonkeyPatch, name: str, bad: list[str], good: list[str]
) -> None:
    """Each weakness is named; the two that a closed network may accept have variables."""
    for variable, value in PRODUCTION.items():
        monkeypatch.setenv(variable, value)
    for value in good:
        monkeypatch.setenv(name, value)
        assert read()[name]
    for value in bad:
        monkeypatch.setenv(name, value)
        with pytest.raises(BadEnvironment) as caught:
            read()
        assert [fault.partition(":")[0] for fault in caught.value.faults] == [name], value

    monkeypatch.setenv("ALLOW_LOOPBACK_API", "true")
    monkeypatch.setenv("ALLOW_PLAIN_HTTP", "true")
    if name in ("API_URL", "SECURE_PROXY_SSL_HEADER"):
        assert read()[name] == bad[-1]


def test_node_env_is_still_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """ENVIRONMENT takes precedence."""
    monkeypatch.delenv("ENVIRONMENT")
    monkeypatch.setenv("NODE_ENV", "test")

    assert read()["ENVIRONMENT"] == "test"


@pytest.mark.parametrize("node_env", [None, "", "production"])
def test_an_empty_environment_is_not_development(monkeypatch: pytest.MonkeyPatch, node_env: str | None) -> None:
    """Compose makes it of a variable that is not set; development has a secret key that everybody knows."""
    monkeypatch.setenv("ENVIRONMENT", "")
    if node_env is not None:
        monkeypatch.setenv("NODE_ENV", node_env)
    with pytest.raises(BadEnvironment, match="ENVIRONMENT: expected development, production or test; got ''"):
        read()

    monkeypatch.delenv("ENVIRONMENT")
    monkeypatch.setenv("NODE_ENV", "")
    with pytest.raises(BadEnvironment, match="ENVIRONMENT: expected development"):
        read()


def test_the_predecessor_s_variables_keep_their_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Development needs none of them to start."""
    for name in [v.name for v in VARIABLES] + ["ENVIRONMENT", "NODE_ENV"]:
        monkeypatch.delenv(name, raising=False)
    seed = {
        "ENVIRONMENT": "development",
        "PORT": 9266,
        "LOG_LEVEL": "info",
        "REDIS_URL": "redis://localhost:6379",
        "API_URL": "http://localhost:9264/graphql",
        "CRON_EVENT_EXPIRATION": "*/5 * * * *",
        "CRON_SETTLEMENT_GROWTH": "0 * * * *",
        "CRON_STRUCTURE_MAINTENANCE": "0 * * * *",
        "QUEUE_MAX_RETRIES": 3,
        "QUEUE_RETRY_BACKOFF_MS": 5000,
        "QUEUE_CONCURRENCY": 5,
        "API_REQUEST_TIMEOUT_MS": 10000,
        "API_CIRCUIT_BREAKER_THRESHOLD": 5,
        "API_CIRCUIT_BREAKER_DURATION_MS": 30000,
    }

    assert seed.items() <= read().items()


def test_two_tokens_need_two_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise nobody could say who acted."""
    monkeypatch.setenv("SCHEDULER_API_TOKENS", "ann:12345678,bob:12345678")

    with pytest.raises(BadEnvironment, match="SCHEDULER_API_TOKENS: two names have the same secret"):
        read()


def test_concurrency_must_fit_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """More jobs at once than database connections is a startup error that names both variables."""
    monkeypatch.setenv("QUEUE_CONCURRENCY", "50")

    with pytest.raises(BadEnvironment, match=r"QUEUE_CONCURRENCY.*DATABASE_POOL_SIZE"):
        read()


def test_an_invalid_value_stops_the_start_without_a_traceback() -> None:
    """One line, exit code 1."""
    ended = forked.run("manage.py", "check", variables={"PORT": "0"})

    assert ended.returncode == 1
    assert ended.stderr.startswith("environment: PORT:")
    assert len(ended.stderr.splitlines()) == 1


def test_every_variable_is_documented() -> None:
    """The table and the example have them all, in order and in the words of their declaration."""
    table = (ROOT / "docs" / "configuration.md").read_text()
    rows = re.findall(r"^\| `([A-Z_]+)` \| .+ \| (.+) \|$", table, re.MULTILINE)
    example = (ROOT / ".env.example").read_text()
    entries = re.findall(r"^# (.+)\n#? ?([A-Z_]+)=", example, re.MULTILINE)

    assert rows[0][0] == entries[0][1] == "ENVIRONMENT"
    assert rows[1:] == [(v.name, v.says) for v in VARIABLES]
    assert entries[1:] == [(v.says, v.name) for v in VARIABLES]


@pytest.mark.parametrize("value", ["len", "builtins.len()", "os.system;x", "no_such_module.f", "a..b", " "])
def test_functions_of_foreign_jobs_are_dotted_names(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Names that RQ or Python cannot use are an error of the variable; so is true without any name."""
    monkeypatch.setenv("RUN_FOREIGN_RQ_FUNCTIONS", value)
    with pytest.raises(BadEnvironment) as told:
        read()
    assert told.value.faults[0].startswith("RUN_FOREIGN_RQ_FUNCTIONS: ")

    monkeypatch.setenv("RUN_FOREIGN_RQ_FUNCTIONS", "")
    monkeypatch.setenv("RUN_FOREIGN_RQ_JOBS", "true")
    with pytest.raises(BadEnvironment, match="RUN_FOREIGN_RQ_JOBS: set RUN_FOREIGN_RQ_FUNCTIONS"):
        read()
