"""The Kubernetes manifests: by the schemas of Kubernetes, and by rules of ours."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from monitoring.checks import ROLES
from scheduler_project.variables import VARIABLES
from tests.support.image import COMPOSE
from tests.support.servers import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
PROCESSES = ("web", "worker", "scheduler", "listener", "monitor")
Manifest = dict[str, Any]


def documents(*paths: Path) -> list[Manifest]:
    """The documents of YAML files."""
    return [each for path in paths for each in yaml.safe_load_all(path.read_text())]


@cache
def build(name: str) -> list[Manifest]:
    """What Kubernetes gets: the base as it stands, an overlay as kubectl builds it."""
    if name == "base":
        listed = yaml.safe_load((FOLDER / "base" / "kustomization.yaml").read_text())["resources"]
        assert {*listed, "kustomization.yaml"} == {path.name for path in (FOLDER / "base").iterdir()}
        return documents(*(FOLDER / "base" / file for file in listed))
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not installed")
    command = ["kubectl", "kustomize", str(FOLDER / "overlays" / name)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return list(yaml.safe_load_all(text))


@pytest.fixture(params=["base", "production"])
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    """The base, and the overlay."""
    return build(request.param)


def of_kind(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    """The manifests of a kind, by the last word of their name."""
    return {
        each["metadata"]["name"].removeprefix("campaign-scheduler-"): each for each in manifests if each["kind"] == kind
    }


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest, Manifest]]:
    """Process, pod and container of each Deployment and Job."""
    for name, each in {**of_kind(manifests, "Deployment"), **of_kind(manifests, "Job")}.items():
        pod = each["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        yield name, pod, container


def select(manifests: list[Manifest], labels: dict[str, str]) -> set[str]:
    """The Deployments whose pods have these labels."""
    found = of_kind(manifests, "Deployment")
    return {n for n, d in found.items() if labels.items() <= d["spec"]["template"]["metadata"]["labels"].items()}


def test_manifests_pass_kubernetes_schemas(manifests: list[Manifest]) -> None:
    """Strictly: no field that it would ignore."""
    for manifest in manifests:
        kubernetes_validate.validate(manifest, "1.30", strict=True)


def test_every_process_has_a_deployment_with_compose_s_command(manifests: list[Manifest]) -> None:
    """Two replicas or more; the autoscaler sets the number of workers."""
    deployments = of_kind(manifests, "Deployment")

    assert set(deployments) == set(PROCESSES)
    assert all(deployments[name]["spec"].get("replicas", 0) >= 2 for name in PROCESSES if name != "worker")
    for name, _, container in pods(manifests):
        assert container.get("command") == COMPOSE["services"][name].get("command"), name


def test_pods_are_restricted(manifests: list[Manifest]) -> None:
    """No root, no capabilities, no cluster token; only /tmp is writable."""
    for _, pod, container in pods(manifests):
        assert pod["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert pod["automountServiceAccountToken"] is False
        assert container["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 - a mount
        assert pod["volumes"][0]["emptyDir"]["sizeLimit"]
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert container["resources"]["limits"]["memory"]


def test_pods_get_documented_variables_only(manifests: list[Manifest]) -> None:
    """And ports and times that agree with them."""
    (config,) = (each["data"] for each in manifests if each["kind"] == "ConfigMap")
    (service,) = (each for each in manifests if each["kind"] == "Service")
    containers = {name: container for name, _, container in pods(manifests)}

    assert set(config) <= {"ENVIRONMENT", *(v.name for v in VARIABLES)}
    assert all(isinstance(value, str) for value in config.values())
    assert [port["containerPort"] for port in containers["web"]["ports"]] == [int(config["PORT"])]
    assert service["spec"]["ports"][0]["targetPort"] == containers["web"]["ports"][0]["name"]
    assert select(manifests, service["spec"]["selector"]) == {"web"}
    web = of_kind(manifests, "Deployment")["web"]["spec"]["template"]["metadata"]
    assert web["annotations"]["prometheus.io/port"] == config["PORT"]
    for name, pod, container in pods(manifests):
        names = {source[kind]["name"] for source in container["envFrom"] for kind in source}
        assert names == {"campaign-scheduler"}
        if name != "migrate":
            assert pod["terminationGracePeriodSeconds"] == int(config["SHUTDOWN_GRACE_SECONDS"]) + 10


def test_the_migration_can_run_before_the_rest(manifests: list[Manifest]) -> None:
    """What its pod needs is applied with it, by the labels of docs/deploying.md."""
    components = {
        (each["kind"], each["metadata"]["name"]): each["metadata"]["labels"]["app.kubernetes.io/component"]
        for each in manifests
    }

    assert components["Job", "campaign-scheduler-migrate"] == "migrate"
    assert components["ConfigMap", "campaign-scheduler"] == "shared"
    assert components["ServiceAccount", "campaign-scheduler"] == "shared"
    assert "component in (shared, migrate)" in (ROOT / "docs" / "deploying.md").read_text()


def test_probes_match_the_documentation(manifests: list[Manifest]) -> None:
    """No liveness probe depends on Redis or the database."""
    page = (ROOT / "docs" / "deploying.md").read_text()
    for name, _, container in pods(manifests):
        probes = {each: container[each] for each in container if each.endswith("Probe")}
        if name == "web":
            paths = {each: probe["httpGet"]["path"] for each, probe in probes.items()}
            assert paths == {
                "startupProbe": "/health/live",
                "livenessProbe": "/health/live",
                "readinessProbe": "/health/ready",
            }
            for probe in probes.values():
                assert f"`GET {probe['httpGet']['path']}`" in page
        elif name != "migrate":
            assert name in ROLES
            assert set(probes) == {"readinessProbe"}
            assert probes["readinessProbe"]["exec"]["command"] == ["python", "manage.py", "healthcheck", name]


def test_selectors_match_pods_of_their_name(manifests: list[Manifest]) -> None:
    """Deployments, budgets, spread and network policies; the autoscaler scales the workers."""
    for name, each in of_kind(manifests, "Deployment").items():
        assert select(manifests, each["spec"]["selector"]["matchLabels"]) == {name}
        (spread,) = each["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert select(manifests, spread["labelSelector"]["matchLabels"]) == {name}
    budgets = of_kind(manifests, "PodDisruptionBudget")
    assert set(budgets) == set(PROCESSES)
    for name, each in budgets.items():
        assert select(manifests, each["spec"]["selector"]["matchLabels"]) == {name}
    policies = [each["spec"] for each in manifests if each["kind"] == "NetworkPolicy"]
    open_to = {bool(p.get("ingress")): select(manifests, p["podSelector"]["matchLabels"]) for p in policies}
    assert open_to == {False: set(PROCESSES), True: {"web"}}
    ((name, scaler),) = of_kind(manifests, "HorizontalPodAutoscaler").items()
    assert name == "worker"
    assert scaler["spec"]["scaleTargetRef"]["name"] == "campaign-scheduler-worker"
    assert scaler["spec"]["minReplicas"] >= 2


def test_workers_are_scaled_by_a_metric_that_exists() -> None:
    """The adapter's rule makes the autoscaler's metric from metrics of ours."""
    ((_, scaler),) = of_kind(build("base"), "HorizontalPodAutoscaler").items()
    (rule,) = yaml.safe_load((FOLDER / "prometheus-adapter.yaml").read_text())["externalRules"]
    exposition = (ROOT / "monitoring" / "exposition.py").read_text()

    assert scaler["spec"]["metrics"][0]["external"]["metric"]["name"] == rule["name"]["as"]
    for metric in re.findall(r"scheduler_\w+", f"{rule['seriesQuery']} {rule['metricsQuery']}"):
        assert f'"{metric}"' in exposition


def test_the_overlay_changes_what_the_base_has() -> None:
    """Its patches, image and replicas exist there."""
    folder = FOLDER / "overlays" / "production"
    overlay = yaml.safe_load((folder / "kustomization.yaml").read_text())
    names = {(each["kind"], each["metadata"]["name"]) for each in build("base")}

    assert [(folder / path).resolve() for path in overlay["resources"]] == [FOLDER / "base"]
    for patch in documents(*(folder / each["path"] for each in overlay["patches"])):
        assert (patch["kind"], patch["metadata"]["name"]) in names
    assert {each["name"] for each in overlay["images"]} == {c["image"] for _, _, c in pods(build("base"))}
    assert all(("Deployment", each["name"]) in names for each in overlay["replicas"])
