"""The world of one run: real servers, and processes that are started again like an orchestrator does."""

import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from signal import SIGCONT, SIGKILL, SIGTERM
from typing import Any, Final

from sandbox.ports import free_port
from tests.chaos.clock import Clock
from tests.chaos.stores import Database, Postgres, RedisPair, SQLite
from tests.support import forked
from tests.support.environment import FOLDER, TOKEN
from tests.support.poison import Mark
from tests.support.servers import Running, SandboxApi, wait_until

SECRET: Final = "secret-of-tests"
LEASE_S: Final = 6
GRACE_S: Final = 10
SLACK_S: Final = 20.0  #: what a busy machine may add to the end of a process
EFFECTS: Final = 4000  #: effects of each campaign
COMMANDS: Final = {
    "worker": ["manage.py", "rqworker"],
    "scheduler": ["manage.py", "rqscheduler"],
    "listener": ["manage.py", "pubsub_listener"],
    "monitor": ["manage.py", "monitor"],
}
SINGLE: Final = ("web", "monitor")  #: roles of which one is started, however many of the others there are
ENVIRONMENT: Final = {
    "LEASE_SECONDS": str(LEASE_S),
    "SHUTDOWN_GRACE_SECONDS": str(GRACE_S),
    "API_REQUEST_TIMEOUT_MS": "4000",
    "JOB_TIMEOUT_SECONDS": "20",
    "QUEUE_MAX_RETRIES": "6",
    "CRON_EVENT_EXPIRATION": "*/10 * * * * *",
    "CRON_SETTLEMENT_GROWTH": "0 * * * *",
    "TIME_ZONE": "Europe/Berlin",
}


def _has_begun(running: Running) -> bool:
    """Whether the process got so far that SIGTERM must not simply end it."""
    return b"started" in running.log.read_bytes()


ROLES: Final = ("web", *COMMANDS)


class World:
    """Everything that runs. `found` collects what no ledger shows: processes that end wrongly."""

    def __init__(
        self, name: str, *, database: str, epoch: str, with_clock: bool, copies: int, roles: Sequence[str]
    ) -> None:
        self.folder = FOLDER / name
        self.folder.mkdir(parents=True)
        self.name = name
        self.found: list[str] = []
        self.mark = Mark(self.folder / "poisoned")
        self.clock = Clock(self.folder)
        if epoch:
            self.clock.begin_at(epoch)
        self._running: dict[str, Running] = {}
        self._expected: set[str] = set()  # processes that are down because somebody took them down
        self._lock = threading.RLock()
        self._watching = threading.Event()
        self._ends = ExitStack()
        try:
            self._start_servers(database)
        except BaseException:
            self.close()
            raise
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._environment = {
            **ENVIRONMENT,
            "DATABASE_URL": self.database.url,
            "REDIS_URL": self.redis.url,
            "API_URL": f"{self.sandbox.url}/graphql",
            "PORT": str(port),
            **(self.clock.environment() if with_clock else {}),
        }
        web = ["-m", "gunicorn", "scheduler_project.wsgi", "--bind", f"127.0.0.1:{port}", "--log-level", "warning"]
        self._commands = {"web": web}
        for role in (role for role in COMMANDS if role in roles):
            names = [role] if role in SINGLE else [f"{role}-{number}" for number in range(1, copies + 1)]
            self._commands |= dict.fromkeys(names, COMMANDS[role])

    def _start_servers(self, database: str) -> None:
        self.redis = RedisPair(self.name, self._ends)
        self.database: Database = Postgres() if database == "postgresql" else SQLite(self.name)
        self._ends.callback(self.database.close)
        self.sandbox = SandboxApi(free_port(), TOKEN, self.redis.url)
        self._ends.callback(self.sandbox.running.stop)
        self.sandbox.control("POST", "reset", {"effects": EFFECTS, "structures": 2})
        self.restore_api()

    # -- processes

    def start(self) -> None:
        """Migrate, start all processes and wait until the web process is ready."""
        migrated = forked.run("manage.py", "migrate", "--verbosity", "0", variables=self._environment)
        assert migrated.returncode == 0, migrated.stderr
        self.database.execute("UPDATE jobs_crontask SET time_zone = 'Europe/Berlin'")
        for name in self._commands:
            self._begin(name)
        threading.Thread(target=self._keep_alive, daemon=True).start()
        self.await_ready()

    def names_of(self, role: str) -> list[str]:
        """The names of a role's processes."""
        return [name for name in self._commands if name.partition("-")[0] == role]

    @contextmanager
    def take_down(self, name: str) -> Iterator[Running]:
        """A process that may end inside the block; it is started again afterwards if it did."""
        self._expected.add(name)
        try:
            yield self._running[name]
        finally:
            with self._lock:
                if self._running[name].process.poll() is not None:
                    self._begin(name)
                self._expected.discard(name)

    def end(self, name: str) -> None:
        """SIGTERM: it must exit with 0 in time, whatever is broken."""
        self._running[name].process.terminate()
        self._await_end(name)

    def _await_end(self, name: str) -> None:
        running, began = self._running[name], time.monotonic()
        try:
            code = running.process.wait(timeout=GRACE_S + 5 + SLACK_S)
        except subprocess.TimeoutExpired:
            self.found.append(f"{name} was there {GRACE_S + 5 + SLACK_S:.0f} s after SIGTERM")
            running.process.kill()
            running.process.wait()
            return
        if code and not (code == -SIGTERM and not _has_begun(running)):
            self.found.append(f"{name} ended with {code} after SIGTERM, {time.monotonic() - began:.1f} s")

    def _begin(self, name: str) -> None:
        command = [sys.executable, *self._commands[name]]
        self._running[name] = Running(f"{self.name}/{name}", command, self._environment)

    def _keep_alive(self) -> None:
        """Start again what ended by itself. While something is broken a process may refuse to start."""
        while not self._watching.wait(0.5):
            with self._lock:
                for name, running in self._running.items():
                    if name not in self._expected and (code := running.process.poll()) is not None:
                        if code < 0:
                            self.found.append(f"{name} was killed by signal {-code} of nobody")
                        self._begin(name)

    def await_ready(self) -> None:
        """Wait until the web process can take jobs."""
        wait_until(self._is_ready, within_s=120, what="the web process is ready")

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    # -- the main API

    def break_api(self, faults: dict[str, Any]) -> None:
        """Set faults of the sandbox."""
        self.sandbox.control("POST", "faults", faults)

    def restore_api(self) -> None:
        """No faults; but it forgets Idempotency-Keys, so that whatever is sent twice is done twice."""
        self.sandbox.control("DELETE", "faults")
        self.sandbox.control("POST", "faults", {"ignoreKeys": True})

    # -- the end

    def end_all(self) -> None:
        """SIGTERM to all at once; each must end well."""
        self._watching.set()
        with self._lock:
            for running in self._running.values():
                running.process.terminate()
            for name in self._running:
                self._await_end(name)

    def close(self) -> None:
        """End whatever is left."""
        self._watching.set()
        with self._lock:
            for running in self._running.values():
                if running.process.poll() is None:
                    running.process.send_signal(SIGCONT)
                    running.process.send_signal(SIGKILL)
                    running.process.wait()
        self._ends.close()
