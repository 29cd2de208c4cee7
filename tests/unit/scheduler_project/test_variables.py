"""Every variable, with valid and invalid values."""

import re
from pathlib import Path

import pytest

from scheduler_project.environment import BadEnvironment, read
from scheduler_project.variables import VARIABLES
from tests.support.servers import ROOT

PATH = str(ROOT / "pyproject.toml")  # a file that is there
NUMBER = ["", " ", "x", "NaN", "inf", "1.5", "1e3", "1_0", " 5", "٣", "0x10", "-1", "9" * 5000]
BOOL = (["true", "false", "1", "0", "yes", "no"], ["", "maybe", "2", "-1", "true,false"])
CRON = (["*/5 * * * *", "0 0 1 1 *", "*/10 * * * * *"], ["", "never", "0 0 31 2 *", "* * * * * * *", "*/61 * * * *"])
TOKEN = [
    "a b",
    "a,b-and-more",
    "Bearer abcdefgh",
    "naïve-token",
    "a\nb-and-more",
    " abcdefgh",
    "abcdefgh\t",
    "half \udc83",
]


def numbers(low: int, high: int) -> tuple[list[str], list[str]]:
    return [str(low), str(high)], [*NUMBER, str(low - 1), str(high + 1)]


#: name: (good values, bad values)
TABLE: dict[str, tuple[list[str], list[str]]] = {
    "ENVIRONMENT": (["development", "test"], ["", "prod", "Production", "staging", "a\nb"]),
    "PORT": numbers(1, 65535),
    "LOG_LEVEL": (["error", "verbose"], ["", "loud", "INFO", "warning"]),
    "SECRET_KEY": (["anything", "ü" * 50], [""]),
    "ALLOWED_HOSTS": (
        ["", "*", "web", "campaign_scheduler", "scheduler.example,.example.org,10.0.0.1,[::1]", "Scheduler.Example"],
        [
            "https://scheduler.example",
            "scheduler.example:443",
            "one.example, other.example",
            "*.example.org",
            "a/b",
            "::1",
            "[::g]",
            "example.org.",
            "zürich.example",
            "a,,b",
            " ",
        ],
    ),
    "CSRF_TRUSTED_ORIGINS": (
        [
            "",
            "https://example.org",
            "http://localhost:8080,https://[::1]:8443",
            "https://*.example.org",
            "https://*.example.org:8443",
            "https://campaign_scheduler",
        ],
        [
            "example.org",
            "https://example.org/",
            "https://example.org/admin",
            "https://Example.org",
            "HTTPS://example.org",
            "https://example.org:443",
            "http://example.org:80",
            "https://",
            "https://*",
            "https://user@example.org",
            "ftp://a",
            "https://a, https://b",
            "https://a.example?x",
            "https://a:0",
            "https://a:99999",
            "https://a:",
            "https://zürich",
            "https://x.*.org",
            "https://[::1",
            "*",
            "null",
            "a,,b",
        ],
    ),
    "URL_PREFIX": (
        ["", "/scheduler", "/ops/scheduler-1.0"],
        ["/", "scheduler", "/a/", "//a", "/a b", "/a%20b", "/../a", "/é"],
    ),
    "PUBLIC_URL": (
        ["", "https://ops.example.org", "http://localhost:9266", "https://[::1]:8443", "https://campaign_scheduler"],
        [
            "ops.example.org",
            "https://ops.example.org/",
            "https://ops.example.org/admin",
            "https://*.example.org",
            "https://",
            "https://a,https://b",
            "https://user@example.org",
            "ftp://a",
            "https://Example.org",
            "https://a b",
            "*",
        ],
    ),
    "SECURE_PROXY_SSL_HEADER": (
        ["", "X-Forwarded-Proto: https", "X-Forwarded-Ssl:on"],
        [
            "true",
            "https",
            "X-Forwarded-Proto",
            "X-Forwarded-Proto=https",
            "HTTP_X_FORWARDED_PROTO: https",
            "A: b, c",
            "A:",
            "X-Forwarded-Proto: https\nB: c",
            "X-Forwarded-Proto: HTTPS",
            "('HTTP_X_FORWARDED_PROTO', 'https')",
        ],
    ),
    "SECURE_HSTS_SECONDS": numbers(0, 315_360_000),
    "SECURE_HSTS_INCLUDE_SUBDOMAINS": BOOL,
    "TRUSTED_PROXIES": numbers(0, 10),
    "ALLOW_PLAIN_HTTP": BOOL,
    "TIME_ZONE": (["UTC", "Europe/Berlin"], ["", "Mars/Base", "Europe", "/etc/passwd", "../x", "CET6CET", "localtime"]),
    "LANGUAGE_CODE": (["en-gb"], ["", "en", "EN-GB", "english", "xx", "../locale", "en-gb,de"]),
    "DATABASE_URL": (
        [
            "sqlite:///var/db.sqlite3",
            "sqlite:////tmp/db.sqlite3",
            "postgres://%2Frun%2Fpostgresql/scheduler",
            "postgresql://u:p%40@[::1]:5432/scheduler?sslmode=require&connect_timeout=5",
            "postgres://h/d?prepare_threshold=0",
            f"postgres://h/d?sslmode=verify-full&sslrootcert={PATH}",
            "postgres://h/d?sslrootcert=system",
            "postgres://h/d?pool_mode=transaction",
        ],
        [
            "",
            "mysql://h/d",
            "postgres:///d",
            "postgres://h:port/d",
            "postgres://h:99999/d",
            "postgres://h:0/d",
            "postgres://h",
            "postgres://user:word@host:5432/",
            "sqlite://",
            "sqlite://var/db.sqlite3",
            "sqlite:///:memory:",
            "sqlite:////tmp",
            "sqlite:////no/such/folder/db.sqlite3",
            "sqlite:///x.db?mode=ro",
            "postgres://h/d?foo=1",
            "postgres://h/d?sslmode=yes",
            "postgres://h/d?connect_timeout=soon",
            "postgres://h/d?sslrootcert=/no/such.pem",
            "postgres://[::1/d",
            "postgres://h /d",
            "postgres://h/d?pool_mode=statement",
            "postgres://h/d?pool_mode=transaction&options=-c%20jit=off",
        ],
    ),
    "DATABASE_POOL_SIZE": (["7", "1000"], [*NUMBER, "0", "1001"]),
    "DATABASE_STATEMENT_TIMEOUT_MS": (["0", "30000"], [*NUMBER, "-1", str(2**31)]),
    "DATABASE_LOCK_TIMEOUT_MS": (["0", "10000"], [*NUMBER, "-1", str(2**31)]),
    "REDIS_URL": (
        [
            "redis://localhost",
            "redis://:word@localhost:6379/2?socket_timeout=5",
            "rediss://localhost/?ssl_cert_reqs=none",
            "unix:///run/redis.sock?db=1",
            "redis+sentinel://:pw@one:1,two/mymaster/3",
            f"rediss://h?ssl_ca_certs={PATH}",
        ],
        [
            "",
            "http://x",
            "redis://",
            "redis://h:0",
            "redis://h:99999",
            "redis://localhost/main",
            "redis://localhost?timeout=5",
            "redis://localhost?socket_timeout=soon",
            "unix://",
            "redis+cluster://h",
            "redis://h?decode_responses=true",
            "redis+sentinel://one",
            "redis+sentinel://one:x/mymaster",
            "redis+sentinel://one:99999/mymaster",
            "redis+sentinel://one/mymaster/main",
            "rediss://h?ssl_ca_certs=/no/such.pem",
            "redis://a b",
            "redis://h/٣",
        ],
    ),
    "API_URL": (
        [
            "http://api:3000/graphql",
            "https://user:word@api.example.org/graphql?x=1",
            "http://[::1]:80/",
            "http://my_api/g",
        ],
        [
            "",
            "api/graphql",
            "ftp://api/",
            "http://[",
            "http://main api/graphql",
            "http://:80/graphql",
            "http://h:0/",
            "http://h:99999/",
            "http://zürich/graphql",
            "http://h/gräph",
            "http://h/\x01",
            "http://h/g#x",
        ],
    ),
    "ALLOW_LOOPBACK_API": BOOL,
    "API_SERVICE_ACCOUNT_TOKEN": (["", "camp_sk_1", "eyJhbGciOiJIUzI1NiJ9.e30.c2ln"], [" ", *TOKEN]),
    "CRON_EVENT_EXPIRATION": CRON,
    "CRON_SETTLEMENT_GROWTH": CRON,
    "CRON_STRUCTURE_MAINTENANCE": CRON,
    "QUEUE_MAX_RETRIES": numbers(1, 1_000),
    "QUEUE_RETRY_BACKOFF_MS": numbers(1, 3_600_000),
    "QUEUE_CONCURRENCY": (["1", "18"], [*NUMBER, "0", "19", "1001"]),
    "API_REQUEST_TIMEOUT_MS": numbers(1, 3_600_000),
    "API_LARGEST_ANSWER_MB": numbers(1, 1_024),
    "API_CIRCUIT_BREAKER_THRESHOLD": numbers(1, 1_000_000),
    "API_CIRCUIT_BREAKER_DURATION_MS": numbers(1, 86_400_000),
    "EFFECT_UNKNOWN_OUTCOME": (["retry", "dead"], ["", "maybe", "Dead"]),
    "FEED_HORIZON_SECONDS": numbers(1, 31_536_000),
    "LEASE_SECONDS": numbers(3, 3_600),
    "JOB_TIMEOUT_SECONDS": numbers(1, 86_400),
    "WORLD_TIME_POLL_SECONDS": numbers(0, 3_600),
    "SHUTDOWN_GRACE_SECONDS": numbers(0, 86_400),
    "RETENTION_COMPLETED": numbers(0, 1_000_000),
    "RETENTION_FAILED": numbers(0, 1_000_000),
    "RETENTION_DAYS": numbers(1, 36_500),
    "RUN_FOREIGN_RQ_JOBS": (["false", "0"], [*BOOL[1], "true"]),  # true needs the functions
    "RUN_FOREIGN_RQ_FUNCTIONS": (
        ["", "builtins.len,os.path.join"],
        ["len", "len()", "os.system;x", "no_such.f", "a..b", " "],
    ),
    "SCHEDULER_API_TOKENS": (
        ["", "ann:12345678", "ann:12345678,bob:abc:defgh", "game master:12345678", "é:12345678"],
        [
            "nocolon",
            "ann:short",
            ":12345678",
            "ann:with space",
            "ann:12345678, bob:abcdefgh",
            "ann:1234567é",
            "ann:12345678,",
            "ann:12345678,bob:12345678",
            "n" * 101 + ":12345678",
            " :12345678",
            "a\nb:12345678",
        ],
    ),
    "METRICS_TOKEN": (["", "abcdefgh"], ["short", *TOKEN]),
    "ALERT_THROTTLE_SECONDS": numbers(0, 31_536_000),
    "ALERT_LAG_SECONDS": numbers(1, 31_536_000),
    "ALERT_ALLOW_PRIVATE_NETWORKS": BOOL,
    "EMAIL_HOST": (
        ["localhost", "smtp.example.org", "10.0.0.1", "::1", "mail_relay"],
        ["", "smtp://h", "h:25", "a b", "[::1]"],
    ),
    "EMAIL_PORT": numbers(1, 65535),
    "EMAIL_HOST_USER": ([""], ["useré", "a\nb", "user"]),  # one needs the other
    "EMAIL_HOST_PASSWORD": ([""], ["wörd", "a\nb", "half \udc83"]),
    "EMAIL_USE_TLS": BOOL,
    "EMAIL_USE_SSL": BOOL,
    "EMAIL_FROM": (["scheduler@example.org"], ["", "scheduler", "a@b@c", "a@example.org,b@e.org", "a@b\nBcc: c@d"]),
}


