"""Pages that answer to keys, and that say when they cannot be refreshed."""

from playwright.sync_api import expect

from tests.support.browser import IN_BROWSER, Visit, open_palette
from tests.support.people import JOBS
from tests.support.service import Service, now

pytestmark = IN_BROWSER


def test_keyboard_shortcuts_reach_every_page(service: Service, visit: Visit) -> None:
    """g and a letter, ? for the list, Ctrl+K for the palette, which finds pages and jobs by ID."""
    job = service.submit("EVENT_EXPIRATION", "campaign-2", {}, dueAt=now())
    page = visit("olga")
    page.goto("/admin/")
    for keys, where in (
        ("gj", "/jobs/job/"),
        ("gf", "/jobs/failuregroup/"),
        ("ga", "/jobs/auditentry/"),
        ("gd", "/admin/"),
    ):
        page.keyboard.type(keys)  # at once: the second key counts for a moment only
        page.wait_for_url(f"**{where}")
    page.goto(f"{JOBS}?state=DEAD")
    page.keyboard.type("gj")
    page.wait_for_url(f"**{JOBS}")  # the whole list, not one of the tabs or pages of it
    page.get_by_role("button", name="Filters").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#changelist-filter")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#changelist-filter")).to_be_hidden()
    page.get_by_role("button", name="Filters").blur()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    named = page.get_by_role("dialog", name="Keys").locator("div").all_inner_texts()
    assert {"gj Jobs", "gl Alerts"} <= {" ".join(words.split()) for words in named}
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    open_palette(page)
    page.keyboard.type("no such thing")
    expect(page.get_by_role("link", name="Search jobs for “no such thing”")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.type(job)
    page.get_by_role("link", name=job).first.click()
    page.wait_for_url(f"**{job}/change/")


def test_a_failed_refresh_is_shown(visit: Visit) -> None:
    """While the server cannot answer; it recovers by itself, and sends logged-out users to the login."""
    page = visit("olga")
    page.goto("/admin/jobs/pause/processes/")
    page.route("**/processes/", lambda route: route.fulfill(status=503))
    stale = page.locator("#live > .ops-stale")
    expect(stale).to_contain_text("the server answered 503")
    page.unroute("**/processes/")
    expect(stale).to_have_count(0)
    expect(page.get_by_text("Workers, schedulers, listeners and monitors")).to_be_visible()
    page.context.clear_cookies()
    page.wait_for_url("**/login/**")
