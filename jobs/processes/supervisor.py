"""Several worker processes under one parent, which restarts them; they stop if the parent dies."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final

import structlog
from django.conf import settings

log = structlog.get_logger(__name__)
PARENT: Final = "SCHEDULER_POOL_PID"  #: in a child's environment; it stops if this is no longer its parent
KILLED_AFTER: Final = 4.0  #: seconds after SHUTDOWN_GRACE_SECONDS: the children end themselves before
WATCHDOG_AFTER: Final = 4.8
RESTART_AFTER: Final = 1.0  # seconds, so that a worker that cannot start does not spin


class Pool:
    """`size` processes of one command, polled by jobs.processes.loop."""

    def __init__(self, command: Sequence[str], size: int) -> None:
        self._command = [sys.executable, *command]
        self._children: list[subprocess.Popen[bytes]] = [self._start() for _ in range(size)]

    def poll(self) -> float:
        """Restart processes that ended. Returns the seconds until the next check."""
        for position, child in enumerate(self._children):
            code = child.poll()
            if code is not None:
                log.warning("pool.worker_ended", pid=child.pid, exit_code=code, next="it is restarted")
                self._children[position] = self._start()
        return RESTART_AFTER

    def close(self) -> None:
        """Let all finish their jobs; kill those that their own watchdogs did not end."""
        for child in self._children:
            child.terminate()
        until = time.monotonic() + settings.SHUTDOWN_GRACE.total_seconds() + KILLED_AFTER
        for child in self._children:
            try:
                child.wait(timeout=max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.error("pool.worker_killed", pid=child.pid, next="its jobs run again when their leases expire")
                child.kill()
                child.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        # In its own session, so that Ctrl-C reaches only the parent, which stops its children.
        environment = {**os.environ, PARENT: str(os.getpid())}
        return subprocess.Popen(self._command, env=environment, start_new_session=True)  # noqa: S603 - our own words


def is_orphaned() -> bool:
    """Whether the pool that started this process is gone."""
    parent = os.environ.get(PARENT)
    return parent is not None and os.getppid() != int(parent)
