"""The image and the Compose file, as far as they can be checked without a container engine."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from scheduler_project.variables import VARIABLES
from tests.support.image import COMPOSE, copy_stage, fill_in, variables_of
from tests.support.servers import ROOT

OURS = ("migrate", "web", "worker", "scheduler", "listener", "monitor")
SANDBOX = ("sandbox", "sandbox-login")


def test_the_image_s_files_are_sufficient(tmp_path: Path) -> None:
    """With only the files that the Dockerfile copies, its own commands run: collectstatic and the checks."""
    copy_stage("service", tmp_path)
    ours = {"ENVIRONMENT": "development", "PYTHONPATH": "", "DJANGO_ALLOW_ASYNC_UNSAFE": ""}  # a browser may need that
    environment = {**os.environ, **ours}

    for words in (["collectstatic", "--noinput"], ["check", "--deploy", "--fail-level", "ERROR"]):
        command = [sys.executable, "manage.py", *words]
        ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

        assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "staticfiles" / "admin").is_dir()
    assert not (tmp_path / "sandbox").exists()


@pytest.mark.parametrize("name", [*OURS, *SANDBOX])
def test_compose_sets_variables_that_exist(name: str) -> None:
    """Each is one of ours, and what production needs is set."""
    environment = COMPOSE["services"][name]["environment"]

    assert set(environment) <= {"ENVIRONMENT", *(v.name for v in VARIABLES)}
    assert {"ENVIRONMENT", "SECRET_KEY", "API_SERVICE_ACCOUNT_TOKEN", "DATABASE_URL", "REDIS_URL"} <= set(environment)


@pytest.mark.parametrize("name", [*OURS[1:], "redis", "postgres"])
def test_compose_restarts_and_checks_every_process(name: str) -> None:
    """A restart policy and a health check each; that of web is the image's own."""
    service = COMPOSE["services"][name]

    assert service["restart"] == "unless-stopped"
    assert "healthcheck" in service or name == "web"


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_compose_s_containers_are_restricted(name: str) -> None:
    """A read-only root with a bounded /tmp, no new privileges, and limits of CPU, memory and logs."""
    service = COMPOSE["services"][name]

    assert service["read_only"]
    assert all(re.match(r"/(tmp|var/run/postgresql):size=\d+m,", each) for each in service["tmpfs"])
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "devices"} & set(service)
    assert service["cpus"]
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert service["pids_limit"]
    assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "5"}}


@pytest.mark.parametrize("name", [*OURS, *SANDBOX])
def test_compose_kills_a_container_ten_seconds_after_its_grace_period(name: str) -> None:
    """Whatever SHUTDOWN_GRACE_SECONDS is: Compose adds up the parts of a duration."""
    service = COMPOSE["services"][name]
    process = fill_in(service["environment"]["SHUTDOWN_GRACE_SECONDS"], {"SHUTDOWN_GRACE_SECONDS": "90"})
    container = fill_in(service["stop_grace_period"], {"SHUTDOWN_GRACE_SECONDS": "90"})
    default = next(v.default for v in VARIABLES if v.name == "SHUTDOWN_GRACE_SECONDS")

    assert (process, container) == ("90", "90s10s")
    assert fill_in(service["stop_grace_period"], {}) == f"{default}s10s"


def test_compose_s_stores_have_passwords_and_their_own_networks() -> None:
    """Neither is published or reaches the outside, and Redis persists what it acknowledges."""
    services, variables = COMPOSE["services"], variables_of(ROOT / "deploy" / "sandbox.env")
    redis = " ".join(services["redis"]["command"])

    for name, network in (("redis", "redis"), ("postgres", "database")):
        assert services[name]["networks"] == [network]
        assert COMPOSE["networks"][network] == {"internal": True}
        assert "ports" not in services[name]
        assert services[name]["user"].partition(":")[0] not in ("", "0", "root")  # no capability to change users
    assert "--appendonly yes" in redis
    assert "--maxmemory-policy noeviction" in redis
    assert "--requirepass ${REDIS_PASSWORD}" in redis
    url = services["worker"]["environment"]["REDIS_URL"]
    assert fill_in(url, {"REDIS_PASSWORD": "secret"}) == "redis://:secret@redis:6379"
    assert ":?" in url
    assert {"REDIS_PASSWORD", "POSTGRES_PASSWORD"} <= set(variables)


