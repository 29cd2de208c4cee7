"""The ways of those who do not see the page, use no mouse, or hold a phone: docs/accessibility.md."""

from typing import Final

import pytest
from playwright.sync_api import Page, expect

from tests.support.axe import AXE, violations
from tests.support.browser import IN_BROWSER, NARROW, WIDE, DeadEffect, Visit
from tests.support.people import JOBS
from tests.support.service import Service

pytestmark = IN_BROWSER
TABS: Final = 80  #: presses of Tab within which everything of a page is reached
FOCUSED: Final = "(document.activeElement.getAttribute('aria-label') ?? document.activeElement.innerText).trim()"
TALLEST: Final = 100  #: pixels of a job on a phone: three lines


def tab_to(page: Page, name: str) -> None:
    """Press Tab until something of that name has the focus."""
    for _ in range(TABS):
        page.keyboard.press("Tab")
        if name in " ".join(page.evaluate(FOCUSED).split()):
            return
    pytest.fail(f"Tab does not reach {name!r}")


def test_a_failed_effect_is_found_and_retried_by_keyboard(
    service: Service, visit: Visit, dead_effect: DeadEffect
) -> None:
    """The path of docs/accessibility.md: past the menu, the failure, its job, retry, the reason, and what was done."""
    job = dead_effect("effect-1-1", "campaign-1")
    page = visit("olga")
    page.goto("/admin/")
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "Skip to the page"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main-content"
    page.keyboard.type("gj")
    page.wait_for_url(f"**{JOBS}")
    page.keyboard.press("/")
    page.keyboard.type(job)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**q={job}*")
    page.keyboard.press("Tab")
    tab_to(page, "Execute effect")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{job}/change/**")
    expect(page.get_by_role("main").get_by_role("heading", level=2).first).to_contain_text("Execute effect")
    tab_to(page, "Retry…")
    page.keyboard.press("Enter")
    expect(page.locator("[data-plan]")).to_have_text("1 will be retried.")
    page.get_by_label("Reason").focus()
    page.keyboard.type("it is up again")
    tab_to(page, "Retry 1 job")
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 job retried.")).to_be_visible()

    service.await_state(job, "SUCCEEDED")


def test_a_phone_s_menu_is_opened_and_closed_by_buttons(visit: Visit) -> None:
    """The focus goes into it and comes back; Escape closes it too. It breaks no rule of axe."""
    page = visit("olga", width=NARROW, script=AXE)
    page.goto(JOBS)
    menu, close = page.get_by_role("button", name="Menu", exact=True), page.get_by_role("button", name="Close the menu")
    assert menu.get_attribute("aria-expanded") == "false"
    menu.focus()
    page.keyboard.press("Enter")
    expect(close).to_be_focused()
    expect(menu).to_have_attribute("aria-expanded", "true")
    assert violations(page, []) == []
    page.keyboard.press("Escape")
    expect(menu).to_be_focused()
    expect(close).to_be_hidden()
    menu.click()
    close.click()
    expect(close).to_be_hidden()


def test_a_job_is_three_lines_on_a_phone(service: Service, visit: Visit, dead_effect: DeadEffect) -> None:
    """What it is, its state and when, its campaign and its error; the same cells as on a wide screen."""
    job = dead_effect("effect-2-1", "campaign-2")
    page = visit("olga", width=NARROW, script=AXE)
    page.goto(f"{JOBS}?q={job}")
    row = page.locator("tr.data-row")
    box = row.bounding_box()

    assert box is not None
    assert box["height"] <= TALLEST
    for words in ("Execute effect", "Dead"):
        expect(row.get_by_text(words).first).to_be_visible()
    expect(row.locator(".field-finished")).to_contain_text("ago")
    expect(row.locator(".field-finished")).to_be_visible()
    expect(row.locator(".field-attempts")).to_be_hidden()  # it has no place among the three lines
    state = row.locator(".field-state_badge")
    assert state.evaluate("cell => cell.scrollWidth <= cell.clientWidth")  # whole, however long the error beside it
    assert violations(page, ["#nav-sidebar"]) == []


def test_the_list_of_jobs_is_as_wide_as_the_screen(service: Service, visit: Visit, dead_effect: DeadEffect) -> None:
    """However long the words of an error are; the whole of it is in the title of what is cut."""
    job = dead_effect("effect-2-2", "campaign-2")
    error = f"ProtocolError: {'x' * 200} {'long ' * 30}".strip()
    service.shell(f"from jobs.models import Job; Job.objects.filter(pk={job!r}).update(error={error!r})")
    page = visit("olga")
    for width in (WIDE, 1280, 1024):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(f"{JOBS}?q={job}")
        cell = page.locator(".field-error_line")
        expect(cell).to_contain_text("…")

        assert cell.evaluate("cell => cell.getBoundingClientRect().right <= innerWidth"), width
        assert cell.locator("span").get_attribute("title") == error
        assert cell.evaluate("cell => cell.clientHeight") <= TALLEST


def test_pages_without_the_menu_break_no_rule(visit: Visit) -> None:
    """The login, a page that is not there, and one that is refused."""
    page = visit("vic", script=AXE)
    faults = []
    for where in ("/admin/nothing/", "/nothing/", f"{JOBS}add/"):
        page.goto(where)
        faults += [f"{where}: {fault}" for fault in violations(page, [])]
    page.context.clear_cookies()
    page.goto(JOBS)
    page.wait_for_url("**/login/**")
    faults += violations(page, [])

    assert faults == []