#: The variable that is named where one is set without the other, or does not fit the other.
MEANT = {
    "EMAIL_HOST_USER": {"EMAIL_HOST_PASSWORD"},
    "DATABASE_POOL_SIZE": {"QUEUE_CONCURRENCY"},
}


#: What makes a value complete that needs another beside it.
BESIDE = {"SECURE_PROXY_SSL_HEADER": {"TRUSTED_PROXIES": "1"}}


def faults_of(patch: pytest.MonkeyPatch, name: str, value: str) -> list[str]:
    with patch.context() as one:
        for other, given in {**BESIDE.get(name, {}), name: value}.items():
            one.setenv(other, given)
        try:
            read()
        except BadEnvironment as bad:
            return bad.faults
        return []


def test_the_values_to_try_cover_every_variable() -> None:
    """As the documentation lists them."""
    documented = re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs" / "configuration.md").read_text(), re.MULTILINE)

    assert list(TABLE) == documented == ["ENVIRONMENT", *(variable.name for variable in VARIABLES)]


@pytest.mark.parametrize("name", TABLE)
def test_a_value_is_accepted_or_reported_at_startup(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """In one line with the variable's name, and no other is blamed."""
    good, bad = TABLE[name]

    assert {value: faults for value in good if (faults := faults_of(monkeypatch, name, value))} == {}
    for value in bad:
        faults = faults_of(monkeypatch, name, value)
        blamed = {fault.partition(":")[0] for fault in faults}
        assert blamed, value
        assert blamed <= {name} | MEANT.get(name, set()), value
        assert all("\n" not in fault and len(fault) < 600 for fault in faults), value


@pytest.mark.parametrize("name", [variable.name for variable in VARIABLES if variable.check])
def test_an_error_shows_the_value_or_hides_a_secret(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The value is cut; of a secret only the length is shown."""
    value = "hunter2 \N{SNOWMAN}" + "x" * 1000
    (fault,) = [fault for fault in faults_of(monkeypatch, name, value) if fault.startswith(f"{name}: ")]
    secret = next(variable.is_secret for variable in VARIABLES if variable.name == name)

    assert ("hunter2" in fault) != secret
    assert "1009 characters" in fault or not secret


@pytest.mark.parametrize("name", TABLE)
def test_quotes_around_a_value_are_reported(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Docker's env files keep them: a token would be another one, and each request with the right one refused."""
    value = max(TABLE[name][0], key=len)
    faults = {quote: faults_of(monkeypatch, name, f"{quote}{value}{quote}") for quote in "\"'"}

    for found in faults.values():
        own = [fault for fault in found if fault.startswith(f"{name}: ")]
        if name == "EMAIL_HOST_PASSWORD":  # somebody else has chosen it
            assert not any("quotes" in fault for fault in own)
        else:
            assert len(own) == 1
            assert "is wrapped in quotes" in own[0] or name == "ENVIRONMENT"


def test_an_error_of_public_url_asks_for_one_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes no list."""
    for value in (
        "https://ops.example.org/x",
        "https://ops.example.org,https://b",
        "HTTPS://a",
        "https://[",
        "https://*.a",
    ):
        (fault,) = faults_of(monkeypatch, "PUBLIC_URL", value)
        assert "expected one origin such as https://ops.example.org" in fault
        assert "separated" not in fault


@pytest.mark.parametrize("odd", ["/", "#", "?", "@", "[", ":", "]", "%", " ", "?x="])
def test_no_error_shows_the_password_of_a_url(monkeypatch: pytest.MonkeyPatch, odd: str) -> None:
    """Even if the URL cannot be parsed because of it."""
    for scheme in ("postgres", "redis", "redis+sentinel", "http"):
        for url in (f"{scheme}://user:hun{odd}ter2@host:x/a b", f"u:{odd}hunter2@host"):
            for name in ("REDIS_URL", "API_URL"):
                monkeypatch.setenv(name, url)
            assert "ter2" not in "".join(faults_of(monkeypatch, "DATABASE_URL", url)), url


def test_a_file_counts_as_a_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also for what production requires."""
    dotenv = tmp_path / ".env"
    dotenv.write_text("DATABASE_URL=sqlite:////tmp/db.sqlite3\nPORT=1_0\n")
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv("ENVIRONMENT", "production")

    with pytest.raises(BadEnvironment) as caught:
        read(dotenv)

    assert "PORT: expected a whole number; got '1_0'" in caught.value.faults
    assert not any(fault.startswith("DATABASE_URL") for fault in caught.value.faults)
