"""`python -m tests.screenshots`: every page of the admin in light, dark and on a phone, into docs/screenshots.

`python -m tests.screenshots trouble` makes the first screen in the trouble of a bad night (support/trouble.py).

The pages show a whole service that has lived for a while: two campaigns whose time has been advanced, failures of two
kinds, a pause and things that people did.
"""

import sys
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from PIL import Image
from playwright.sync_api import Page

from tests.support import environment  # noqa: F401 - before anything reads the environment
from tests.support.browser import CHROMIUM, MISSING, NARROW, WIDE, chromium, page_of
from tests.support.servers import wait_until
from tests.support.service import Service

FOLDER: Final = Path(__file__).resolve().parent.parent / "docs" / "screenshots"
LOOKS: Final = {"": ("light", WIDE), "-dark": ("dark", WIDE), "-narrow": ("light", NARROW)}
TALLEST: Final = 2400  #: pixels; what is longer is cut
_STORY: Final = """
from datetime import timedelta
from decimal import Decimal
from math import sin
from django.utils import timezone
from jobs import main_api_limits, pauses, service, type_settings
from jobs.histogram import COLUMNS
from jobs.main_api.limits import Limits
from jobs.models import Job, OutcomeMinute, WorldClock
from jobs.overrides import Overrides
from jobs.world_clocks import control as world_clocks
from jobs.world_clocks.settings import Settings

def minute(ago, outcome, jobs, run_ms):
    at = timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=ago)
    waits = {COLUMNS[2]: jobs - jobs // 4, COLUMNS[4]: jobs // 4}
    return OutcomeMinute(minute=at, type="SETTLEMENT_GROWTH", outcome=outcome, shard=31, jobs=jobs,
                         run_ms=jobs * run_ms, run_ms_max=run_ms * 3, wait_ms=jobs * 12, wait_ms_max=90 + ago, **waits)

for ago in range(2, 61):  # an hour in which the main API was away for a while
    away, wave = 20 < ago < 28, 40 + int(25 * sin(ago / 6))
    outcomes = [("SUCCEEDED", wave, 40 + ago), ("SKIPPED", wave // 8, 9)]
    outcomes += [("RETRYING", 16, 300), ("DEAD", 4, 320)] if away else []
    OutcomeMinute.objects.bulk_create([minute(ago, *one) for one in outcomes])
dead = Job.objects.filter(state="DEAD").order_by("id")
service.retry(list(dead[:1]), actor="user:olga", reason="the main API is up again")
main_api_limits.set_limits(Limits(20, 50), actor="user:ann", reason="their server is small")
type_settings.set_overrides("SETTLEMENT_GROWTH", Overrides(concurrency=20), actor="user:olga",
                            reason="their database is small")
clock = WorldClock(rate=Decimal(60), step=600, most_per_step=172_800, time_zone="Europe/Berlin")
world_clocks.configure("campaign-1", Settings.of(clock), actor="user:ann", reason="as agreed in session zero")
world_clocks.start("campaign-1", actor="user:ann", reason="the game is on")
pauses.pause("type", "STRUCTURE_MAINTENANCE", until=timezone.now() + timedelta(minutes=40), actor="user:olga",
             reason="the builders are on a break")
"""


def live(service: Service) -> dict[str, str]:
    """Let the service have a past; pages that are named by what happened in it."""
    sandbox, now = service.sandbox, datetime.now(UTC)
    wait_until(lambda: "campaign-1" in service.shell(_CLOCKS), what="clocks are seen")
    for hour in (14, 17):
        sandbox.control("POST", "advance", {"campaignId": "campaign-1", "to": f"1001-06-01T{hour}:00:00.000Z"})
    wait_until(lambda: "False" in shell(service, _LIVE), what="all due work is done")
    shell(service, _ADVANCE)
    wait_until(lambda: "False" in shell(service, _LIVE), what="the advance is done")
    grown = service.submit(
        "SETTLEMENT_GROWTH", "campaign-1", {"settlementId": "settlement-1-1-1", "growthType": "POPULATION_GROWTH"}
    )
    service.await_state(grown, "SUCCEEDED")
    sandbox.control("POST", "faults", {"errorRate": 1.0, "operations": ["executeEffect"]})
    lost = [effect(service, f"effect-1-{n}", now) for n in (1, 2, 3)]
    for job in lost:
        service.await_state(job, "DEAD")
    sandbox.control("POST", "faults", {"malformed": 20, "errorRate": 0, "operations": []})
    odd = service.submit(
        "STRUCTURE_MAINTENANCE", "campaign-2", {"structureId": "structure-2-1-1-1", "eventType": "MAINTENANCE_DUE"}
    )
    service.await_state(odd, "DEAD")
    sandbox.control("DELETE", "faults")
    for minutes in (20, 90, 600):
        effect(service, f"effect-2-{minutes}", now + timedelta(minutes=minutes))
    shell(service, _STORY)
    service.run("check_main_api")
    return {"job": f"/admin/jobs/job/{lost[2]}/change/", "job-grown": f"/admin/jobs/job/{grown}/change/"}


#: An operator advances time from a what-if.
_ADVANCE: Final = """
from jobs import service
from jobs.main_api.client import main_api
from jobs.schedules import predictions
from jobs.schedules.towns import read_world
from jobs.schedules.what_if import read_until, what_if
world = read_world(main_api(), "campaign-1")
found = what_if(world, read_until(world.now, by="8h"))
payload = {"to": found.until.isoformat(), "cause": "rest-1001-06-01"}
rest = service.Submission(type="ADVANCE_WORLD_TIME", campaign_id="campaign-1", payload=payload)
job, _ = service.submit(rest, actor="user:olga", reason="the party sleeps until dawn")
predictions.keep(job.pk, found)
"""
_LIVE: Final = (
    "from jobs.models import Job; print(Job.objects.filter(state__in=['QUEUED', 'RUNNING', 'RETRYING']).exists())"
)
_CLOCKS: Final = "from jobs.models import CampaignClock; print([c.pk for c in CampaignClock.objects.all()])"


