"""What an operator does about a failed effect, a campaign that pauses, a cron task and a new job."""

from datetime import UTC, datetime

from playwright.sync_api import expect

from tests.support.browser import IN_BROWSER, DeadEffect, Visit
from tests.support.people import JOBS
from tests.support.servers import wait_until
from tests.support.service import Service, now

pytestmark = IN_BROWSER


def test_an_operator_finds_and_retries_a_failed_effect(service: Service, visit: Visit, dead_effect: DeadEffect) -> None:
    """Search by campaign, open the job, read why, retry with a reason: done, and audited."""
    job = dead_effect("effect-1-1", "campaign-1")
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


def test_an_operator_retries_one_failure_group(service: Service, visit: Visit, dead_effect: DeadEffect) -> None:
    """One of two failures is retried as a whole; the other stays."""
    broken = [dead_effect(f"effect-2-{n}", "campaign-2") for n in (1, 2)]
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


def test_an_operator_pauses_a_campaign(service: Service, visit: Visit) -> None:
    """Its job waits and says why; others run; the banner is on every page; resumed, it runs."""
    page = visit("olga")
    page.goto("/admin/jobs/pause/")
    page.get_by_label("Campaign ID").fill("campaign-2")
    page.get_by_label("How long").select_option("60")
    page.get_by_label("Reason", exact=True).fill("the players are on a break")
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_text("Running jobs finish.").first).to_contain_text("is paused by olga")
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


def test_an_administrator_changes_a_cron_task(service: Service, visit: Visit) -> None:
    """A bad expression is reported under its field; a good one fires, and its run is listed."""
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
    expect(page.locator("tbody tr").first).to_contain_text("ann")


def test_a_viewer_cannot_act(service: Service, visit: Visit, dead_effect: DeadEffect) -> None:
    """They see the job and no button; posts are refused in words."""
    job = dead_effect("effect-1-2", "campaign-1")
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


def test_a_new_job_s_time_is_entered_in_the_user_s_zone(service: Service, visit: Visit) -> None:
    """The type's fields; a time in Berlin, shown so on the job's page."""
    page = visit("olga")
    page.goto(JOBS)  # where the page's script tells the server the zone
    page.goto(f"{JOBS}add/?type=DEFERRED_EFFECT")
    expect(page.get_by_text("Time zone: Europe/Berlin").first).to_be_visible()
    page.get_by_label("Campaign").fill("campaign-1")
    page.get_by_label("Effect ID").fill("effect-1-3")
    year = datetime.now(UTC).year + 1
    page.get_by_label("Execute at", exact=True).fill(f"{year}-07-01T08:00:00")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_text("Job submitted.")).to_be_visible()
    expect(page.get_by_text(f"{year}-07-01 08:00:00").first).to_be_visible()

    job = page.url.rstrip("/").split("/")[-2]
    assert service.api(f"jobs/{job}")["dueAt"].startswith(f"{year}-07-01T06:00:00")
