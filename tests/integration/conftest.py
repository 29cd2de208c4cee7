"""Fixtures that several integration tests share."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime

import pytest
from django.test import Client
from django.utils import timezone
from redis import Redis

from jobs.main_api.client import MainApi
from monitoring import alerting
from monitoring.alerting import code_handlers, dead_letters, delivery, routing
from monitoring.alerting.message import Message
from monitoring.models import MonitorState
from sandbox.seed import Size
from tests.support.alerts import Tell, due_now
from tests.support.people import member
from tests.support.receivers import HttpReceiver, http_receiver
from tests.support.servers import SandboxApi
from tests.support.slices import Sized


@pytest.fixture
def heard() -> Iterator[list[Message]]:
    """The messages that a registered function is called with."""
    messages: list[Message] = []

    @alerting.register_handler
    def keep(message: Message) -> None:
        messages.append(message)

    yield messages
    code_handlers.unregister_handler(keep)


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    """An HTTP server."""
    with http_receiver() as server:
        yield server


@pytest.fixture
def tell(redis: Redis, db: None) -> Tell:
    """Count dead letters, route and deliver as the monitor does, in this thread."""
    MonitorState.objects.create()

    def round_at(now: datetime | None = None) -> None:
        now = now or timezone.now()
        while dead_letters.collect(now):
            pass
        routing.route(now)
        while due := due_now():
            for each in due:
                delivery.deliver(each)

    return round_at


@pytest.fixture
def viewer(client: Client, redis: Redis) -> Client:
    """A client logged in as vic, a viewer."""
    return member(client, "Viewer", name="vic")


@pytest.fixture
def sized(sandbox: SandboxApi, api: MainApi) -> Iterator[Sized]:
    """The sandbox with a world that has only so much of everything."""

    def size(**counts: int) -> SandboxApi:
        none = {"campaigns": 1, "kingdoms": 0, "settlements": 0, "structures": 0, "events": 0, "effects": 0}
        sandbox.control("POST", "reset", {**none, **counts})
        return sandbox

    yield size
    sandbox.control("POST", "reset", asdict(Size()))
