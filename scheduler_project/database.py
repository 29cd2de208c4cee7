"""Django's settings of the database at DATABASE_URL."""

from pathlib import Path
from typing import Any, Final

import dj_database_url

BASE_DIR: Final = Path(__file__).resolve().parent.parent


def database_settings(url: str, pool_size: int) -> dict[str, Any]:
    """Django's settings of the database at `url`."""
    database: dict[str, Any] = dict(dj_database_url.parse(url))
    if database["ENGINE"].endswith("sqlite3"):
        path = Path(database["NAME"])
        if database["NAME"] != ":memory:" and not path.is_absolute():
            path = BASE_DIR / path
            path.parent.mkdir(parents=True, exist_ok=True)
            database["NAME"] = str(path)
        # A file, not in memory, so that tests can share it with other processes.
        database["TEST"] = {"NAME": f"{database['NAME']}-test"}
        # IMMEDIATE: otherwise a transaction that upgrades from read to write beside another writer fails at once
        # instead of waiting for `timeout`.
        database["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 30,
            # A 64 MB cache and checkpoints every 16 MB: the defaults of 2 and 4 MB suit smaller tables.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; "
            "PRAGMA cache_size=-65536; PRAGMA wal_autocheckpoint=4000;",
        }
    else:
        database["CONN_HEALTH_CHECKS"] = True
        database["CONN_MAX_AGE"] = 0
        database["OPTIONS"] = {
            # Django never prepares statements, and planning one costs more than claiming a job. The plan does not
            # depend on the values, but PostgreSQL would plan each small batch again.
            "prepare_threshold": 5,
            "options": "-c plan_cache_mode=force_generic_plan",
            **database.get("OPTIONS", {}),  # from the URL: ?sslmode=require
            # By default psycopg retries with growing pauses for five minutes, so a process would stay without its
            # database for as long again as the outage. After giving up it starts over at the next request.
            "pool": {"min_size": 1, "max_size": pool_size, "timeout": 10, "reconnect_timeout": 5},
        }
    return database
