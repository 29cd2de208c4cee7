"""The operators' pages in a real browser, on the running service: what a person sees, clicks and may rely on."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from ops import bulk
from tests.support.browser import CHROMIUM, MISSING, NARROW, WIDE, chromium, page_of
from tests.support.servers import wait_until
from tests.support.service import PASSWORD, Service

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason=MISSING),
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("browser"),  # one service and one browser for all of them
]
JOBS = "/admin/jobs/job/"
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """The whole service, for all stories."""
    running = Service(QUEUE_RETRY_BACKOFF_MS="100", API_CIRCUIT_BREAKER_THRESHOLD="1000")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def sessions() -> dict[str, str]:
    """Who has logged in already."""
    return {}


@pytest.fixture
def visit(service: Service, browser: Browser, sessions: dict[str, str]) -> Iterator[Open]:
    """Opens a window in which somebody is logged in."""
    opened: list[Page] = []
    refused: list[str] = []

    def begin(name: str, session: str = "", **how: Any) -> Page:
        if not session and name not in sessions:
            sessions[name] = service.session(name)
        opened.append(page_of(browser, service.url, session or sessions[name], **how))
        opened[-1].on("console", lambda said: refused.append(said.text) if "Policy" in said.text else None)
        return opened[-1]

    yield begin
    for page in opened:
        page.context.close()
    service.sandbox.control("DELETE", "faults")
    assert refused == []  # by Content-Security-Policy or Permissions-Policy, on no page of any story


def now() -> str:
    """This moment, as the HTTP API wants it."""
    return datetime.now(UTC).isoformat()


def a_dead_effect(service: Service, effect: str, campaign: str) -> str:
    """An effect that failed because the main API broke; it is well again."""
    service.sandbox.control("POST", "faults", {"errorRate": 1.0, "operations": ["getEffect"]})
    job = service.submit("DEFERRED_EFFECT", campaign, {"effectId": effect, "executeAt": now()})
    service.await_state(job, "DEAD")
    service.sandbox.control("DELETE", "faults")
    return job


def test_what_cannot_be_refreshed_says_so(visit: Open) -> None:
    """While the server cannot answer; it goes on by itself, and leads whoever is logged out to the login."""
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


def test_find_the_failed_effect_of_a_campaign_and_retry_it(service: Service, visit: Open) -> None:
    """Search by the campaign, open the job, read why and what it asked, retry with a reason: done, and audited."""
    job = a_dead_effect(service, "effect-1-1", "campaign-1")
    page = visit("olga")

    page.goto(JOBS)
    page.keyboard.press("/")
    page.keyboard.type("campaign-1")
    page.keyboard.press("Enter")
    page.get_by_role("navigation", name="States").get_by_role("link", name="Dead").click()
    page.get_by_role("link", name="Execute effect effect-1-1").click()
    expect(page.get_by_text("Failed permanently")).to_be_visible()
    expect(page.get_by_role("row", name="getEffect").first).to_contain_text("fault")
    page.get_by_role("button", name="Retry…").click()
    expect(page.locator("[data-plan]")).to_have_text("1 will be retried.")
    expect(page.get_by_role("alert")).to_have_count(0)  # it was never sent
    page.get_by_label("Reason").fill("it is up again")
    page.get_by_role("button", name="Retry 1 job").click()
    expect(page.get_by_text("1 job retried.")).to_be_visible()
    service.await_state(job, "SUCCEEDED")
    page.goto(f"{JOBS}{job}/change/")
    expect(page.get_by_text("The main API changed variables.morale")).to_be_visible()

    trail = service.api(f"jobs/{job}")["auditTrail"]
    assert ("user:olga", "it is up again") in [(entry["actor"], entry["reason"]) for entry in trail]


def test_retry_one_failure_group(service: Service, visit: Open) -> None:
    """Of two kinds of failure one is retried whole; the other stays as it was."""
    broken = [a_dead_effect(service, f"effect-2-{n}", "campaign-2") for n in (1, 2)]
    service.sandbox.control("POST", "faults", {"malformed": 100})
    other = service.submit(
        "SETTLEMENT_GROWTH",
        "campaign-2",
        {
            "settlementId": "settlement-2-1-1",
            "growthType": "POPULATION_GROWTH",
        },
    )
    service.await_state(other, "DEAD")
    service.sandbox.control("DELETE", "faults")
    page = visit("olga")

    page.goto("/admin/jobs/failuregroup/")
    expect(page.locator(".ops-failure")).to_have_count(2)
    page.locator(".ops-failure", has_text="500").click()
    page.get_by_role("button", name="Retry all").click()
    expect(page.locator("[data-plan]")).to_have_text("2 will be retried.")
    page.get_by_role("button", name="Retry 2 jobs").click()
    expect(page.get_by_text("2 jobs retried.")).to_be_visible()

    for job in broken:
        service.await_state(job, "SUCCEEDED")
    assert service.state(other) == "DEAD"


def test_pause_a_campaign_and_see_that_nothing_runs(service: Service, visit: Open) -> None:
    """Its job stays, and says why; others run; the banner follows from page to page; resumed it runs."""
    page = visit("olga")
    page.goto("/admin/jobs/pause/")
    page.get_by_label("Campaign ID").fill("campaign-2")
    page.get_by_label("How long").select_option("60")
    page.get_by_label("Reason", exact=True).fill("the players are on a break")
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_text("What runs goes on to its end.")).to_be_visible()
    held = service.submit("EVENT_EXPIRATION", "campaign-2", {}, dueAt=now())
    for _ in range(3):
        free = service.submit("EVENT_EXPIRATION", "campaign-1", {}, dueAt=now())
        service.await_state(free, "SUCCEEDED")
    page.goto(f"{JOBS}{held}/change/")
    expect(page.locator(".ops-why")).to_contain_text("(campaign-2) is paused by olga until")
    expect(page.get_by_label("Held back by operators")).to_contain_text("the players are on a break")

    assert service.state(held) == "QUEUED"
    page.get_by_role("link", name="Pauses").last.click()
    page.get_by_label("Reason for resuming campaign-2").fill("they are back")
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("its jobs run again")).to_be_visible()
    service.await_state(held, "SUCCEEDED")
    expect(page.get_by_label("Held back by operators")).to_have_count(0)


def test_change_a_cron_task(service: Service, visit: Open) -> None:
    """A bad expression is refused under its field; a good one fires, and its firing is seen."""
    page = visit("ann")
    page.goto("/admin/jobs/crontask/")
    page.get_by_role("link", name="event-expiration").click()
    page.get_by_label("Expression").fill("61 * * * *")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("is not a cron expression").first).to_be_visible()
    page.get_by_label("Expression").fill("* * * * * *")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    page.goto(f"{JOBS}?from=cron:")

    def fired() -> bool:
        page.reload()
        return page.get_by_role("link", name="Event expiration").count() > 1

    wait_until(fired, what="the cron task fired")
    page.goto("/admin/jobs/auditentry/?what=event-expiration")
    expect(page.locator("tbody tr").first).to_contain_text("user:ann")


def test_a_viewer_cannot(service: Service, visit: Open) -> None:
    """Sees the job and no button; what is sent all the same is refused in words."""
    job = a_dead_effect(service, "effect-1-2", "campaign-1")
    page = visit("vic")
    page.goto(f"{JOBS}{job}/change/")
    expect(page.get_by_text("Failed permanently")).to_be_visible()

    assert page.locator(".ops-details button").count() == 0
    assert page.get_by_role("link", name="Duplicate and edit").count() == 0
    page.goto(f"{JOBS}add/")
    expect(page.get_by_role("heading", name="You don't have permission")).to_be_visible()
    page.goto(JOBS)
    page.evaluate(
        """job => { const f = document.createElement('form'); f.method = 'post';
          const token = document.querySelector('[name=csrfmiddlewaretoken]').value;
          for (const [k, v] of Object.entries({csrfmiddlewaretoken: token, action: 'retry', _selected_action: job,
            confirmed: '1'})) { const i = document.createElement('input'); i.name = k; i.value = v; f.append(i); }
          document.body.append(f); f.submit(); }""",
        job,
    )
    page.wait_for_load_state("networkidle")
    assert service.state(job) == "DEAD"


def test_a_new_job_is_filled_in_in_ones_own_time_zone(service: Service, visit: Open) -> None:
    """The fields of the type; the moment is one of Berlin; the job's page shows it so."""
    page = visit("olga")
    page.goto(JOBS)  # where the page's script tells the server the zone
    page.goto(f"{JOBS}add/?type=DEFERRED_EFFECT")
    expect(page.get_by_text("Time zone: Europe/Berlin").first).to_be_visible()
    page.get_by_label("Campaign").fill("campaign-1")
    page.get_by_label("Effect id").fill("effect-1-3")
    year = datetime.now(UTC).year + 1
    page.get_by_label("Execute at").fill(f"{year}-07-01T08:00:00")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_text("Job submitted.")).to_be_visible()
    expect(page.get_by_text(f"{year}-07-01 08:00:00").first).to_be_visible()

    job = page.url.rstrip("/").split("/")[-2]
    assert service.api(f"jobs/{job}")["dueAt"].startswith(f"{year}-07-01T06:00:00")


