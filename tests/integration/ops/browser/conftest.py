"""One service and one browser for all tests of this folder: tests/support/scheduling.py gives them to one worker."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page
from redis import Redis

from jobs.main_api.cache import EFFECT
from tests.support.browser import WIDE, DeadEffect, Visit, chromium, leave, log_in, page_of
from tests.support.database import MIGRATED
from tests.support.environment import FOLDER
from tests.support.service import Service, now


@pytest.fixture(scope="package")
def service(django_db_setup: None, shared_folder: Path) -> Iterator[Service]:
    """The whole service, for all stories."""
    folder = FOLDER / "service"
    folder.mkdir()
    if (migrated := shared_folder / MIGRATED).exists():  # unless the tests run on PostgreSQL
        shutil.copyfile(migrated, folder / "db.sqlite3")
    running = Service(folder, QUEUE_RETRY_BACKOFF_MS="100", API_CIRCUIT_BREAKER_THRESHOLD="1000")
    yield running
    running.stop()


@pytest.fixture(scope="package")
def browser(django_db_setup: None) -> Iterator[Browser]:
    """One browser. While it is there, Django refuses to use a database in this process."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="package")
def windows() -> list[Page]:
    """Windows that nobody uses: a page in a new one costs three times the CPU."""
    return []


@pytest.fixture
def visit(service: Service, browser: Browser, windows: list[Page]) -> Iterator[Visit]:
    """Opens a window with a logged-in user, and a script that runs before those of each page."""
    refused: list[str] = []

    def listen(said: ConsoleMessage) -> None:
        if "Policy" in said.text:
            refused.append(said.text)

    with ExitStack() as ends:

        def begin(name: str, session: str = "", *, width: int = WIDE, script: str = "") -> Page:
            cookie = session or service.sessions[name]
            page = windows.pop() if windows else page_of(browser, service.url, cookie)
            ends.callback(windows.append, page)
            ends.callback(leave, page)
            log_in(page, service.url, cookie)
            page.set_viewport_size({"width": width, "height": 900})
            page.on("console", listen)
            ends.callback(page.remove_listener, "console", listen)
            if script:
                ends.enter_context(page.add_init_script(script))
            return page

        yield begin
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
