"""`./manage.py` beside `make up`."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.up import announce
from tests.support.servers import ROOT

SAYS_REDIS = "from django.conf import settings; print(settings.REDIS_URL)"
RUNNING = {"REDIS_URL": "redis://127.0.0.1:16390", "DATABASE_URL": "sqlite:///var/db.sqlite3"}


def redis_of_manage(folder: Path, **environment: str) -> str:
    """The Redis that a `manage.py` in the folder means."""
    shutil.copy(ROOT / "manage.py", folder)
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    command = [sys.executable, str(folder / "manage.py"), "shell", "--no-imports", "--command", SAYS_REDIS]
    found = subprocess.run(
        command, env={**kept, "PYTHONPATH": str(ROOT), **environment}, capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


@pytest.mark.parametrize(
    ("given", "port"),
    [({}, 16390), ({"REDIS_URL": "redis://127.0.0.1:17000"}, 17000)],
    ids=["nothing given", "another given"],
)
def test_it_means_the_service_that_runs_unless_told_another(tmp_path: Path, given: dict[str, str], port: int) -> None:
    (tmp_path / "var").mkdir()
    with announce(tmp_path / "var" / "up.json", RUNNING):
        assert redis_of_manage(tmp_path, **given) == f"redis://127.0.0.1:{port}"
    assert not (tmp_path / "var" / "up.json").exists()


def test_a_service_that_was_killed_is_not_meant(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "up.json").write_text(json.dumps({"pid": ended.pid, "environment": RUNNING}))

    assert redis_of_manage(tmp_path) == "redis://localhost:6379"


def test_only_its_owner_reads_the_environment(tmp_path: Path) -> None:
    with announce(tmp_path / "up.json", {"SCHEDULER_API_TOKENS": "game-master:secret"}):
        assert (tmp_path / "up.json").stat().st_mode & 0o777 == 0o600
