"""Make targets that call out, with a stand-in for what they call."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.catalogues import needs_gettext
from tests.support.image import copy_stage
from tests.support.servers import ROOT

MAKE = shutil.which("make") or "make"  # where PATH is empty, too
BIN = Path(sys.executable).parent
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


def messages(*words: str, folder: Path, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    """Make the catalogue of a language in a folder."""
    environment = {**os.environ, "PATH": path}
    command = [
        MAKE,
        "--no-print-directory",
        "-f",
        str(ROOT / "Makefile"),
        f"BIN={BIN}",
        "--old-file",
        ".venv/.installed",
    ]
    return subprocess.run(
        [*command, "messages", *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_messages_name_what_is_missing(tmp_path: Path) -> None:
    """The language, though shells have a LANG of their own; or gettext."""
    program(tmp_path / "bin" / "cp", "exit 0")
    unnamed = messages(folder=tmp_path)
    without = messages("LANG=de", folder=tmp_path, path=f"{tmp_path}/bin")

    assert (unnamed.returncode, unnamed.stdout) == (2, "Name the language: make messages LANG=de\n")
    assert without.returncode == 2
    assert "GNU gettext (xgettext, msgfmt) is not installed" in without.stdout


@needs_gettext
def test_a_translated_text_is_on_the_page(tmp_path: Path) -> None:
    """From the source into a catalogue, from there into the page of an image that has no gettext."""
    copy_stage("service", tmp_path)
    collected = messages("LANG=de", folder=tmp_path)
    catalogue = tmp_path / "locale" / "de" / "LC_MESSAGES" / "django.po"
    text = catalogue.read_text()
    catalogue.write_text(text.replace('msgid "Go to the admin"\nmsgstr ""', 'msgid "Go to the admin"\nmsgstr "Zurück"'))
    done = messages("LANG=de", folder=tmp_path)
    page = "from scheduler_project.faults import not_found; from django.test import RequestFactory as R; "
    shown = subprocess.run(
        [
            f"{BIN}/python",
            "manage.py",
            "shell",
            "--no-imports",
            "-c",
            f"{page} print(not_found(R().get('/x')).content.decode())",
        ],
        cwd=tmp_path,
        env={**os.environ, "LANGUAGE_CODE": "de"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert collected.returncode == done.returncode == 0, collected.stderr + done.stderr
    assert "1 translated message" in done.stderr
    assert '<html lang="de" dir="ltr">' in shown.stdout, shown.stderr
    assert "Zurück</a>" in shown.stdout
