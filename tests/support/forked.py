"""Processes of the service, forked from one that has imported most of what they need: fork_server.py.

Most of the CPU that a process needs to start goes into imports. What is imported before the fork reads no setting and
no variable, and opens nothing, so that a forked process is like a started one, with its own PID, session and memory.
"""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Final

from scheduler_project.variables import VARIABLES

ROOT: Final = Path(__file__).resolve().parents[2]
#: The variables that settings.py reads, what pytest tells of the test, and what tests in a browser need. Of others a
#: process may have the server's.
_READ_LATER: Final = {variable.name for variable in VARIABLES} | {
    "DJANGO_ALLOW_ASYNC_UNSAFE",
    "ENVIRONMENT",
    "NODE_ENV",
    "PYTEST_CURRENT_TEST",
}
#: Without pidfd_open no process but the parent can wait for an end; coverage measures processes that Python starts.
POSSIBLE: Final = hasattr(os, "pidfd_open") and not any(name.startswith("COVERAGE_") for name in os.environ)


#: Of the tests, before one of them changes any.
_VARIABLES: Final = dict(os.environ)
_LONGEST_RUN_S: Final = 280
#: prometheus_client is not among them, nor what imports it: it reads a variable. Models need settings.
_PACKAGES: Final = (
    "apprise",
    "axes",
    "croniter",
    "cronsim.explain",
    "django.contrib.admin.templatetags.admin_list",
    "django.contrib.auth.hashers",
    "django.contrib.auth.password_validation",
    "django.contrib.messages.middleware",
    "django.contrib.postgres.forms.array",
    "django.contrib.postgres.search",
    "django.contrib.staticfiles.handlers",
    "django.core.management.commands.shell",
    "django.db.backends.sqlite3.base",
    "django.db.migrations.executor",
    "django.test.signals",
    "django.views.csrf",
    "django_stubs_ext",
    "dns.asyncresolver",
    "environs",
    "gunicorn.app.wsgiapp",
    "gunicorn.workers.gthread",
    "msgspec",
    "psutil",
    "psycopg",
    "redis",
    "rq",
    "rq.cron",
    "rq_scheduler",
    "structlog",
    "unfold.dataclasses",
    "urllib3",
    "whitenoise.middleware",
)
_OURS: Final = (
    "jobs.fingerprint",
    "jobs.main_api.client",
    "jobs.main_api.conformance.gather",
    "jobs.main_api.messages",
    "jobs.outcome",
    "jobs.processes.loop",
    "jobs.processes.supervisor",
    "jobs.registry",
    "jobs.run",
    "jobs.schedules.households",
    "jobs.slices",
    "jobs.world.calendars.examples",
    "jobs.world.event_policies",
    "jobs.world.structures",
    "jobs.world.ticking",
    "ops.live.hub",
    "ops.reads.calendar",
    "sandbox.cli",
    "scheduler_project.database",
    "scheduler_project.environment",
    "scheduler_project.hosts",
    "scheduler_project.logs",
)


class Forked:
    """A process of the fork server, with what subprocess.Popen has."""

    def __init__(self, server: "_Server", pid: int) -> None:
        self._server = server
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)
        weakref.finalize(self, os.close, self._descriptor)
        self._reaping = threading.Lock()
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, once it has ended."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; its exit code, or minus the signal that killed it. Raises subprocess.TimeoutExpired."""
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return code

    def send_signal(self, signum: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            signal.pidfd_send_signal(self._descriptor, signum)

    def terminate(self) -> None:
        """Ask it to stop."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def _look(self, timeout: float | None) -> int | None:
        ended = select.poll()
        ended.register(self._descriptor, select.POLLIN)
        if self.returncode is None and ended.poll(None if timeout is None else timeout * 1000):
            with self._reaping:
                if self.returncode is None:
                    self.returncode = self._server.ask({"ended": self.pid})
        return self.returncode


Process = Forked | subprocess.Popen[bytes]


class _Server:
    """A fork server of this pytest process."""

    def __init__(self, preloaded: tuple[str, ...]) -> None:
        self._asking = threading.Lock()
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-m", "tests.support.fork_server", str(theirs.fileno()), *preloaded]
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=_VARIABLES, pass_fds=[theirs.fileno()], start_new_session=True
            )
        self.variables = _VARIABLES
        atexit.register(self._end)

    def ask(self, what: Mapping[str, Any], *descriptors: int) -> int:
        """Send a request; its answer."""
        with self._asking:
            socket.send_fds(self._requests, [json.dumps(what).encode()], descriptors)
            return int(self._requests.recv(64))

    def _end(self) -> None:
        self._requests.close()
        self._process.wait()


@cache
def _server(*, with_ours: bool) -> _Server:
    return _Server(_PACKAGES + _OURS if with_ours else _PACKAGES)


def start(
    command: list[str], folder: Path, variables: dict[str, str], output: IO[str], errors: IO[str] | None = None
) -> Process:
    """Start a process in its own session; forked, if it is one of ours that then runs as it would otherwise.

    What it says of errors goes to `output` unless they have a file of their own.
    """
    if POSSIBLE and command[0] == sys.executable and _is_ours(command[1:]):
        server = _server(with_ours=folder == ROOT)  # a copy of the project has other modules
        changed = {name for name, _ in variables.items() ^ server.variables.items()}
        if changed <= _READ_LATER:
            asked = {"words": command[1:], "folder": str(folder), "variables": variables}
            return Forked(server, server.ask(asked, output.fileno(), (errors or output).fileno()))
    return subprocess.Popen(
        command,
        cwd=folder,
        env=variables,
        stdout=output,
        stderr=errors or subprocess.STDOUT,
        start_new_session=True,
    )


def _is_ours(words: list[str]) -> bool:
    return words[0] in ("manage.py", "-c") or words[:2] in (["-m", "gunicorn"], ["-m", "sandbox"])


def run(*words: str, variables: Mapping[str, str], folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run `python words` to its end, forked if it can be; what it printed, and its exit code."""
    command = [sys.executable, *words]
    with TemporaryFile("w+") as output, TemporaryFile("w+") as errors:
        process = start(command, folder, {**os.environ, **variables}, output, errors)
        try:
            code = process.wait(_LONGEST_RUN_S)
        finally:
            process.kill()
        output.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(command, code, output.read(), errors.read())
