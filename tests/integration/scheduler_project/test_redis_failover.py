"""Redis failovers: behind one address, and with Sentinels."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as ConnectionLost

from jobs.broker.scripts import Script
from jobs.models import Job
from jobs.service import Submission, submit
from sandbox.ports import free_port
from sandbox.up import redis_server
from scheduler_project.redis_connection import connect
from tests.conftest import Start
from tests.support.one_address import one_address
from tests.support.servers import RedisServer, SandboxApi, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def pair() -> Iterator[tuple[RedisServer, RedisServer]]:
    """A master and its replica."""
    with ExitStack() as ends:
        servers = []
        for name in ("master", "replica"):
            server = RedisServer(free_port(), f"{name}-{free_port()}")
            ends.callback(server.stop)
            servers.append(server)
        first, second = servers
        Redis.from_url(second.url).replicaof("127.0.0.1", first.port)
        wait_until(lambda: is_synced(second), what="the replica is in sync")
        yield first, second


def is_synced(replica: RedisServer) -> bool:
    return Redis.from_url(replica.url).info("replication").get("master_link_status") == "up"


def in_pipeline(client: Redis) -> list[Any]:
    with client.pipeline() as pipeline:
        pipeline.set("a", "2")
        found: list[Any] = pipeline.execute()
        return found


def switch(old: RedisServer, new: RedisServer) -> None:
    """The replica becomes the master, and the other way round."""
    Redis.from_url(new.url).replicaof("NO", "ONE")
    Redis.from_url(old.url).replicaof("127.0.0.1", new.port)


@pytest.mark.parametrize("write", ["command", "pipeline", "script", "single connection"])
def test_a_connection_to_a_replaced_master_is_dropped(pair: tuple[RedisServer, RedisServer], write: str) -> None:
    """READONLY ends the connection, however the write was sent; the next one reaches the new master."""
    first, second = pair
    with one_address(first.port) as (port, lead_to):
        client = connect(f"redis://127.0.0.1:{port}", single_connection=write == "single connection")
        client.set("a", "1")
        lead_to(second.port)
        switch(first, second)
        writes: dict[str, Callable[[], Any]] = {
            "command": lambda: client.set("a", "2"),
            "single connection": lambda: client.set("a", "2"),
            "pipeline": lambda: in_pipeline(client),
            "script": lambda: client.eval("return redis.call('SET', 'a', '2')", 0),
        }

        with pytest.raises(ConnectionLost, match="replica"):
            writes[write]()
        writes[write]()

        assert Redis.from_url(second.url).get("a") == b"2"


def test_a_worker_survives_a_failover_behind_one_address(
    pair: tuple[RedisServer, RedisServer], start: Start, sandbox: SandboxApi
) -> None:
    """Worker and scheduler reach the new master by themselves, and jobs run."""
    first, second = pair
    with one_address(first.port) as (port, lead_to):
        url = f"redis://127.0.0.1:{port}"
        for command in ("rqworker", "rqscheduler"):
            start(command, REDIS_URL=url)
        wait_until(lambda: Redis.from_url(first.url).hlen("scheduler:processes") == 2, what="both are there")
        lead_to(second.port)
        switch(first, second)
        job = work("after the failover")

        wait_until(lambda: Job.objects.get(pk=job.pk).state == "SUCCEEDED", what="it ran by the new master")


@pytest.fixture
def sentinel(pair: tuple[RedisServer, RedisServer], tmp_path: Path) -> Iterator[int]:
    """The port of a Sentinel that watches the pair. It outlives the processes, which ask it while they stop."""
    port = free_port()
    configuration = tmp_path / "sentinel.conf"
    configuration.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\nsentinel monitor mymaster 127.0.0.1 {pair[0].port} 1\n"
        "sentinel down-after-milliseconds mymaster 1000\nsentinel failover-timeout mymaster 5000\n"
    )
    command = [redis_server(), str(configuration), "--sentinel"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_until(lambda: knows_replica(port), what="Sentinel has found the replica")
        yield port
    finally:
        process.kill()
        process.wait()


def test_sentinel_names_the_new_master(
    pair: tuple[RedisServer, RedisServer], sentinel: int, start: Start, sandbox: SandboxApi
) -> None:
    """The master is killed, Sentinel promotes the replica, and jobs run."""
    first, second = pair
    url = f"redis+sentinel://127.0.0.1:{sentinel},127.0.0.1:{free_port()}/mymaster/0"
    for words in ("rqworker", "rqscheduler", "pubsub_listener"):
        start(words, REDIS_URL=url)
    job = work("before the failover")
    wait_until(lambda: Job.objects.get(pk=job.pk).state == "SUCCEEDED", what="it ran by the first master")
    first.signal(signal.SIGKILL)
    job = work("after the failover")

    wait_until(lambda: Job.objects.get(pk=job.pk).state == "SUCCEEDED", within_s=90, what="it ran by the second")
    assert Redis.from_url(second.url).role()[0] == b"master"
    assert connect(url).ping()


def knows_replica(port: int) -> bool:
    with suppress(ConnectionLost):
        return bool(Redis(port=port).sentinel_slaves("mymaster"))
    return False


def work(subject: str) -> Job:
    """A job that this process has told no Redis of: the scheduler's sweep puts it into theirs."""
    wanted = Submission(type="EVENT_EXPIRATION", campaign_id="campaign-2", payload={}, subject=subject)
    return submit(wanted, actor="test")[0]


def test_scripts_drop_a_replaced_master_too(pair: tuple[RedisServer, RedisServer]) -> None:
    """Also a script sent past redis-py's client."""
    first, second = pair
    with one_address(first.port) as (port, lead_to):
        client = connect(f"redis://127.0.0.1:{port}", single_connection=True)
        script = Script("recount")
        script.begin(client, queue="normal", fair_share=50, most=10)()
        lead_to(second.port)
        switch(first, second)
        client_of_second = Redis.from_url(second.url)
        client_of_second.rpush("rq:queue:normal", "x")
        wait_until(lambda: is_synced(first), what="the old master follows")

        with pytest.raises(ConnectionLost):
            script.begin(client, queue="normal", fair_share=50, most=10)()