_ONE_IS_CANCELLED = """
from jobs import service
from jobs.models import Job
service.cancel(list(Job.objects.filter(campaign_id="many")[:1]), actor="user:bob", reason="")
"""


def all_of_a_filter(service: Service, page: Page, campaign: str) -> int:
    """Some more jobs than one step takes, and their dry run of cancel; how many."""
    due = datetime.now(UTC) + timedelta(hours=1)
    count = bulk.STEP + 20
    program = (
        "from datetime import datetime, timedelta\nfrom jobs.service import Submission, submit_many\n"
        f"due = datetime.fromisoformat({due.isoformat()!r})\n"
        f"submit_many([Submission(type='EVENT_EXPIRATION', campaign_id={campaign!r}, payload={{}}, "
        f"due_at=due + timedelta(seconds=n)) for n in range({count})], actor='command')"
    )
    service.run("shell", "--no-imports", "--command", program)
    page.goto(f"{JOBS}?campaign_id__exact={campaign}")
    page.locator("#action-toggle").check()
    page.get_by_text("Select all jobs of this filter").click()
    expect(page.get_by_text("All jobs of this filter selected")).to_be_visible()
    page.select_option("select[name=action]", "cancel")
    page.locator("#changelist-actions button[type=submit]").click()
    expect(page.locator("[data-plan]")).to_have_text(f"{count} will be cancelled.")
    return count


