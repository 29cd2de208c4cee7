"""One migrated database for all workers of a run, and a copy of it for each: migrating takes longer than most files."""

import fcntl
import os
import shutil
from pathlib import Path
from typing import Final

import psycopg
from django.core.management import call_command
from django.db import connection

from tests.support.environment import DATABASE_URL, FOLDER

MIGRATED: Final = "migrated.sqlite3"  #: the file of SQLite's, in the folder that all workers share
_OURS = f"tests_{os.getpid()}"


def use_copy(shared: Path) -> None:
    """Connect to a copy of the database in `shared`, which the first worker to come migrates."""
    with (shared / "migrated").open("a") as done:
        fcntl.flock(done, fcntl.LOCK_EX)
        if connection.vendor == "sqlite":
            template, copy = str(shared / MIGRATED), str(FOLDER / "tests.sqlite3")
        else:
            template, copy = "migrated", _OURS
        if not os.fstat(done.fileno()).st_size:
            if connection.vendor == "postgresql":
                _create(template)
            _use(template)
            call_command("migrate", run_syncdb=True, verbosity=0)
            done.write("yes")
        _use(copy)
        if connection.vendor == "sqlite":
            shutil.copyfile(template, copy)
        else:
            _create(copy, template)


def discard_copy() -> None:
    """Delete the copy of SQLite; the server of PostgreSQL is deleted itself."""
    name = str(connection.settings_dict["NAME"])
    _use(name)
    if connection.vendor == "sqlite":
        for file in FOLDER.glob(f"{Path(name).name}*"):
            file.unlink()


def _use(name: str) -> None:
    connection.close()
    if close_pool := getattr(connection, "close_pool", None):  # PostgreSQL's
        close_pool()
    connection.settings_dict["NAME"] = name


def _create(name: str, template: str = "template1") -> None:
    with psycopg.connect(DATABASE_URL, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
