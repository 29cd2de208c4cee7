"""How many clicks the usual tasks take, counted by the browser: the table in docs/operating.md."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from playwright.sync_api import Page, expect

from tests.support.browser import IN_BROWSER, DeadEffect, Visit
from tests.support.people import JOBS
from tests.support.servers import ROOT
from tests.support.service import Service

pytestmark = IN_BROWSER
COUNT: Final = """addEventListener("click", (event) => {
  if (event.isTrusted) sessionStorage.setItem("clicks", Number(sessionStorage.getItem("clicks")) + 1); }, true);"""


def begin(visit: Visit, address: str = "/admin/") -> Page:
    """A window that counts its clicks, from the dashboard on."""
    page = visit("olga", script=COUNT)
    page.goto(address)
    return page


def clicks(page: Page) -> int:
    return int(page.evaluate("Number(sessionStorage.getItem('clicks'))"))


def clicks_of(task: str) -> int:
    """What the manual says."""
    found = re.search(rf"^\| {task}[^|]*\|[^|]*\| (\d+) \|$", (ROOT / "docs/operating.md").read_text(), re.MULTILINE)
    assert found, task
    return int(found[1])


def test_a_failed_effect_is_retried(service: Service, visit: Visit, dead_effect: DeadEffect) -> None:
    job = dead_effect("effect-1-2", "campaign-1")
    page = begin(visit)
    page.locator(".ops-card", has_text="Dead letters").get_by_role("link", name=re.compile("Error|500")).first.click()
    page.locator(f"main a[href*='{job}']").first.click()
    page.get_by_role("button", name="Retry…").click()
    page.get_by_role("button", name="Retry 1 job").click()
    service.await_state(job, "SUCCEEDED")

    assert clicks(page) == clicks_of("Retry a failed effect")


def test_what_runs_in_the_next_hour_is_found(visit: Visit) -> None:
    page = begin(visit)
    page.locator("#nav-sidebar a[href$='/upcoming/']").click()
    page.get_by_role("navigation", name="Hours").get_by_role("link", name="1 h", exact=True).click()
    expect(page.get_by_role("heading", name="The next hour")).to_be_visible()

    assert clicks(page) == clicks_of("See what runs in the next hour")


def test_a_cancel_is_undone(service: Service, visit: Visit) -> None:
    """From the message of the cancel, wherever it leads to."""
    due = datetime.now(UTC) + timedelta(hours=5)
    job = service.submit("EVENT_EXPIRATION", "campaign-1", {}, dueAt=due.isoformat())
    page = begin(visit, f"{JOBS}{job}/change/")
    page.get_by_role("button", name="Cancel…").click()
    page.get_by_role("button", name="Cancel 1 job").click()
    service.await_state(job, "CANCELLED")
    before = clicks(page)
    page.get_by_role("button", name="Undo").first.click()
    service.await_state(job, "SCHEDULED")

    assert clicks(page) - before == clicks_of("Undo a cancel")


def test_slow_types_are_compared_with_yesterday(service: Service, visit: Visit) -> None:
    service.shell(SLOW)
    page = begin(visit)
    page.locator("#nav-sidebar a[href$='/types/']").click()
    row = page.get_by_role("row", name="Structure maintenance")
    expect(row.locator(".tone-warn", has_text="900 ms")).to_be_visible()
    expect(row).to_contain_text("60 ms")

    assert clicks(page) == clicks_of("See which types are slower than yesterday")


#: Of the browser's day, which begins before the server's.
SLOW: Final = """
from datetime import timedelta
from zoneinfo import ZoneInfo
from django.utils import timezone
from jobs.models import OutcomeMinute
midnight = timezone.localtime(timezone=ZoneInfo("Europe/Berlin")).replace(hour=0, minute=0, second=0, microsecond=0)
for at, run_ms in ((midnight, 900.0), (midnight - timedelta(days=1), 60.0)):
    OutcomeMinute.objects.create(minute=at, type="STRUCTURE_MAINTENANCE", outcome="SUCCEEDED", shard=79, jobs=100_000,
                                 run_ms=run_ms * 100_000, run_ms_max=run_ms, wait_ms=0, wait_ms_max=0)
"""
