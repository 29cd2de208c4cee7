"""Leases, also when Redis's answers are lost."""

import signal

import pytest
import redis as redis_py
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from jobs.processes.lease import Lease
from tests.support.servers import RedisServer


@pytest.mark.parametrize("lost", ["taking", "renewal", "return"])
def test_a_lost_answer_does_not_lock_the_owner_out(redis_server: RedisServer, redis: Redis, lost: str) -> None:
    """Redis set the lease and hung before it answered: the owner still holds it."""
    client = Redis.from_url(redis_server.url, socket_timeout=0.2, retry=Retry(NoBackoff(), 0))
    owner, other = Lease("test", client), Lease("test", redis)
    assert owner.hold()
    if lost == "taking":
        owner.release()

    redis_server.signal(signal.SIGSTOP)
    try:
        with pytest.raises(redis_py.TimeoutError):
            owner.release() if lost == "return" else owner.hold()
    finally:
        redis_server.signal(signal.SIGCONT)

    assert owner.hold()
    assert not other.hold()
    owner.release()
    assert other.hold()


def test_only_one_of_two_holds_the_lease(redis: Redis) -> None:
    """The second takes over when the first releases it or dies."""
    first, second = Lease("test", redis), Lease("test", redis)

    assert first.hold()
    assert not second.hold()
    assert first.hold()
    second.release()
    assert not second.hold()
    first.release()
    assert second.hold()
