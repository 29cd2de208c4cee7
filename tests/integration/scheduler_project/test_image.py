"""The production image, as far as it can be held without a container engine."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from scheduler_project.environment import VARIABLES
from tests.support.servers import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS = ("migrate", "web", "worker", "scheduler", "listener", "monitor")


def test_what_the_image_holds_is_enough(tmp_path: Path) -> None:
    """With only the files that the Dockerfile copies its own commands run: collectstatic and the checks."""
    for names in re.findall(r"^COPY --chown=scheduler (.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE):
        for name in names.split():
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, tmp_path / name)
    environment = {**os.environ, "ENVIRONMENT": "development", "PYTHONPATH": ""}

    for words in (["collectstatic", "--noinput"], ["check", "--deploy", "--fail-level", "ERROR"]):
        command = [sys.executable, "manage.py", *words]
        ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

        assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "staticfiles" / "admin").is_dir()
    assert not (tmp_path / "sandbox").exists()


@pytest.mark.parametrize("name", OURS)
def test_compose_sets_variables_that_exist(name: str) -> None:
    """Every variable that compose sets is one of ours, and what production needs is set."""
    environment = COMPOSE["services"][name]["environment"]

    assert set(environment) <= {"ENVIRONMENT", *(v.name for v in VARIABLES)}
    assert {"ENVIRONMENT", "SECRET_KEY", "API_SERVICE_ACCOUNT_TOKEN", "DATABASE_URL", "REDIS_URL"} <= set(environment)


@pytest.mark.parametrize("name", [*OURS[1:], "redis", "postgres"])
def test_compose_restarts_and_watches_every_process(name: str) -> None:
    """A restart policy and a health check each; that of web is the image's own."""
    service = COMPOSE["services"][name]

    assert service["restart"] == "unless-stopped"
    assert "healthcheck" in service or name == "web"


def test_compose_s_dependencies_exist() -> None:
    """Everything waits for what it needs to be healthy, or the migrations to be done."""
    for name in OURS:
        for other, how in COMPOSE["services"][name]["depends_on"].items():
            wanted = "service_completed_successfully" if other == "migrate" else "service_healthy"
            assert how == {"condition": wanted}, f"{name} -> {other}"
            assert other in COMPOSE["services"]
