"""The host names under which the service answers."""

import pytest
from django.test import Client, override_settings
from redis import Redis

pytestmark = pytest.mark.django_db(transaction=True)
PROBES = ("/health", "/health/live", "/health/ready", "/metrics", "/metrics/prometheus")
ODD = (
    "10.1.2.3:9266",
    "[fd00::1]:9266",
    "kubernetes_node",
    "no.such.example",
    "",
    "a b",
    "-",
    "x" * 5000,
    "h:port",
    "é",
)


@pytest.mark.parametrize("path", PROBES)
def test_probes_answer_under_any_host(client: Client, redis: Redis, path: str) -> None:
    """A kubelet uses the address, Prometheus whatever its discovery has found."""
    with override_settings(ALLOWED_HOSTS=["scheduler.example", "localhost"]):
        answers = {host: client.get(path, headers={"host": host}).status_code for host in ODD}

    assert set(answers.values()) <= {200, 503}, answers  # nothing else runs here, so /health is unhealthy


@pytest.mark.parametrize("path", ["/admin/login/", "/api/jobs", "/healthy", "/metricsx", "/"])
def test_other_pages_answer_under_allowed_hosts_only(client: Client, path: str) -> None:
    """Otherwise a page, or JSON under /api/, that names the variable."""
    client.raise_request_exception = False
    with override_settings(ALLOWED_HOSTS=["scheduler.example", "localhost"]):
        for host in ODD[:-1]:
            answer = client.get(path, headers={"host": host})
            assert answer.status_code == 400, host
            assert "ALLOWED_HOSTS" in answer.content.decode()
            assert answer.headers["Content-Type"].startswith("application/json") == path.startswith("/api")


@pytest.mark.parametrize("host", ["campaign_scheduler", "campaign_scheduler:9266", "web_1.compose_net"])
def test_host_names_with_an_underscore_can_be_allowed(client: Client, host: str) -> None:
    """Container platforms use them; others with one are refused."""
    with override_settings(ALLOWED_HOSTS=["campaign_scheduler", ".compose_net"]):
        assert client.get("/admin/login/", headers={"host": host}).status_code == 200
        assert client.get("/admin/login/", headers={"host": "other_scheduler"}).status_code == 400
