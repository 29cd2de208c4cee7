"""What is done to a whole filter of jobs goes on in steps."""

from datetime import UTC, datetime, timedelta

from playwright.sync_api import Page, Route, expect

from ops import bulk
from tests.support.browser import IN_BROWSER, Visit
from tests.support.people import JOBS
from tests.support.service import PASSWORD, Service

pytestmark = IN_BROWSER


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
    service.shell(program)
    page.goto(f"{JOBS}?campaign_id__exact={campaign}")
    page.locator("#action-toggle").check()
    page.get_by_text("Select all jobs of this filter").click()
    expect(page.get_by_text("All jobs of this filter selected")).to_be_visible()
    page.select_option("select[name=action]", "cancel")
    page.locator("#changelist-actions button[type=submit]").click()
    expect(page.locator("[data-plan]")).to_have_text(f"{count} will be cancelled.")
    return count


def test_a_bulk_action_shows_its_progress(service: Service, visit: Visit) -> None:
    """A whole filter of more than one step: the bar ends with the true counts, and with a button that undoes it."""
    page = visit("olga")
    count = all_of_a_filter(service, page, "many")
    service.shell(_ONE_IS_CANCELLED)  # after the dry run
    page.get_by_role("button", name=f"Cancel {count} jobs").click()
    expect(page.get_by_role("status")).to_contain_text(f"{count - 1} cancelled, 1 left as before: 1 cancelled. Done.")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".ops-message")).to_contain_text(f"Undone for {count - 1} jobs.")


def test_a_logout_between_two_steps_is_reported(service: Service, visit: Visit) -> None:
    """With what was done so far; the login leads back to the jobs that are left."""
    page = visit("olga", session=service.session("olga"))
    count = all_of_a_filter(service, page, "long")
    session = next(cookie["value"] for cookie in page.context.cookies() if cookie["name"] == "sessionid")
    end = f"from django.contrib.sessions.models import Session\nSession.objects.get(pk={session!r}).delete()"
    steps = []

    def step(route: Route) -> None:
        steps.append(route)
        if len(steps) == 2:
            service.shell(end)
        route.continue_()

    page.route(lambda url: JOBS in url, step)
    page.get_by_role("button", name=f"Cancel {count} jobs").click()
    word = page.locator(".ops-progress [role=alert]")
    done = f"So far {bulk.STEP} cancelled, 0 left as before"
    expect(word).to_contain_text(f"Stopped: you are logged out. {done}")
    page.unroute_all()
    word.get_by_role("link", name="Log in to continue").click()
    page.get_by_label("Username").fill("olga")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**campaign_id__exact=long")
    expect(page.get_by_role("navigation", name="Pages")).to_contain_text(str(count))
