"""The real things that tests run against: Redis, the sandbox main API, and processes of the service."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from sandbox.ports import free_port
from sandbox.seed import Size
from sandbox.up import start_redis
from tests.support import forked
from tests.support.environment import DIALECT, FOLDER
from tests.support.forked import ROOT


def wait_until(condition: Callable[[], object], *, within_s: float = 60, what: str = "") -> None:
    """Wait for a condition. Raises AssertionError if it does not hold in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what or condition}"
        time.sleep(0.05)  # each look costs a query or a request, which the process that is waited for could use


def redis_away() -> Redis:
    """A client of a Redis that nobody serves, which does not try again for seconds."""
    return Redis(port=free_port(), retry=Retry(NoBackoff(), 0))


class Running:
    """A process that is stopped whatever happens, with its output in a file."""

    def __init__(
        self, name: str, command: list[str], environment: dict[str, str] | None = None, tree: Path = ROOT
    ) -> None:
        self.log = FOLDER / f"{name}-{time.monotonic_ns()}.log"
        with self.log.open("w") as output:
            self.process = forked.start(command, tree, {**os.environ, **(environment or {})}, output)

    def stop(self, signum: int = signal.SIGTERM, *, within_s: float = 60) -> int:
        """Send a signal and wait; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signum)
        try:
            return self.process.wait(timeout=within_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def manage(*words: str, **environment: str) -> Running:
    """`manage.py` as a process."""
    return manage_in(ROOT, *words, **environment)


def manage_in(tree: Path, *words: str, **environment: str) -> Running:
    """`manage.py` of a copy of the project."""
    return Running(words[0], [sys.executable, "manage.py", *words], environment, tree)


class RedisServer:
    """A redis-server."""

    def __init__(self, port: int, name: str = "redis") -> None:
        self.port = port
        self.url = f"redis://127.0.0.1:{port}"
        self._folder = FOLDER / name
        self._process = start_redis(port, self._folder)

    def stop(self) -> None:
        """Stop it."""
        self._process.kill()
        self._process.wait()

    def signal(self, signum: int) -> None:
        """Send a signal: SIGSTOP makes it hang until SIGCONT."""
        self._process.send_signal(signum)

    def start(self) -> None:
        """Start it again with its append-only file."""
        self._process = start_redis(self.port, self._folder)


class SandboxApi:
    """The sandbox main API."""

    def __init__(self, port: int, token: str, redis_url: str = "") -> None:
        self.url = f"http://127.0.0.1:{port}"
        words = ["--port", str(port), "--token", token, "--redis", redis_url, "--dialect", DIALECT]
        self.running = Running("sandbox", [sys.executable, "-m", "sandbox", *words])
        wait_until(self._answers, what="the sandbox answers")

    def _answers(self) -> bool:
        try:
            return bool(self.control("GET", "stats"))
        except OSError:
            return False

    def control(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Use a control endpoint."""
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.url}/control/{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def world(self) -> Any:
        """The sandbox's world."""
        return self.control("GET", "world")

    def has_heard(self, operation: str) -> bool:
        """Whether it has received that operation recently."""
        return any(operation in call["query"] for call in self.control("GET", "stats")["recent"])

    def reset(self) -> None:
        """Back to the seed and the usual size, without faults."""
        self.control("POST", "reset", asdict(Size()))


@contextmanager
def cutting_proxy(to: int, *, upon: bytes) -> Iterator[tuple[int, threading.Event]]:
    """A TCP proxy to a port of this machine: of the first request that holds `upon` it passes on the request, keeps the
    answer and ends the connection. Its port, and an event that is set when it has done so.
    """
    cut = threading.Event()
    ends: list[socket.socket] = []

    def serve(client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", to))
        ends.append(server)
        with client, server:
            while readable := select.select([client, server], [], [])[0]:
                for source in readable:
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    (server if source is client else client).sendall(data)
                    if source is client and upon in data and not cut.is_set():
                        server.recv(1)  # the answer has begun: what was asked is done
                        cut.set()
                        return

    def accept() -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                client = listener.accept()[0]
                ends.append(client)
                threading.Thread(target=serve, args=[client], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1], cut
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
