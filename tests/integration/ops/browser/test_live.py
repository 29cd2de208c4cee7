"""Pages that follow what happens: in place, without a reload, and without taking anything from whoever uses them."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from playwright.sync_api import Browser, Page, expect

from tests.support.browser import IN_BROWSER, NARROW, Visit
from tests.support.people import JOBS
from tests.support.service import Service

pytestmark = IN_BROWSER
#: Streams that are open, and whether the page was loaded anew.
SPY: Final = """window.streams = 0; const Real = EventSource;
window.EventSource = class extends Real {
  constructor(url) { super(url); window.streams += 1; }
  close() { if (this.readyState !== 2) window.streams -= 1; super.close(); } };
Object.assign(window.EventSource, { OPEN: 1, CLOSED: 2 });"""
LIVE: Final = "[data-live-state]"


def later(service: Service, campaign: str = "campaign-1", hours: int = 5) -> str:
    """Submit a job that is not due for hours."""
    due = datetime.now(UTC) + timedelta(hours=hours)
    return service.submit("EVENT_EXPIRATION", campaign, {}, dueAt=due.isoformat())


def same_page(page: Page) -> Any:
    """Whether it has not been loaded anew since `mark`."""
    return page.evaluate("window.marked === true")


def mark(page: Page) -> None:
    expect(page.locator(LIVE)).to_have_text("Live")
    page.evaluate("window.marked = true")


def test_a_job_s_page_follows_the_job_to_its_end(service: Service, visit: Visit) -> None:
    """State, attempts and buttons change in place; the focus stays; the new state is announced; ages tick."""
    job = later(service)
    page = visit("olga")
    page.goto(f"{JOBS}{job}/change/")
    mark(page)
    duplicate = page.get_by_role("link", name="Duplicate and edit")
    duplicate.focus()
    service.api(f"jobs/{job}/run-now", {})
    expect(page.locator("[data-say=State]")).to_contain_text("Succeeded")
    expect(page.get_by_text("Attempt 1", exact=True)).to_be_visible()
    expect(page.locator("#ops-live-said")).to_contain_text("State: ")

    assert same_page(page)
    assert duplicate.evaluate("link => link === document.activeElement")
    assert page.get_by_role("button", name="Cancel…").count() == 0
    age = page.locator("time .ops-relative").first
    before = age.inner_text()
    expect(age).not_to_have_text(before)


def test_a_list_lets_new_jobs_in_on_a_click(service: Service, visit: Visit) -> None:
    """Rows change in place, choices stay, new rows wait for the click and are marked; rows that left are named."""
    job = later(service, "campaign-2")
    page = visit("olga")
    page.goto(JOBS)
    mark(page)
    row = page.locator("tr.data-row", has=page.locator(f"a[href*='{job}']"))
    row.locator("input.action-select").check()
    service.api(f"jobs/{job}/run-now", {})
    expect(row).to_contain_text("Succeeded")
    newer = [later(service, "campaign-2") for _ in range(2)]
    bar = page.get_by_role("button", name="2 new: show")
    expect(bar).to_be_visible()

    assert same_page(page)
    assert page.locator(f"a[href*='{newer[0]}']").count() == 0
    bar.click()
    expect(page.locator("tr.ops-new")).to_have_count(2)
    expect(row.locator("input.action-select")).to_be_checked()
    page.goto(f"{JOBS}?state=SCHEDULED&q={newer[0]}")
    mark(page)
    service.api(f"jobs/{newer[0]}/cancel", {})
    expect(page.get_by_role("button", name="1 no longer in this list: show")).to_be_visible()
    page.get_by_role("button", name="1 no longer in this list: show").click()
    expect(page.locator(f"tr.data-row a[href*='{newer[0]}']")).to_have_count(0)


def test_a_list_by_due_time_says_what_is_new(service: Service, visit: Visit) -> None:
    """What comes up from the next page is not new; what is due before the last row is, and what is gone is named."""
    first, *_ = [later(service, "campaign-3", hours=100 + n) for n in range(26)]
    page = visit("olga")
    page.goto(f"{JOBS}?state=SCHEDULED&campaign_id__exact=campaign-3")
    mark(page)
    expect(page.locator("tr.data-row")).to_have_count(25)
    service.api(f"jobs/{first}/cancel", {})
    expect(page.get_by_role("button", name="1 no longer in this list: show", exact=True)).to_be_visible()
    sooner = later(service, "campaign-3", hours=50)
    bar = page.get_by_role("button", name="1 new, 1 no longer in this list: show", exact=True)
    expect(bar).to_be_visible()

    assert same_page(page)
    bar.click()
    expect(page.locator("tr.data-row").first.locator(f"a[href*='{sooner}']")).to_be_visible()
    expect(page.locator("tr.ops-new").first.locator(f"a[href*='{sooner}']")).to_be_visible()


def test_the_audit_trail_lets_new_lines_in_on_a_click(service: Service, visit: Visit) -> None:
    page = visit("ann")
    page.goto("/admin/jobs/auditentry/")
    mark(page)
    service.shell(PAUSE.format(verb="pause").replace("'command'", "'user:ann'"))
    service.shell(PAUSE.format(verb="resume").replace("'command'", "'user:ann'"))
    bar = page.get_by_role("button", name="2 new: show", exact=True)
    expect(bar).to_be_visible()

    assert same_page(page)
    bar.click()
    expect(page.locator("tr.ops-new")).to_have_count(2)


def test_a_queue_s_list_and_the_menu_s_badges_follow(service: Service, visit: Visit) -> None:
    """An empty list too; a badge appears, and goes, without the menu being loaded anew."""
    service.shell(PAUSE.format(verb="pause"))
    page = visit("ann")
    page.goto("/admin/queues/")
    page.get_by_role("link", name="low", exact=True).click()
    page.get_by_label("Lists of the queue low").get_by_role("link", name="Queued").click()
    mark(page)
    alerts = page.locator("#nav-sidebar").get_by_role("link", name="Alerts", exact=False).first
    before = alerts.locator(".ops-badge").count()
    job = service.submit("EVENT_EXPIRATION", "campaign-1", {}, priority="LOW")
    expect(page.get_by_role("button", name="1 new: show", exact=True)).to_be_visible()
    service.shell(RAISE)
    expect(alerts.locator(".ops-badge")).to_have_text("1" if not before else "2")

    assert same_page(page)
    page.get_by_role("button", name="1 new: show", exact=True).click()
    expect(page.get_by_role("link", name="Expire events").or_(page.locator(f"a[href*='{job}']")).first).to_be_visible()
    service.shell(f"{PAUSE.format(verb='resume')}; {REMOVE}")
    expect(alerts.locator(".ops-badge")).to_have_count(before)
    expect(page.get_by_role("button", name="1 no longer in this list: show")).to_be_visible()


RAISE: Final = (
    "from monitoring.models import Alert; Alert.objects.create(kind='code', key='live', severity=20, title='x')"
)
REMOVE: Final = "from monitoring.models import Alert; Alert.objects.filter(key='live').delete()"


def test_typed_text_stays_while_a_page_changes(service: Service, visit: Visit) -> None:
    """In a form that was opened on a campaign's page, with its focus and the selection in it."""
    page = visit("olga")
    page.goto("/admin/jobs/campaignclock/campaign-1/change/")
    mark(page)
    page.get_by_text("Pause…").click()
    reason = page.locator("#reason")
    reason.fill("the players are late")
    reason.evaluate("box => box.setSelectionRange(4, 11)")
    service.shell(PAUSE.format(verb="pause"))
    expect(page.get_by_label("Held back by operators")).to_contain_text("Queue low")
    service.shell(PAUSE.format(verb="resume"))
    expect(page.get_by_label("Held back by operators")).to_have_count(0)

    assert same_page(page)
    expect(reason).to_have_value("the players are late")
    assert reason.evaluate("box => [box === document.activeElement, box.selectionStart, box.selectionEnd]") == [
        True,
        4,
        11,
    ]


