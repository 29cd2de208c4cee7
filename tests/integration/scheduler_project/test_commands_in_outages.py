"""Commands without Redis or the database: one line that says so, exit code 1, no traceback."""

from pathlib import Path

import pytest

from sandbox.ports import free_port
from tests.support.servers import manage

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
    running = {command: manage(*command.split(), **environment) for command in commands}
    codes = {command: each.process.wait(timeout=120) for command, each in running.items()}
    return {command: (codes[command], each.log.read_text().splitlines()) for command, each in running.items()}


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
