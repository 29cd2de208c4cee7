"""The supervisor of `make up`: the first process that ends is named, and all stop."""

import os
import signal
import socket
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path

import pytest

from sandbox.up import CannotStart, Ports, commands, environment
from tests.support.servers import ROOT, Running, wait_until

PROGRAM = """
import signal, subprocess, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under nohup
from sandbox.up import stop_as_by_ctrl_c, supervise
stop_as_by_ctrl_c()
redis = subprocess.Popen(["sleep", "60"])
code = 1
try:
    print("redis is", redis.pid, flush=True)
    two = {"one": ["sleep", "60"], "two": ["sleep", "60"]}
    code = supervise(two, {"PATH": "/bin:/usr/bin"}, grace_s=5, redis=redis)
finally:
    redis.kill()
    redis.wait()
print("exit code", code, flush=True)
"""

#: What stands before the number of each process; honcho starts them side by side, so in any order.
BEFORE_PID = ("redis is", "one started (pid=", "two started (pid=")


@pytest.fixture
def supervisor() -> Running:
    """Two processes beside a "redis", under the supervisor."""
    running = Running("supervisor", [sys.executable, "-u", "-c", PROGRAM])
    wait_until(lambda: all(name in running.log.read_text() for name in BEFORE_PID), what="all are started")
    return running


def pid_of(said: str, before: str) -> int:
    """The number after `before`."""
    return int(said.partition(before)[2].split()[0].strip("()"))


@pytest.mark.parametrize(("name", "before"), [("two", "two started (pid="), ("redis", "redis is")])
def test_all_processes_stop_with_the_first(supervisor: Running, name: str, before: str) -> None:
    """After kill -9 of a child or Redis one line names it, nothing is left, and the exit code is not 0."""
    said = supervisor.log.read_text()
    others = [pid_of(said, each) for each in BEFORE_PID]

    os.kill(pid_of(said, before), signal.SIGKILL)
    supervisor.process.wait(timeout=60)

    said = supervisor.log.read_text()
    assert said.count(f"{name} was killed by SIGKILL; shutting down") == 1
    assert said.endswith("exit code 137\n")
    assert "Traceback" not in said
    assert not [pid for pid in others if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=str)
def test_ctrl_c_blames_no_process(supervisor: Running, signum: signal.Signals) -> None:
    """All stop, as somebody asked for; the same if the terminal is closed."""
    others = [pid_of(supervisor.log.read_text(), each) for each in BEFORE_PID]

    supervisor.stop(signum)

    said = supervisor.log.read_text()
    assert "shutting down" not in said
    assert said.endswith("exit code 0\n")
    assert not [pid for pid in others if Path(f"/proc/{pid}").exists()]


def test_closed_output_stops_everything() -> None:
    """`make up | head`, or a closed terminal: the first line that cannot be written stops all."""
    noisy = PROGRAM.replace('"one": ["sleep", "60"]', '"one": ["yes"]')
    with subprocess.Popen([sys.executable, "-u", "-c", noisy], stdout=subprocess.PIPE, text=True, cwd=ROOT) as running:
        assert running.stdout is not None
        heard = ""
        while not all(before in heard for before in BEFORE_PID):
            heard += running.stdout.readline()
        running.stdout.close()
        assert running.wait(timeout=60) == 0

    assert not [pid for pid in (pid_of(heard, each) for each in BEFORE_PID) if Path(f"/proc/{pid}").exists()]


def test_a_stop_during_startup_is_not_lost() -> None:
    """Ctrl-C before the first process has reported its PID."""
    early = """
from sandbox.up import Supervisor
supervisor = Supervisor()
supervisor.add_process("one", "exec sleep 60")
supervisor.terminate()
supervisor.loop()
"""
    ended = subprocess.run(
        [sys.executable, "-u", "-c", early], capture_output=True, text=True, cwd=ROOT, check=False, timeout=60
    )

    assert "one stopped (rc=-15)" in ended.stdout
    assert ended.stderr == ""


def test_a_port_in_use_is_one_line() -> None:
    """It names the port and the variable that changes it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "manage.py", "up"],
            cwd=ROOT,
            env={**os.environ, "PORT": str(port)},
            capture_output=True,
            text=True,
            check=False,
        )

    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        f"make up: port {port} is in use: set PORT to a free port, e.g. PORT={port + 100} make up"
    ]


def test_one_port_cannot_be_used_twice() -> None:
    """The sandbox's port given to the web process is one line, too."""
    with pytest.raises(CannotStart, match="PORT and UP_API_PORT are both 9264: change one of them"):
        Ports(9264, 9264, 6390).check()


def test_the_user_s_own_tokens_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their holders may use /api/jobs beside the game master."""
    monkeypatch.setenv("SCHEDULER_API_TOKENS", "me:my-own-secret")

    assert environment(Ports(1, 2, 3), token="t")["SCHEDULER_API_TOKENS"] == "me:my-own-secret,game-master:t"
    monkeypatch.delenv("SCHEDULER_API_TOKENS")
    assert environment(Ports(1, 2, 3), token="t")["SCHEDULER_API_TOKENS"] == "game-master:t"


def test_logs_are_coloured_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log in a file has no escape sequences, unless somebody asks for them."""
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    for is_terminal, expected in ((True, "1"), (False, "")):
        monkeypatch.setattr("sys.stdout.isatty", lambda answer=is_terminal: answer)
        assert environment(Ports(1, 2, 3), token="t")["FORCE_COLOR"] == expected

    monkeypatch.setenv("FORCE_COLOR", "1")
    assert environment(Ports(1, 2, 3), token="t")["FORCE_COLOR"] == "1"


def test_a_token_may_begin_with_a_hyphen() -> None:
    """One in 64 does; it must not be taken for an option."""
    words = commands(Ports(1, 2, 3), token="-secret", game_master_s=10)["sandbox"]
    parser = ArgumentParser()
    parser.add_argument("--scheduler-token")

    assert parser.parse_known_args(words)[0].scheduler_token == "-secret"
