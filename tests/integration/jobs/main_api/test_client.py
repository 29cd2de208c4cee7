"""The client against the sandbox: faults and refusals are told apart."""

import time
from datetime import timedelta

import pytest
from redis import Redis

from jobs.errors import (
    NotAuthorized,
    TransientError,
)
from jobs.main_api.answers import Fault, Request
from jobs.main_api.client import MainApi, connect
from jobs.main_api.transport import PooledTransport
from sandbox.ports import free_port
from tests.support.environment import TOKEN
from tests.support.main_api import open_gate
from tests.support.servers import SandboxApi


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"outage": True}, TransientError),
        ({"errorRate": 1}, TransientError),
        ({"graphqlErrorRate": 1}, TransientError),
        ({"malformed": 1}, TransientError),
    ],
)
def test_transport_faults_are_transient(
    api: MainApi, sandbox: SandboxApi, fault: dict[str, object], error: type
) -> None:
    """Whatever fails between us and the main API may work later."""
    sandbox.control("POST", "faults", fault)

    with pytest.raises(error):
        api.campaign("campaign-1")


def test_retry_after_reaches_the_retry(api: MainApi, sandbox: SandboxApi) -> None:
    """Of a 429."""
    sandbox.control("POST", "faults", {"rateLimit": {"next": 1, "retryAfterS": 7}})

    with pytest.raises(TransientError) as caught:
        api.campaign("campaign-1")
    assert caught.value.retry_after == timedelta(seconds=7)


def test_a_wrong_credential_is_permanent(sandbox: SandboxApi, redis: Redis) -> None:
    """It is told apart from everything else."""
    foreign = connect(
        redis,
        url=f"{sandbox.url}/graphql",
        token="wrong",
        timeout=timedelta(seconds=10),
        threshold=5,
        duration=timedelta(seconds=1),
    )

    with pytest.raises(NotAuthorized):
        foreign.campaigns()


def test_a_refused_connection_means_nothing_was_sent() -> None:
    """Even for a mutation: it may be sent again."""
    url = f"http://127.0.0.1:{free_port()}/"
    transport = PooledTransport(url, TOKEN, open_gate(), timeout=timedelta(seconds=1))

    with pytest.raises(Fault) as caught:
        transport.send({"query": "{a}"}, request=Request.UPDATE)
    assert type(caught.value.error) is TransientError
    assert "onnect" in str(caught.value)


@pytest.mark.parametrize("fault", [{"trickle": 5}, {"latencyMs": 60_000}], ids=["trickles", "is late"])
def test_a_slow_answer_is_a_timeout(redis: Redis, sandbox: SandboxApi, fault: dict[str, object]) -> None:
    """API_REQUEST_TIMEOUT_MS limits the whole exchange."""
    sandbox.control("POST", "faults", fault)
    impatient = connect(
        redis,
        url=f"{sandbox.url}/graphql",
        token=TOKEN,
        timeout=timedelta(seconds=1),
        threshold=5,
        duration=timedelta(seconds=1),
    )
    began = time.monotonic()

    with pytest.raises(TransientError):
        impatient.campaigns(fresh=True)

    assert time.monotonic() - began < 30
