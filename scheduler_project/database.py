"""Django's settings of the database at DATABASE_URL.

A connection sets every parameter that our reading depends on, and its own timeouts: what the server, the database or
the role sets by default changes nothing. PgBouncer in transaction mode (`?pool_mode=transaction`) gives each
transaction another session, so there the role has to set them; jobs/processes/database_checks.py names what is missing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import dj_database_url
from django.db.backends.base.base import BaseDatabaseWrapper

#: What psycopg and our statements rely on, by parameter of PostgreSQL.
READ_AS: Final = {
    "IntervalStyle": "postgres",
    "DateStyle": "ISO,MDY",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "default_transaction_isolation": "read committed",
}
TRANSACTION: Final = "transaction"  #: PgBouncer's pool mode without sessions
CONNECT_TIMEOUT_S: Final = 5
SILENT_AFTER_S: Final = 20  #: a server that acknowledges nothing for so long is given up


class Timeouts(NamedTuple):
    """Time limits of the service's own connections, in ms; 0 is none."""

    statement_ms: int
    lock_ms: int

    def parameters(self) -> dict[str, str]:
        """PostgreSQL's parameters. A transaction left idle holds its locks, so it has a limit as well."""
        return {
            "statement_timeout": str(self.statement_ms),
            "lock_timeout": str(self.lock_ms),
            "idle_in_transaction_session_timeout": str(2 * self.statement_ms),
        }


_LENGTHS: Final = ("statement_timeout", "idle_in_transaction_session_timeout")


def is_pooled(connection: BaseDatabaseWrapper) -> bool:
    """Whether the connection goes through a pooler without sessions."""
    return bool(connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"))


def lift_timeouts(connection: BaseDatabaseWrapper) -> None:
    """Let statements of any length run on this connection, such as a migration's; `restore_timeouts` ends that.

    How long they wait for a lock stays: migrate has a limit of its own.
    """
    _set_timeouts(connection, "SET {} = 0")


def restore_timeouts(connection: BaseDatabaseWrapper) -> None:
    """Put back the time limits that the connection began with."""
    _set_timeouts(connection, "RESET {}")


def _set_timeouts(connection: BaseDatabaseWrapper, statement: str) -> None:
    if connection.vendor == "postgresql" and not is_pooled(connection):  # there it would reach another's session
        with connection.cursor() as cursor:
            cursor.execute("; ".join(statement.format(name) for name in _LENGTHS))


def pooler_faults(options: Mapping[str, Any]) -> list[str]:
    """What a pooler would refuse in the options of a PostgreSQL URL.

    >>> pooler_faults({"pool_mode": "statement"})
    ["pool_mode: expected transaction, got 'statement'"]
    """
    mode = options.get("pool_mode")
    faults = []
    if mode not in (None, TRANSACTION):
        faults.append(f"pool_mode: expected {TRANSACTION}, got {mode!r}")
    if mode and "options" in options:
        faults.append("options: a pooler in transaction mode takes no startup parameters; set them for the role")
    return faults


def database_settings(url: str, pool_size: int, timeouts: Timeouts, *, base: Path = Path()) -> dict[str, Any]:
    """Django's settings of the database at `url`; a relative path of SQLite begins at `base`."""
    database: dict[str, Any] = dict(dj_database_url.parse(url))
    if database["ENGINE"].endswith("sqlite3"):
        return database | _sqlite(database["NAME"], timeouts, base)
    return database | _postgresql(database.get("OPTIONS", {}), pool_size, timeouts)


def _sqlite(name: str, timeouts: Timeouts, base: Path) -> dict[str, Any]:
    path = Path(name)
    if not path.is_absolute():
        path = base / path
        path.parent.mkdir(parents=True, exist_ok=True)
    return {
        "ENGINE": "scheduler_project.sqlite",
        "NAME": str(path),
        # A file, not in memory, so that tests can share it with other processes.
        "TEST": {"NAME": f"{path}-test"},
        # IMMEDIATE: otherwise a transaction that upgrades from read to write beside another writer fails at once
        # instead of waiting for `timeout`.
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": timeouts.lock_ms / 1000,
            # A cache of 64 MB: the default of 2 suits smaller tables. A commit that makes the log 64 MB long copies it
            # into the file, unless sqlite/checkpoints.py was there before. Journals of statements with many rows in
            # memory: in files they were half of all that was written.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; "
            "PRAGMA cache_size=-65536; PRAGMA wal_autocheckpoint=16000; PRAGMA temp_store=MEMORY;",
        },
    }


def _postgresql(given: dict[str, Any], pool_size: int, timeouts: Timeouts) -> dict[str, Any]:
    options = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        # Without these a connection to a server that vanished hangs for two hours.
        "keepalives_idle": SILENT_AFTER_S // 2,
        "keepalives_interval": SILENT_AFTER_S // 4,
        "keepalives_count": 2,
        "tcp_user_timeout": SILENT_AFTER_S * 1000,
        **given,  # from the URL: ?sslmode=require
        # By default psycopg retries with growing pauses for five minutes, so a process would stay without its
        # database for as long again as the outage. After giving up it starts over at the next request.
        "pool": {"min_size": 1, "max_size": pool_size, "timeout": 10, "reconnect_timeout": 5},
    }
    pooled = options.pop("pool_mode", None) == TRANSACTION
    if not pooled:
        # Django never prepares statements, and planning one costs more than claiming a job. The plan does not depend
        # on the values, but PostgreSQL would plan each small batch again.
        options["prepare_threshold"] = 5
        parameters = {"plan_cache_mode": "force_generic_plan", **READ_AS, **timeouts.parameters()}
        own = " ".join(f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in parameters.items())
        options["options"] = f"{given.get('options', '')} {own}".strip()
    return {
        "ENGINE": "scheduler_project.postgresql",
        "OPTIONS": options,
        "CONN_HEALTH_CHECKS": True,
        "CONN_MAX_AGE": 0,
        "DISABLE_SERVER_SIDE_CURSORS": pooled,
    }