PAUSE: Final = "from jobs import pauses; pauses.{verb}('queue', 'low', actor='command', reason='tidy up')"


def test_without_a_stream_a_page_polls(service: Service, visit: Visit) -> None:
    """If all streams are taken, or a proxy keeps them back; stopped by its reader, it does nothing."""
    job = later(service)
    page = visit("olga")
    page.route("**/admin/live/**", lambda route: route.fulfill(status=503))
    page.goto(f"{JOBS}{job}/change/")
    expect(page.locator(LIVE)).to_have_text("Updated every 10 s")
    service.api(f"jobs/{job}/run-now", {})
    expect(page.locator("[data-say=State]")).to_contain_text("Succeeded")
    page.get_by_role("button", name="Stop updating").click()
    expect(page.locator(LIVE)).to_have_text("Not updating")
    page.get_by_role("button", name="Update again").click()
    expect(page.locator(LIVE)).to_have_text("Updated every 10 s")


def test_a_hidden_tab_keeps_no_stream(service: Service, visit: Visit) -> None:
    """It closes its stream, and catches up when it is shown again."""
    job = later(service)
    page = visit("olga", script=SPY)
    page.goto(f"{JOBS}{job}/change/")
    mark(page)
    show_tab(page, "hidden")
    assert page.evaluate("window.streams") == 0
    service.api(f"jobs/{job}/cancel", {})
    show_tab(page, "visible")
    expect(page.locator("[data-say=State]")).to_contain_text("Cancelled")

    assert page.evaluate("window.streams") == 1
    assert same_page(page)


def show_tab(page: Page, state: str) -> None:
    page.evaluate(
        """state => { Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
          Object.defineProperty(document, "hidden", { value: state === "hidden", configurable: true });
          document.dispatchEvent(new Event("visibilitychange")); }""",
        state,
    )


def test_without_scripts_a_page_stays_as_it_was_sent(service: Service, browser: Browser) -> None:
    """All that a job's page says can be read, and nothing promises to be live."""
    context = browser.new_context(
        base_url=service.url, java_script_enabled=False, viewport={"width": NARROW, "height": 844}
    )
    context.add_cookies([{"name": "sessionid", "value": service.sessions["olga"], "url": service.url}])
    page = context.new_page()
    page.goto(f"{JOBS}{later(service)}/change/")

    assert page.locator("[data-say=State]").text_content()
    assert page.locator(LIVE).count() == 0
    context.close()


def test_a_test_alert_s_result_appears(visit: Visit) -> None:
    """On the page of its delivery, where the button leads to; it is announced."""
    page = visit("ann")
    page.goto("/admin/monitoring/alerthandler/add/?kind=log")
    page.get_by_label("Name").fill("the log")
    page.get_by_role("button", name="Save and continue editing").click()
    page.get_by_role("button", name="Send test alert").click()
    page.wait_for_url("**/monitoring/delivery/*/change/")
    expect(page.locator("[data-say=Delivery]")).to_have_text("sent")
    expect(page.locator("#delivery .ops-state")).to_contain_text("sent", ignore_case=True)