def test_images_are_pinned_by_digest() -> None:
    """Every build gets the same layers, wherever the tags have moved."""
    named = re.findall(r"^FROM (\S+:\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    named += [service["image"] for service in COMPOSE["services"].values() if "build" not in service]

    assert len(named) == 4
    for image in named:
        assert re.fullmatch(r"[a-z]+:[\w.-]+@sha256:[0-9a-f]{64}", image)


def test_the_image_s_code_belongs_to_root() -> None:
    """The service runs as another user; only SQLite's folder is its own."""
    text = (ROOT / "Dockerfile").read_text()

    assert "--chown" not in text
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE) == ["10001:10001"]
    assert re.findall(r"--owner scheduler .*? (/\S+)", text) == ["/app/var"]
    assert "/health/live" in text.partition("HEALTHCHECK")[2].partition("\nCMD")[0]
    assert "pip install --no-cache-dir --require-hashes -r requirements.txt" in text


def test_compose_s_dependencies_exist() -> None:
    """Everything waits until what it needs is healthy or migrated."""
    for name in OURS:
        for other, how in COMPOSE["services"][name]["depends_on"].items():
            wanted = "service_completed_successfully" if other == "migrate" else "service_healthy"
            assert how == {"condition": wanted}, f"{name} -> {other}"
            assert other in COMPOSE["services"]


def test_compose_s_sandbox_is_a_profile() -> None:
    """Production has none of its services; deploy/sandbox.env has all that they need."""
    services = COMPOSE["services"]
    assert {name for name in services if services[name].get("profiles")} == set(SANDBOX)
    assert all(services[name]["profiles"] == ["sandbox"] for name in SANDBOX)

    text = (ROOT / "docker-compose.yml").read_text()
    variables = variables_of(ROOT / "deploy" / "sandbox.env")
    services = yaml.safe_load(fill_in(text, variables))["services"]

    assert services["web"]["ports"] == ["127.0.0.1:9266:9266"]  # everybody knows these secrets
    assert services["worker"]["environment"]["API_URL"] == "http://sandbox:9264/graphql"
    token = services["sandbox"]["command"][-1]
    assert services["web"]["environment"]["SCHEDULER_API_TOKENS"] == f"game-master:{token}"
    assert services["sandbox"]["environment"]["REDIS_URL"] == "redis://:sandbox@redis:6379"
    assert set(variables) <= set(re.findall(r"\$\{(\w+)", text))


def test_the_image_builds_the_service_by_default_and_the_sandbox_by_name() -> None:
    """Each target that Compose names is a stage; the last stage, of `docker build .`, adds nothing."""
    stages_of = {
        name: service["build"]["target"] for name, service in COMPOSE["services"].items() if "build" in service
    }

    assert stages_of == dict.fromkeys(OURS, "service") | dict.fromkeys(SANDBOX, "sandbox")
    assert (ROOT / "Dockerfile").read_text().rstrip().endswith("\nFROM service")


def test_the_sandbox_image_s_files_are_sufficient(tmp_path: Path) -> None:
    """Its commands are found and need no package of requirements-dev.txt."""
    copy_stage("service", tmp_path)
    copy_stage("sandbox", tmp_path)
    environment = {**os.environ, "PYTHONPATH": "", "DATABASE_URL": f"sqlite:///{tmp_path}/demo.sqlite3"}
    login = COMPOSE["services"]["sandbox-login"]["command"][2:]
    commands = [["migrate", "--verbosity", "0"], login, ["sandbox_login"], ["sandbox_api", "--help"]]
    without_honcho = f"""
import sys
sys.modules["honcho"] = None
import manage
for words in {commands!r}:
    print("\\n==", *words)
    sys.argv[1:] = words
    manage.main()
"""

    command = [sys.executable, "-c", without_honcho]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    _, first, second, usage = ended.stdout.split("\n== ")[1:]
    assert "user: admin  password: " in first
    assert "user: admin" not in second
    assert "--game-master" in usage
