"""Make targets that call out, with a stand-in for what they call."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.servers import ROOT

DIGEST = "sha256:" + "0123456789abcdef" * 4


def program(path: Path, script: str) -> None:
    """An executable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def make(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Make a target of our Makefile in a folder."""
    environment = {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}"}
    command = ["make", "--no-print-directory", "-f", str(ROOT / "Makefile"), *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("script", "code", "says"),
    [
        ("echo 'No known vulnerabilities found' >&2", 0, "No known vulnerabilities found"),
        ("echo 'requests.exceptions.ConnectionError: no route' >&2; exit 1", 0, "cannot be reached from here"),
        ("echo 'Found 1 known vulnerability in 1 package'; echo 'x 1.0 CVE-1'; exit 1", 2, "CVE-1"),
        ("echo 'ERROR: requirements.txt has no hashes' >&2; exit 1", 2, "has no hashes"),
    ],
)
def test_an_audit_fails_only_for_findings(tmp_path: Path, script: str, code: int, says: str) -> None:
    """Not if its database cannot be reached."""
    program(tmp_path / "audit" / "bin" / "pip-audit", script)
    (tmp_path / "audit" / ".installed").touch()

    ended = make("audit", f"AUDIT={tmp_path}/audit", "--old-file", f"{tmp_path}/audit/.installed", folder=tmp_path)

    assert (ended.returncode, says in ended.stdout) == (code, True), ended


def test_digests_are_written_where_images_are_named(tmp_path: Path) -> None:
    """As the registry has them; without a registry nothing changes."""
    for name in ("Dockerfile", "docker-compose.yml"):
        shutil.copy(ROOT / name, tmp_path)
    before = (tmp_path / "Dockerfile").read_text()
    program(tmp_path / "bin" / "docker", "exit 1")
    failed = make("digests", folder=tmp_path)
    unchanged = (tmp_path / "Dockerfile").read_text() == before
    program(tmp_path / "bin" / "docker", f"echo {DIGEST}")

    done = make("digests", folder=tmp_path)

    assert failed.returncode != 0
    assert unchanged
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "Dockerfile").read_text().count(DIGEST) == 2
    assert (tmp_path / "docker-compose.yml").read_text().count(DIGEST) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Dockerfile", "bin", "docker-compose.yml"]