def shell(service: Service, program: str) -> str:
    """Run a program of ours; what it prints."""
    return service.shell(program)


def effect(service: Service, name: str, at: datetime) -> str:
    """Submit an effect."""
    campaign = f"campaign-{name.split('-')[1]}"
    return service.submit("DEFERRED_EFFECT", campaign, {"effectId": name, "executeAt": at.isoformat()})


def pages(page: Page, told: dict[str, str]) -> dict[str, str]:
    """Every page that the menu leads to, by name, and those that only a thing of their own leads to."""
    page.goto("/admin/")
    links = page.locator("nav a[href^='/admin/']").evaluate_all("all => all.map(a => [a.pathname, a.innerText])")
    named = {"dashboard": "/admin/"}
    for path, text in links:
        if "logout" not in path and path != "/admin/":
            words = [line for line in text.strip().split("\n") if not line.strip().isdecimal()]  # a number is a badge
            named["-".join(words[-1].lower().split())] = path
    page.goto("/admin/jobs/failuregroup/")
    named["failure"] = page.locator(".ops-failure").first.get_attribute("href") or ""
    page.goto("/admin/jobs/campaignclock/campaign-1/advances/")
    named["advance"] = page.locator("tbody th a").first.get_attribute("href") or ""
    return (
        named
        | told
        | {
            "new-job": "/admin/jobs/job/add/?type=SETTLEMENT_GROWTH",
            "job-type": "/admin/jobs/job/types/SETTLEMENT_GROWTH/",
            "campaign": "/admin/jobs/campaignclock/campaign-1/change/",
            "calendar": "/admin/jobs/campaignclock/campaign-1/calendar/?from=lantern",
            "world-clock": "/admin/jobs/campaignclock/campaign-1/world-clock/",
            "forecast": "/admin/jobs/campaignclock/campaign-1/forecast/?days=7",
            "what-if": "/admin/jobs/campaignclock/campaign-1/what-if/?by=7d",
            "cron-task": "/admin/jobs/crontask/1/change/",
            "queue": "/admin/queues/queues/1/",
            "alert-handler": "/admin/monitoring/alerthandler/add/?kind=webhook",
            "not-found": "/admin/nothing/",
        }
    )


def shoot(page: Page, where: str, path: Path) -> None:
    """One picture, as high as the page."""
    page.set_viewport_size({"width": page.viewport_size["width"] if page.viewport_size else WIDE, "height": 900})
    page.goto(where)
    page.wait_for_load_state("networkidle")
    height: Any = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size(
        {"width": page.viewport_size["width"] if page.viewport_size else WIDE, "height": max(900, min(height, TALLEST))}
    )
    picture(page, path)


def picture(page: Page, path: Path) -> None:
    """A picture in 256 colours, rare ones too, which nobody tells from the whole: half of the size."""
    taken = Image.open(BytesIO(page.screenshot())).convert("RGB")
    taken.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)


def dry_run(page: Page, path: Path) -> None:
    """The question before something is done to many."""
    page.goto("/admin/jobs/job/?state=DEAD")
    page.locator("#action-toggle").check()
    page.select_option("select[name=action]", "retry")
    page.locator("#changelist-actions button[type=submit]").click()
    page.wait_for_selector("[data-plan]")
    picture(page, path)


def trouble() -> int:
    """The first screen in the trouble of a bad night; the exit code."""
    service = Service(API_CIRCUIT_BREAKER_THRESHOLD="3")
    try:
        for process in service.processes[3:]:  # after the sandbox, the shell and web
            process.process.kill()
        shell(service, "from tests.support import trouble; trouble.make(suspended=False)")
        with chromium(draws=True) as browser:
            for look, (theme, width) in LOOKS.items():
                page = page_of(browser, service.url, service.session("ann"), theme=theme, width=width)
                page.goto("/admin/")  # tells the server the time zone
                await_outage(page)
                picture(page, FOLDER / f"trouble{look}.png")
                page.context.close()
    finally:
        service.stop()
    return 0


def await_outage(page: Page) -> None:
    """Until the dashboard says that worker, scheduler and listener are gone."""
    wait_until(lambda: read_dashboard(page).count("none is running") > 2, within_s=120, what="the outage is seen")


def read_dashboard(page: Page) -> str:
    page.goto("/admin/")
    page.wait_for_load_state("networkidle")
    return page.inner_text("main")


def main(arguments: list[str]) -> int:
    """Make all pictures, or those of the trouble; the exit code."""
    if CHROMIUM is None:
        print(MISSING)
        return 1
    if arguments == ["trouble"]:
        return trouble()
    FOLDER.mkdir(parents=True, exist_ok=True)
    service = Service(
        QUEUE_RETRY_BACKOFF_MS="100", API_CIRCUIT_BREAKER_THRESHOLD="1000", CRON_EVENT_EXPIRATION="* * * * *"
    )
    try:
        told, session = live(service), service.session("ann")
        with chromium(draws=True) as browser:
            named = pages(page_of(browser, service.url, session), told)
            for look, (theme, width) in LOOKS.items():
                page = page_of(browser, service.url, session, theme=theme, width=width)
                page.goto("/admin/")  # tells the server the time zone
                for name, where in named.items():
                    shoot(page, where, FOLDER / f"{name}{look}.png")
                dry_run(page, FOLDER / f"dry-run{look}.png")
                page.context.close()
        print(f"{(len(named) + 1) * len(LOOKS)} pictures in {FOLDER}")
    finally:
        service.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