def test_many_jobs_go_in_steps_with_a_bar(service: Service, visit: Open) -> None:
    """A whole filter of more than one step: the bar ends with the true counts."""
    page = visit("olga")
    count = all_of_a_filter(service, page, "many")
    service.run("shell", "--no-imports", "--command", _ONE_IS_CANCELLED)  # after the dry run
    page.get_by_role("button", name=f"Cancel {count} jobs").click()
    expect(page.get_by_role("status")).to_contain_text(f"{count - 1} cancelled, 1 left as before: 1 CANCELLED. Done.")


def test_who_is_logged_out_between_two_steps_is_told_so(service: Service, visit: Open) -> None:
    """What was done so far stands there, and the login leads back to the jobs that are left."""
    page = visit("olga", session=service.session("olga"))
    count = all_of_a_filter(service, page, "long")
    session = next(cookie["value"] for cookie in page.context.cookies() if cookie["name"] == "sessionid")
    end = f"from django.contrib.sessions.models import Session\nSession.objects.get(pk={session!r}).delete()"
    steps = []

    def step(route: Route) -> None:
        steps.append(route)
        if len(steps) == 2:
            service.run("shell", "--no-imports", "--command", end)
        route.continue_()

    page.route(lambda url: JOBS in url, step)
    page.get_by_role("button", name=f"Cancel {count} jobs").click()
    word = page.locator(".ops-progress [role=alert]")
    done = f"So far {bulk.STEP} cancelled, 0 left as before"
    expect(word).to_contain_text(f"Stopped: you are logged out. {done}")
    page.unroute_all()
    word.get_by_role("link", name="Log in to go on").click()
    page.get_by_label("Username").fill("olga")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**campaign_id__exact=long")
    expect(page.get_by_role("navigation", name="Pages")).to_contain_text(str(count))


def test_the_keyboard_goes_everywhere(service: Service, visit: Open) -> None:
    """g and a letter, ? for the list of keys, Ctrl+K for the palette, which finds pages and jobs by their ids."""
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
    page.keyboard.press("Control+k")
    page.wait_for_function("document.activeElement.matches('input')")
    page.keyboard.type("no such thing")
    expect(page.get_by_text("Nothing found: try")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.type(job)
    page.get_by_role("link", name=job).first.click()
    page.wait_for_url(f"**{job}/change/")


RULES = {
    "resultTypes": ["violations"],
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]},
}


HELD_BACK = """
from jobs import control, pauses
pauses.{pause}('queue', 'low', actor='command', reason='tidy up first')
control.set_breaker('{breaker}', actor='command', reason='repair')
"""
#: Cells of tables that are cards on a phone.
#: Cards whose content is wider than they are, and hidden there.
CUT_OFF = """[...document.querySelectorAll('.ops-card')].filter(c => getComputedStyle(c).overflowX === 'hidden'
    && c.scrollWidth > c.clientWidth + 1).map(c => c.innerText.slice(0, 20))"""
