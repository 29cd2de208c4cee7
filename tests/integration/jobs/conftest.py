"""Fixtures for jobs/."""

from collections.abc import Iterator

import pytest
from redis import Redis

from jobs.broker import keys
from jobs.listener import Listener
from jobs.main_api.client import MainApi


@pytest.fixture
def listener(redis: Redis, api: MainApi) -> Iterator[Listener]:
    """A listener that has caught up."""
    active = Listener(keys.redis(), api)
    active.poll()
    yield active
    active.close()
