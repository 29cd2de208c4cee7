"""The reloader of `make dev`."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.reload import files_of
from tests.support.servers import ROOT, Running, wait_until

CHILD = (
    "import os, sys, time; print('started', os.getpid(), flush=True); exec(open(sys.argv[1]).read()); time.sleep(60)"
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A tree with one package."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "__init__.py").touch()
    (tmp_path / "jobs" / "ends.py").write_text("")
    return tmp_path


@pytest.fixture
def reloader(project: Path) -> Iterator[Running]:
    """The reloader with a command that says when it has started."""
    command = [sys.executable, "-c", CHILD, str(project / "jobs" / "ends.py")]
    running = Running("reload", [sys.executable, "-m", "sandbox.reload", str(project), *command])
    wait_until(lambda: len(pids_of(running)) == 1, what="the command is started")
    yield running
    running.stop()


def pids_of(running: Running) -> list[int]:
    """The processes that have said that they are started, in their order."""
    return [int(line.split()[1]) for line in running.log.read_text().splitlines() if line.startswith("started")]


def test_a_change_restarts_the_command(project: Path, reloader: Running) -> None:
    """The old one is stopped first; a failed command restarts with the change that repairs it."""
    (project / "jobs" / "ends.py").write_text("raise SystemExit(3)")
    wait_until(lambda: "exited with code 3" in reloader.log.read_text(), what="the second one has ended")
    assert not Path(f"/proc/{pids_of(reloader)[0]}").exists()

    (project / "jobs" / "ends.py").write_text("")
    wait_until(lambda: len(pids_of(reloader)) == 3, what="the third one is started")


def test_the_command_stops_with_the_reloader(reloader: Running) -> None:
    """SIGTERM stops both."""
    os.kill(reloader.process.pid, signal.SIGTERM)
    reloader.process.wait(timeout=60)

    assert not Path(f"/proc/{pids_of(reloader)[0]}").exists()


def test_the_reloader_watches_what_processes_read() -> None:
    """Code, templates, Lua and styles of every package that runs; not tests, nothing that a run writes."""
    watched = {path.relative_to(ROOT) for path in files_of(ROOT)}

    assert {path.suffix for path in watched} == {".py", ".html", ".lua", ".css", ".js"}
    assert {path.parts[0] for path in watched} >= {"jobs", "monitoring", "scheduler_project", "templates"}
    assert not {path.parts[0] for path in watched} & {"tests", "var", "staticfiles", "docs"}
