"""Everybody can read every page: WCAG 2.1 A and AA, axe's best practices, and nothing wider than a phone."""

from tests.support.axe import violations
from tests.support.browser import IN_BROWSER, NARROW, WIDE, DeadEffect, Visit, open_palette
from tests.support.people import JOBS
from tests.support.service import Service, now

pytestmark = IN_BROWSER


HELD_BACK = """
from jobs import control, pauses
from jobs.world_clocks import control as world_clocks
pauses.{pause}('queue', 'low', actor='command', reason='tidy up first')
control.set_breaker('{breaker}', actor='command', reason='repair')
world_clocks.{clock}('campaign-1', actor='command')
"""
#: A world clock that makes no step during the tests.
CLOCK = """
from jobs.models import WorldClock
from jobs.world_clocks import control
from jobs.world_clocks.settings import Settings
control.configure('campaign-1', Settings.of(WorldClock(step=86_400)), actor='command')
"""
#: Cells of tables that are cards on a phone.
#: Cards whose content is wider than they are, and hidden there.
CUT_OFF = """[...document.querySelectorAll('.ops-card')].filter(c => getComputedStyle(c).overflowX === 'hidden'
    && c.scrollWidth > c.clientWidth + 1).map(c => c.innerText.slice(0, 20))"""
BESIDE = """[...document.querySelectorAll('.ops-stack td > *')]
  .filter(e => e.getBoundingClientRect().right > innerWidth).map(e => e.textContent).slice(0, 2)"""


def test_every_page_is_accessible(service: Service, visit: Visit, dead_effect: DeadEffect) -> None:
    """No rule of axe is broken on any page of the admin, in light and dark; nothing is wider than a phone."""
    job = dead_effect("effect-2-3", "campaign-2")
    held_back = CLOCK + HELD_BACK.format(pause="pause", breaker="open", clock="start")
    service.run("shell", "--no-imports", "--command", held_back)
    page = visit("ann")
    page.goto("/admin/")
    links = page.locator("nav a[href^='/admin/']").evaluate_all("all => all.map(a => a.pathname)")
    more = [
        f"{JOBS}{job}/change/",
        f"{JOBS}add/",
        f"{JOBS}?q=nothing+of+the+kind",
        f"{JOBS}types/SETTLEMENT_GROWTH/",
        "/admin/jobs/crontask/1/change/",
        "/admin/jobs/campaignclock/campaign-1/change/",
        "/admin/jobs/campaignclock/campaign-1/calendar/?from=lantern",
        "/admin/jobs/campaignclock/campaign-1/forecast/?days=30",
        "/admin/jobs/campaignclock/campaign-1/what-if/?by=1d",
        "/admin/jobs/campaignclock/campaign-1/advances/",
        "/admin/jobs/campaignclock/campaign-1/world-clock/",
        "/admin/monitoring/alerthandler/add/?kind=webhook",
        *(f"/admin/queues/{rest}" for rest in ("queues/4/", "queues/4/empty/", "workers/4/")),
    ]
    page.goto("/admin/jobs/campaignclock/campaign-1/advances/")
    more.append(page.locator("tbody th a").first.evaluate("a => a.pathname"))
    faults: list[str] = []
    repeated: list[str] = []  # what each page has alike is looked at once
    for where in sorted({*(link for link in links if "logout" not in link), *more}):
        page.set_viewport_size({"width": WIDE, "height": 900})
        page.goto(where)
        faults += [f"{where}: {fault}" for fault in violations(page, repeated)]
        faults += [f"{where}: the card {card!r} is cut off" for card in page.evaluate(CUT_OFF)]
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

    released = HELD_BACK.format(pause="resume", breaker="automatic", clock="stop")
    service.run("shell", "--no-imports", "--command", released)
    assert len(links) > 10
    assert not faults, "\n".join(faults)


def test_menus_and_dialogs_are_accessible(service: Service, visit: Visit) -> None:
    """No rule of axe is broken by action bar, filters, palette and its results, a chooser, a drawn forecast."""
    service.submit("EVENT_EXPIRATION", "campaign-2", {}, dueAt=now())
    page, faults = visit("ann"), []
    page.goto(JOBS)
    page.locator("#action-toggle").check()
    page.select_option("select[name=action]", "cancel")
    faults += violations(page, [])
    page.locator("#action-toggle").uncheck()
    page.get_by_text("Filters").first.click()
    page.get_by_text("retrying", exact=True).hover()
    faults += violations(page, ["tbody"])
    page.goto("/admin/")
    open_palette(page)
    page.keyboard.type("event")
    page.locator("#command-results a").first.wait_for()
    faults += violations(page, ["#dashboard"])
    page.goto("/admin/auth/group/1/change/")
    page.locator(".selector [role=img]").first.wait_for(state="attached")
    faults += violations(page, [])
    for ahead, table in (("forecast/?days=30", "Occurrences"), ("what-if/?by=1d", "Before and after")):
        page.goto(f"/admin/jobs/campaignclock/campaign-1/{ahead}")
        page.get_by_role("region", name=table).wait_for()
        faults += violations(page, ["#nav-sidebar", "tbody tr:nth-child(n+4)"])

    assert not faults, "\n".join(faults)
