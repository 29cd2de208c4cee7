"""Fixtures for jobs/."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis

from jobs.broker import keys
from jobs.listener import Listener
from jobs.main_api.client import MainApi


@pytest.fixture
def listener(redis: Redis, api: MainApi, settings: Any) -> Iterator[Listener]:
    """A listener that has caught up and reads no clock unasked: which of the two came first would be chance."""
    settings.WORLD_TIME_POLL = timedelta(0)
    active = Listener(keys.redis(), api)
    active.poll()
    yield active
    active.close()