BESIDE = """[...document.querySelectorAll('.ops-stack td > *')]
  .filter(e => e.getBoundingClientRect().right > innerWidth).map(e => e.textContent).slice(0, 2)"""
CONTRAST = {"resultTypes": ["violations"], "runOnly": {"type": "rule", "values": ["color-contrast"]}}


def test_pages_can_be_read_by_everybody(service: Service, visit: Open) -> None:
    """WCAG 2.1 A and AA on every page of the admin, as a whole, in light and dark; on a phone nothing is too wide."""
    job = a_dead_effect(service, "effect-2-3", "campaign-2")
    service.run("shell", "--no-imports", "--command", HELD_BACK.format(pause="pause", breaker="open"))
    page = visit("ann")
    page.goto("/admin/")
    links = page.locator("nav a[href^='/admin/']").evaluate_all("all => all.map(a => a.pathname)")
    more = [
        f"{JOBS}{job}/change/",
        f"{JOBS}add/",
        f"{JOBS}?q=nothing+of+the+kind",
        "/admin/jobs/crontask/1/change/",
        "/admin/jobs/campaignclock/campaign-1/change/",
        "/admin/monitoring/alerthandler/add/?kind=webhook",
        *(f"/admin/queues/{rest}" for rest in ("queues/4/", "queues/4/empty/", "workers/4/")),
    ]
    faults: list[str] = []
    repeated: list[str] = []  # what each page has alike is looked at once
    for where in sorted({*(link for link in links if "logout" not in link), *more}):
        page.set_viewport_size({"width": WIDE, "height": 900})
        page.goto(where)
        faults += [f"{where}: {fault}" for fault in violations(page, RULES, repeated)]
        faults += [f"{where}: the card {card!r} is cut off" for card in page.evaluate(CUT_OFF)]
        page.evaluate("document.documentElement.classList.add('dark')")
        faults += [f"{where} dark: {fault}" for fault in violations(page, CONTRAST, repeated)]
        page.set_viewport_size({"width": NARROW, "height": 844})
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        faults += [f"{where} is {wide} px too wide"] if wide > 0 else []
        faults += [f"{where}: {words!r} is beside the screen" for words in page.evaluate(BESIDE)]
        faults += [f"{where} narrow: the card {card!r} is cut off" for card in page.evaluate(CUT_OFF)]
        repeated = [
            "#nav-sidebar",
            ".ops-banner",
            "tbody:nth-of-type(n+4)",
            "tbody tr:nth-child(n+4)",
            "li:nth-child(n+6)",
        ]

    service.run("shell", "--no-imports", "--command", HELD_BACK.format(pause="resume", breaker="automatic"))
    assert len(links) > 10
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_opens_on_a_page_can_be_read_by_everybody(service: Service, visit: Open, theme: str) -> None:
    """WCAG 2.1 A and AA for the bar of actions, the filters, the palette and its answers, a chooser."""
    service.submit("EVENT_EXPIRATION", "campaign-2", {}, dueAt=now())
    page, faults = visit("ann", theme=theme), []
    page.goto(JOBS)
    page.locator("#action-toggle").check()
    page.select_option("select[name=action]", "cancel")
    faults += violations(page, RULES, [])
    page.locator("#action-toggle").uncheck()
    page.get_by_text("Filters").first.click()
    page.get_by_text("RETRYING", exact=True).hover()
    faults += violations(page, RULES, ["tbody"])
    page.goto("/admin/")
    page.keyboard.press("Control+k")
    page.wait_for_function("document.activeElement.matches('input')")
    page.keyboard.type("event")
    page.locator("#command-results a").first.wait_for()
    faults += violations(page, RULES, ["#dashboard"])
    page.goto("/admin/auth/group/1/change/")
    page.locator(".selector [role=img]").first.wait_for(state="attached")
    faults += violations(page, RULES, [])

    assert not faults, "\n".join(faults)


def violations(page: Page, rules: dict[str, Any], without: list[str]) -> list[str]:
    """What axe finds wrong, with the element."""
    if not page.evaluate("'axe' in window"):  # once a page: it is half a megabyte
        page.evaluate(Axe().axe_script)
    excluded = [[one] for one in without if page.locator(one).count()]
    run = "([exclude, rules]) => axe.run({include: [['html']], exclude}, rules).then(found => found.violations)"
    found = page.evaluate(run, [excluded, rules])
    return [f"{v['id']}: {node['html'][:200]}" for v in found for node in v["nodes"][:2]]
