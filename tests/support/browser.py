"""Chromium for tests and screenshots."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from playwright.sync_api import TimeoutError as NotInTime

from tests.support.servers import wait_until

#: The shell first: it draws no window, which takes most of the time that Chromium takes for a page.
_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), None)
MISSING = "no Chromium here, and none could be installed: apt-get install chromium-headless-shell"
#: The marks of tests in a browser.
IN_BROWSER: Final = [pytest.mark.skipif(CHROMIUM is None, reason=MISSING), pytest.mark.timeout(600)]
Visit = Callable[..., Page]  #: by the name of who is logged in
DeadEffect = Callable[[str, str], str]  #: by effect and campaign: the job
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Most scripts run for less time than it takes to compile them for speed.
    "--js-flags=--no-opt --no-maglev",
]
#: Styles, layout, frames and events are as ever, but nobody looks at the pixels: to draw them takes a tenth of the CPU.
_UNDRAWN = "--blink-settings=acceleratedCompositingEnabled=false"
WIDE, NARROW = 1440, 390  # pixels
PATIENCE_MS = 60_000  # for what a page does; Playwright's own 5 s for an expectation are little on a busy machine
expect.set_options(timeout=PATIENCE_MS)


@contextmanager
def chromium(*, draws: bool = False) -> Iterator[Browser]:
    """The system's Chromium, without a window; for screenshots it must draw."""
    with sync_playwright() as playwright:
        arguments = _ARGUMENTS if draws else [*_ARGUMENTS, _UNDRAWN]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


def page_of(browser: Browser, url: str, session: str, *, theme: Any = "light", width: int = WIDE) -> Page:
    """A page in its own window, with `session` as the session cookie."""
    context = browser.new_context(
        base_url=url,
        color_scheme=theme,
        viewport={"width": width, "height": 900},
        timezone_id="Europe/Berlin",
        reduced_motion="reduce",
    )
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    log_in(page, url, session)
    return page


def log_in(page: Page, url: str, session: str) -> None:
    """Set the session cookie."""
    page.context.add_cookies([{"name": "sessionid", "value": session, "url": url}])


def leave(page: Page) -> None:
    """Leave nothing in a window that is used again.

    It stays on a page of the service: after one from elsewhere, Chromium would read its styles and scripts anew.
    """
    page.unroute_all(behavior="ignoreErrors")
    page.context.clear_cookies()
    page.emulate_media(color_scheme="light")
    page.goto("/health/live")
    page.evaluate("localStorage.clear(); sessionStorage.clear()")


def open_palette(page: Page) -> None:
    """Press Ctrl+K until the field has the focus: Unfold sets it after 20 ms, too early for a busy machine."""

    def has_focus() -> bool:
        page.keyboard.press("Control+k")
        with suppress(NotInTime):
            page.wait_for_function("document.activeElement.matches('input')", timeout=2_000)
            return True
        return False

    wait_until(has_focus, what="the palette is open")
