"""The systemd units, by systemd's own checks."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scheduler_project.variables import VARIABLES
from tests.support.servers import ROOT

FOLDER = ROOT / "deploy" / "systemd"
UNITS = sorted(path.name for path in FOLDER.glob("*.service"))
COMMON = (FOLDER / "campaign-scheduler-.service.d" / "common.conf").read_text()
PYTHON = "/opt/campaign-scheduler/.venv/bin/python"


def analyze(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze on a copy of the units, whose program is there."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    units = folder / "units"
    shutil.copytree(FOLDER, units)
    for name in UNITS:
        (units / name).write_text((units / name).read_text().replace(PYTHON, sys.executable))
    return subprocess.run(
        ["systemd-analyze", *words, *(str(units / name) for name in UNITS)],
        env={"SYSTEMD_UNIT_PATH": f"{units}:", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_systemd_verifies_the_units(tmp_path: Path) -> None:
    """No unknown or ignored setting, no missing unit."""
    ended = analyze(tmp_path, "verify", "--man=no")

    assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")


def test_the_units_expose_little(tmp_path: Path) -> None:
    """By systemd's own measure, from 0 to 10: at most 2."""
    ended = analyze(tmp_path, "security", "--offline=yes", "--threshold=20", "--no-pager")

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count("Overall exposure level") == len(UNITS)


def test_every_process_has_a_unit_that_the_target_starts() -> None:
    """Except the migration, which a person starts."""
    commands = {name: re.findall(r"^ExecStart=\S+ (.+)$", (FOLDER / name).read_text(), re.MULTILINE) for name in UNITS}
    target = (FOLDER / "campaign-scheduler.target").read_text()

    assert commands == {
        "campaign-scheduler-listener.service": ["manage.py pubsub_listener"],
        "campaign-scheduler-migrate.service": ["manage.py migrate"],
        "campaign-scheduler-monitor.service": ["manage.py monitor"],
        "campaign-scheduler-scheduler.service": ["manage.py rqscheduler"],
        "campaign-scheduler-web.service": ["-m gunicorn scheduler_project.wsgi --workers 2"],
        "campaign-scheduler-worker@.service": ["manage.py rqworker"],
    }
    started = {name.replace("@1.", "@.") for name in re.findall(r"campaign-scheduler-\S+\.service", target)}
    assert started == {*UNITS} - {"campaign-scheduler-migrate.service"}
    for name in started:
        assert "PartOf=campaign-scheduler.target" in (FOLDER / name).read_text()


def test_systemd_kills_a_unit_ten_seconds_after_its_grace_period() -> None:
    """With the default of SHUTDOWN_GRACE_SECONDS."""
    grace = next(v.default for v in VARIABLES if v.name == "SHUTDOWN_GRACE_SECONDS")

    assert f"\nTimeoutStopSec={grace + 10}\n" in COMMON
