"""Everybody can read every page: WCAG 2.1 A and AA, axe's best practices, and nothing wider than a phone."""

from tests.support.axe import AXE, violations
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
#: Cards whose content is wider than they are, and hidden there; on a phone a page that is wider, too, cells of
#: tables that are cards there, tables of calls that scroll, and labels of cells that are not in sentence case.
CUT_OFF = """(on_a_phone) => {
    const cards = [...document.querySelectorAll('.ops-card')].filter(card => getComputedStyle(card).overflowX
        === 'hidden' && card.scrollWidth > card.clientWidth + 1);
    const faults = cards.map(card => `the card ${card.innerText.slice(0, 20)} is cut off`);
    const read = document.querySelector('nav a .material-symbols-outlined:not([aria-hidden])');
    if (read) faults.push(`the name of the icon ${read.textContent.trim()} is read out`);
    if (!on_a_phone) return faults;
    const wide = document.documentElement.scrollWidth - innerWidth;
    if (wide > 0) faults.push(`${wide} px too wide`);
    const beside = [...document.querySelectorAll('.ops-stack td > *')].filter(
        cell => cell.getBoundingClientRect().right > innerWidth);
    const scrolling = [...document.querySelectorAll('.ops-attempt .ops-scroll')].filter(
        table => table.scrollWidth > table.clientWidth);
    const odd = [...document.querySelectorAll('#result_list [data-label]')].filter(cell =>
        getComputedStyle(cell, '::before').textTransform !== 'none' || /^\\p{Ll}/u.test(cell.dataset.label));
    return [...faults, ...beside.slice(0, 2).map(cell => `${cell.textContent} is beside the screen`),
        ...scrolling.map(table => `${table.ariaLabel} hides how each call ended`),
        ...odd.slice(0, 2).map(cell => `${cell.dataset.label} is not in sentence case`)];
}"""


def test_every_page_is_accessible(service: Service, visit: Visit, dead_effect: DeadEffect) -> None:
    """No rule of axe is broken on any page of the admin, in light and dark; nothing is wider than a phone."""
    job = dead_effect("effect-2-3", "campaign-2")
    held_back = CLOCK + HELD_BACK.format(pause="pause", breaker="open", clock="start")
    service.shell(held_back)
    page = visit("ann", script=AXE)
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
    widths = [WIDE, NARROW]  # each page is loaded in the one that the page before was left in
    for where in sorted({*(link for link in links if "logout" not in link), *more}):
        page.goto(where)
        for width in widths:
            page.set_viewport_size({"width": width, "height": 900})
            faults += [f"{where} at {width} px: {fault}" for fault in page.evaluate(CUT_OFF, width == NARROW)]
            faults += [f"{where}: {fault}" for fault in violations(page, repeated)] if width == WIDE else []
        widths.reverse()
        repeated = [
            "#nav-sidebar",
            ".ops-banner",
            "tbody:nth-of-type(n+4)",
            "tbody tr:nth-child(n+4)",
            "li:nth-child(n+6)",
        ]

    released = HELD_BACK.format(pause="resume", breaker="automatic", clock="stop")
    service.shell(released)
    assert len(links) > 10
    assert not faults, "\n".join(faults)


def test_menus_and_dialogs_are_accessible(service: Service, visit: Visit) -> None:
    """No rule of axe is broken by action bar, filters, palette and its results, a chooser, a drawn forecast."""
    service.submit("EVENT_EXPIRATION", "campaign-2", {}, dueAt=now())
    page, faults = visit("ann", script=AXE), []
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


def test_the_keys_of_a_chart_are_drawn_as_its_lines(visit: Visit) -> None:
    page = visit("ann")
    page.goto("/admin/")
    page.wait_for_function("Object.keys(Chart.instances).length === 3")
    pairs = page.evaluate(
        """Object.values(Chart.instances).flatMap(c => c.legend.legendItems.map(key =>
             [c.data.datasets[key.datasetIndex].borderDash ?? [], key.lineDash ?? []]))"""
    )

    assert all(line == key for line, key in pairs)
    assert [2, 3] in [key for _, key in pairs]


def test_the_frame_of_an_empty_list_is_closed(visit: Visit) -> None:
    page = visit("ann")
    for where in (f"{JOBS}?q=nothing+of+the+kind", "/admin/monitoring/alerthandler/?q=nothing+of+the+kind"):
        page.goto(where)
        width, search, empty = page.evaluate(
            """(() => { const e = document.querySelector('.ops-empty'), box = e.getBoundingClientRect();
              const above = document.querySelector('#searchbar').closest('.mb-4').getBoundingClientRect();
              return [getComputedStyle(e).borderBottomWidth, [above.left, above.right], [box.left, box.right]]; })()"""
        )
        assert (width, search) == ("1px", empty), where
