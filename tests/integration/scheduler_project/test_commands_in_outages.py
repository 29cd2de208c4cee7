"""Commands without Redis or the database: one line that says so, exit code 1, no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.ports import free_port
from tests.support.servers import ROOT

NEED_REDIS = ("rqsuspend", "rqresume", "rqstats", "rqenqueue builtins.print", "rqworker-pool", "rqcron some.module")
NEED_DATABASE = (
    "worldclock list",
    "worldclock pause-all",
    "seed_jobs 1",
    "sandbox_login",
    "clearsessions",
    "axes_reset",
    "migrate",
    "showmigrations",
)
NO_REDIS = {"REDIS_URL": f"redis://127.0.0.1:{free_port()}"}


def run_all(commands: tuple[str, ...], **environment: str) -> dict[str, tuple[int, list[str]]]:
    """The exit code and the lines of each command; all run at once."""
    running = {
        command: subprocess.Popen(
            [sys.executable, "manage.py", *command.split()],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for command in commands
    }
    outputs = {command: process.communicate(timeout=120)[0] for command, process in running.items()}
    return {command: (running[command].returncode, output.splitlines()) for command, output in outputs.items()}


def test_commands_say_that_redis_is_away(tmp_path: Path) -> None:
    found = run_all(NEED_REDIS, **NO_REDIS | {"DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3"})

    for command, (code, lines) in found.items():
        assert (command, code, len(lines)) == (command, 1, 1), lines
        assert lines[0].startswith("Redis does not answer: "), command


@pytest.mark.timeout(180)
def test_commands_say_that_the_database_is_away() -> None:
    found = run_all(NEED_DATABASE, **NO_REDIS | {"DATABASE_URL": f"postgres://u:p@127.0.0.1:{free_port()}/x"})

    for command, (code, lines) in found.items():
        assert (command, code, len(lines)) == (command, 1, 1), lines
        assert "database does not answer: " in lines[0], command


def test_commands_say_that_the_database_is_empty(tmp_path: Path) -> None:
    found = run_all(("clearsessions", "seed_jobs 1"), DATABASE_URL=f"sqlite:///{tmp_path}/db.sqlite3")

    for command, (code, lines) in found.items():
        assert (command, code, len(lines)) == (command, 1, 1), lines
        assert lines[0].endswith("run manage.py migrate"), command
