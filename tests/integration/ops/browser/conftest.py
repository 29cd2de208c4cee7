"""One service and one browser for all tests of this folder: tests/support/scheduling.py gives them to one worker."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from redis import Redis

from jobs.main_api.cache import EFFECT
from tests.support.browser import DeadEffect, Visit, chromium, page_of
from tests.support.service import Service, now


@pytest.fixture(scope="package")
def service() -> Iterator[Service]:
    """The whole service, for all stories."""
    running = Service(QUEUE_RETRY_BACKOFF_MS="100", API_CIRCUIT_BREAKER_THRESHOLD="1000")
    yield running
    running.stop()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One browser."""
    with chromium() as running:
        yield running


@pytest.fixture
def visit(service: Service, browser: Browser) -> Iterator[Visit]:
    """Opens a window with a logged-in user."""
    opened: list[Page] = []
    refused: list[str] = []

    def begin(name: str, session: str = "", **how: Any) -> Page:
        opened.append(page_of(browser, service.url, session or service.sessions[name], **how))
        opened[-1].on("console", lambda said: refused.append(said.text) if "Policy" in said.text else None)
        return opened[-1]

    yield begin
    for page in opened:
        page.context.close()
    service.sandbox.control("DELETE", "faults")
    assert refused == []  # by Content-Security-Policy or Permissions-Policy, on no page of any story


@pytest.fixture
def dead_effect(service: Service) -> Iterator[DeadEffect]:
    """Makes effects that failed because the main API was broken; it works again. None is left to other stories."""
    made: list[str] = []
    redis = Redis.from_url(service.redis.url)

    def die(effect: str, campaign: str) -> str:
        redis.delete(EFFECT.format(effect))  # or it would be executed without being read again
        service.sandbox.control("POST", "faults", {"errorRate": 1.0, "operations": ["getEffect"]})
        made.append(service.submit("DEFERRED_EFFECT", campaign, {"effectId": effect, "executeAt": now()}))
        service.await_state(made[-1], "DEAD")
        service.sandbox.control("DELETE", "faults")
        return made[-1]

    yield die
    for job in made:
        if service.state(job) == "DEAD":
            service.api(f"jobs/{job}/retry", {})
            service.await_state(job, "SUCCEEDED")
