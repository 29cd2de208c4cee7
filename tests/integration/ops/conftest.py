"""Fixtures for pages."""

import pytest
from redis import Redis

from jobs.processes.heartbeat import Heartbeat


@pytest.fixture
def alive(redis: Redis) -> Redis:
    """A worker, a scheduler and a listener have sent heartbeats, and the breaker is closed."""
    Heartbeat("worker", "w-1", redis).beat("idle", in_flight=0, concurrency=5)
    Heartbeat("scheduler", "s-1", redis).beat("active")
    Heartbeat("listener", "l-1", redis).beat("active")
    return redis
