"""The image's files on a read-only root, in a mount namespace that stands in for a container."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from sandbox.ports import free_port
from tests.support.environment import PRODUCTION
from tests.support.heartbeats import await_processes
from tests.support.image import COMPOSE, copy_stage
from tests.support.servers import ROOT, Running, SandboxApi, wait_until

#: $1 holds the image's files and $2 is the volume at var/. TMPDIR is the only other folder that can be written to.
CONTAINER = """
set -e
mount -t tmpfs tmpfs /mnt
mkdir /mnt/app /mnt/tmp
mount --bind "$1" /mnt/app
mount --bind "$2" /mnt/app/var
mount -t tmpfs tmpfs /mnt/tmp
while read -r _ at type options _; do
  case "$at $type" in /mnt/app/var*|/mnt/tmp*|/proc*|/sys*|/dev*) continue;; esac
  case "$options" in rw*) mount -o remount,bind,ro "$at" || { [ "$at" != / ] && [ "$at" != /mnt ]; };; esac
done < /proc/self/mounts
cd /mnt/app
shift 2
exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"""
#: No memory is both written to and executed, as with systemd's MemoryDenyWriteExecute, where the kernel can do so.
NO_WRITTEN_CODE = "import ctypes, os, sys; ctypes.CDLL(None).prctl(65, 1, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])"


def can_make_namespaces() -> bool:
    """Whether this machine lets us mount, as root in a namespace of its own."""
    if os.geteuid() != 0 or not (shutil.which("unshare") and shutil.which("setpriv")):
        return False
    probe = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs tmpfs /mnt && mount -o remount,bind,ro /"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


class Containers:
    """Processes with the image's files; `stop` ends them whatever happened."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.files, self.volume = folder / "image", folder / "volume"
        self.files.mkdir()
        self.volume.mkdir()
        copy_stage("service", self.files)
        (self.files / "var").mkdir()
        self.environment = {**os.environ, "TMPDIR": "/mnt/tmp", "HOME": "/mnt/tmp", "PYTHONPATH": "", **environment}
        self._ends = ExitStack()

    def _command(self, words: list[str]) -> list[str]:
        program = {"python": [sys.executable], "gunicorn": [sys.executable, "-m", "gunicorn"]}[words[0]]
        return [
            "unshare",
            "--mount",
            "sh",
            "-c",
            CONTAINER,
            "sh",
            str(self.files),
            str(self.volume),
            sys.executable,
            "-c",
            NO_WRITTEN_CODE,
            *program,
            *words[1:],
        ]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self._command([*words]), env=self.environment, capture_output=True, text=True, check=False, timeout=120
        )

    def succeeds(self, *words: str) -> bool:
        """Whether a command ends well."""
        return self.run(*words).returncode == 0

    def start(self, *words: str) -> None:
        """Start a process."""
        self._ends.callback(Running(words[-1], self._command([*words]), self.environment).stop)

    def stop(self) -> None:
        """End them all."""
        self._ends.close()


@pytest.fixture
def containers(tmp_path: Path, redis: Redis, sandbox: SandboxApi) -> Iterator[Containers]:
    """On SQLite in the volume."""
    if not can_make_namespaces():
        pytest.skip("needs root, unshare and setpriv, and a machine that lets them mount")
    environment = {
        **PRODUCTION,
        "API_URL": f"{sandbox.url}/graphql",
        "ALLOW_LOOPBACK_API": "true",
        "ALLOW_PLAIN_HTTP": "true",
        "PORT": str(free_port()),
        "DATABASE_URL": "sqlite:///var/db.sqlite3",
    }
    containers = Containers(tmp_path, environment)
    yield containers
    containers.stop()


def test_the_service_runs_on_a_read_only_root(containers: Containers, redis: Redis) -> None:
    """With the commands of the image and the Compose file, whose health checks pass."""
    services: dict[str, Any] = COMPOSE["services"]
    image = (ROOT / "Dockerfile").read_text()
    web, probe = (json.loads(found) for found in re.findall(r"^ *CMD (\[.+\])$", image, re.MULTILINE)[::-1])
    migrated = containers.run(*services["migrate"]["command"])
    assert migrated.returncode == 0, migrated.stderr
    assert "Read-only file system" in containers.run("python", "-c", "open('manage.py', 'a')").stderr

    containers.start(*web)
    for name in ("worker", "scheduler", "listener", "monitor"):
        containers.start(*services[name]["command"])

    url = f"http://127.0.0.1:{containers.environment['PORT']}"
    wait_until(lambda: answer(url, "/health/ready")["status"], within_s=90, what="web is ready")
    assert containers.succeeds(*probe)
    body = {"type": "EVENT_EXPIRATION", "campaignId": "campaign-2", "payload": {}}
    job = answer(url, "/api/jobs", body)["id"]
    wait_until(lambda: answer(url, f"/api/jobs/{job}")["state"] == "SUCCEEDED", what="the job is done")
    await_processes(redis, "worker", "monitor")  # a probe that comes too early is a process in vain
    for name in ("worker", "monitor"):
        healthy = partial(containers.succeeds, *services[name]["healthcheck"]["test"][1:])
        wait_until(healthy, what=f"{name} is healthy")


def answer(url: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """What the web process answers, {"status": ""} while it has none."""
    request = urllib.request.Request(url + path, json.dumps(body).encode() if body else None)
    request.add_header("Authorization", "Bearer secret-of-tests")
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=30) as got:
            return json.load(got)
    except OSError:
        return {"status": "", "state": ""}
