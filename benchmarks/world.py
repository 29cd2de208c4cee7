"""A benchmark's own Redis, sandbox and database, in a temporary folder."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from django.conf import settings
from redis import Redis

from benchmarks.drained import BenchmarkFailed
from sandbox.ports import free_port
from sandbox.postgresql import running_postgresql
from sandbox.up import start_redis
from scheduler_project.variables import VARIABLES

TOKEN = "camp_sk_benchmark"  # noqa: S105 - of the benchmark's own sandbox
PEER_REDIS_DATABASE = 1


def redis_at(url: str) -> Redis:
    """Return a client with a timeout long enough to flush millions of keys."""
    return Redis.from_url(url, socket_timeout=600)


@contextmanager
def running_world(database: str, *, sandbox_arguments: list[str] | None = None) -> Iterator[dict[str, str]]:
    """Start everything for `database` (sqlite or postgresql), migrate, and yield the environment of the processes.

    It contains none of the caller's own settings. Raises BenchmarkFailed, CannotStart or FileNotFoundError.
    """
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))  # runs the clean-up below
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scheduler-benchmark-")))
        redis_port, api_port = free_port(), free_port()
        stack.callback(_end, start_redis(redis_port, folder / "redis"))
        command = [sys.executable, "-m", "sandbox", "--port", str(api_port), "--token", TOKEN]
        command += sandbox_arguments or []
        sandbox = subprocess.Popen(command, cwd=settings.BASE_DIR)  # noqa: S603 - our own arguments
        stack.callback(_end, sandbox)
        url = f"sqlite:///{folder / 'db.sqlite3'}"
        if database == "postgresql":
            url = stack.enter_context(running_postgresql(free_port()))
        names = {variable.name for variable in VARIABLES}
        environment = {name: value for name, value in os.environ.items() if name not in names}
        environment |= {
            "ENVIRONMENT": "test",
            "LOG_LEVEL": "warn",
            "DATABASE_URL": url,
            "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
            "API_URL": f"http://127.0.0.1:{api_port}/graphql",
            "API_SERVICE_ACCOUNT_TOKEN": TOKEN,
            "BENCHMARK_FOLDER": str(folder),
            "CRON_EVENT_EXPIRATION": "0 0 1 1 *",
            "CRON_SETTLEMENT_GROWTH": "0 0 1 1 *",
            "CRON_STRUCTURE_MAINTENANCE": "0 0 1 1 *",
        }
        _wait_for_port(api_port, sandbox)
        manage = [sys.executable, "manage.py", "migrate", "-v", "0"]
        subprocess.run(manage, env=environment, cwd=settings.BASE_DIR, check=True)  # noqa: S603 - ours
        yield environment


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """Keep `count` cores busy: the service lives on machines that do other work, too."""
    loop = [sys.executable, "-c", "while True: pass"]
    with ExitStack() as stack:
        for _ in range(count):
            stack.callback(_end, subprocess.Popen(loop))  # noqa: S603 - our own arguments
        yield


def _wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise BenchmarkFailed(f"the sandbox does not answer on port {port}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait()
