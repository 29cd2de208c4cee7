"""Pages show jobs, settlements and campaigns by name, and times with their zone."""

import re
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from redis import Redis

from jobs import control, failures, main_api_limits, pauses, service, type_settings
from jobs.fingerprint import fingerprint_of
from jobs.ledger import Ending, moves
from jobs.main_api.limits import Limits
from jobs.models import CampaignClock, CronTask, FailureGroup, Job, ScheduleRow
from jobs.outcome import Outcome
from jobs.overrides import Overrides
from jobs.service import Submission, submit
from jobs.states import State
from tests.support.campaigns import growth
from tests.support.people import member

pytestmark = pytest.mark.django_db(transaction=True)
ERROR = "NotFound: s-7 is gone"
NAMED = "Grow population of Riverton"
PAYLOAD = {"settlementId": "s-7", "growthType": "POPULATION_GROWTH"}


@pytest.fixture
def job(redis: Redis) -> Job:
    """A running job about Riverton, in Northmarch."""
    CampaignClock.objects.create(campaign_id="c-2", name="Northmarch")
    growth(timedelta(0), campaign_id="c-2", entity="s-7", name="Riverton")
    made, _ = submit(Submission(type="SETTLEMENT_GROWTH", campaign_id="c-2", payload=PAYLOAD), actor="test")
    moves.cycle([], [str(made.pk)], actor="worker:w-1", worker="w-1", now=timezone.now())
    made.refresh_from_db()
    return made


def dies(job: Job) -> None:
    """Its attempt ends for good."""
    ending = Ending(job, Outcome(State.DEAD, ERROR), error=ERROR, failure=fingerprint_of(ERROR, ""))
    moves.cycle([ending], [], actor="worker:w-1", worker="w-1", now=timezone.now())
    job.refresh_from_db()


def assert_named(page: Any) -> None:
    """It says what the job does, and where."""
    text = page.content.decode()
    assert NAMED in text
    assert "Northmarch" in text
    assert "s-7:POPULATION_GROWTH" not in text


def test_running_jobs_are_named_on_the_dashboard(admin_client: Client, job: Job) -> None:
    """Not by type and subject; also if no names are known."""
    submit(Submission(type="EVENT_EXPIRATION", campaign_id="c-9", payload={}), actor="test")
    moves.cycle([], [str(Job.objects.get(campaign_id="c-9").pk)], actor="worker:w-1", worker="w-1", now=timezone.now())
    page = admin_client.get("/admin/")

    assert_named(page)
    assert "c-9" in page.content.decode()


def test_dead_letters_are_named_on_failures_and_in_the_dry_run(admin_client: Client, job: Job) -> None:
    """The newest ones, their campaigns with links, and what a retry would touch."""
    dies(job)
    failure = admin_client.get(f"/admin/jobs/failuregroup/{job.failure_key}/change/")

    assert_named(failure)
    assert f"failure={job.failure_key}&amp;state=DEAD&amp;campaign_id__exact=c-2" in failure.content.decode()
    assert_named(admin_client.post("/admin/jobs/job/", {"action": "retry", "_selected_action": [str(job.pk)]}))


def test_the_audit_trail_names_jobs(admin_client: Client, job: Job) -> None:
    """Each line of a job; the dashboard's recent actions link to them."""
    dies(job)
    service.retry([job], actor="user:ann", reason="mended")
    others = [
        submit(Submission(type="EVENT_EXPIRATION", campaign_id=f"c-{n}", payload={}), actor="test")[0] for n in range(2)
    ]
    service.cancel(others, actor="user:ann", reason="not needed")

    assert_named(admin_client.get("/admin/jobs/auditentry/"))
    assert "/admin/jobs/auditentry/?who=user%3Aann" in admin_client.get("/admin/").content.decode()


def test_schedules_name_and_link_to_their_campaign(admin_client: Client, job: Job) -> None:
    """To the row on the campaign's page that says what blocks it."""
    row = ScheduleRow.objects.get()

    for path in ("", f"{row.pk}/change/"):
        text = admin_client.get(f"/admin/jobs/schedulerow/{path}").content.decode()
        assert '<a href="/admin/jobs/campaignclock/c-2/change/?q=s-7">Northmarch</a>' in text
        assert "Population growth" in text
        assert row.next_due not in re.sub("<[^>]*>", "", text)  # not as it is stored


@pytest.mark.parametrize(
    ("term", "way"),
    [
        ("north", "/admin/jobs/campaignclock/c-2/change/"),
        ("river", "/admin/jobs/campaignclock/c-2/change/?q=s-7"),
        ("effect 1&2", "/admin/jobs/job/?q=effect+1%262"),
    ],
)
def test_the_palette_finds_campaigns_settlements_and_jobs(admin_client: Client, job: Job, term: str, way: str) -> None:
    """And leads to the page that says what blocks them."""
    assert f'href="{way}"' in find(admin_client, term)


def test_the_way_to_a_page_has_names_as_they_were_given(admin_client: Client, job: Job) -> None:
    """Of users and cron tasks, which may begin with a small letter; jobs and schedules are named in words."""
    task, row = CronTask.objects.order_by("pk")[0], ScheduleRow.objects.get(entity_id="s-7")
    ways = {
        f"auth/user/{User.objects.create_user('olga').pk}/change/": "olga",
        f"jobs/crontask/{task.pk}/change/": task.name,
        f"jobs/job/{job.pk}/change/": "Settlement growth",
        f"jobs/job/add/?copy={job.pk}": "Settlement growth",
        f"jobs/schedulerow/{row.pk}/change/": "Population growth of Riverton",
    }
    pages = {way: admin_client.get(f"/admin/{way}").content.decode() for way in ways}

    assert [way for way, name in ways.items() if f">{name}</a>" not in read_heading(pages[way])] == []
    assert NAMED in pages[f"jobs/job/add/?copy={job.pk}"]
    assert "POPULATION_GROWTH" not in re.sub("<[^>]*>", "", pages[f"jobs/schedulerow/{row.pk}/change/"])


@pytest.mark.parametrize(
    ("page", "name"), [("jobs/job", "Jobs"), ("auth/group", "Groups"), ("axes/accessattempt", "Failed logins")]
)
def test_a_list_is_titled_by_what_it_lists(admin_client: Client, redis: Redis, page: str, name: str) -> None:
    """Not "Select job to view"."""
    html = admin_client.get(f"/admin/{page}/").content.decode()

    assert f"<title> {name} | Campaign scheduler</title>" in html
    assert f">{name}</a>" in read_heading(html)


def read_heading(html: str) -> str:
    return html[html.index("<h1") : html.index("</h1>")]


def find(client: Client, term: str, **more: str) -> str:
    return client.get("/admin/search/", {"s": term, "extended": "1", **more}).content.decode()


def test_the_palette_finds_the_pages_of_the_menu(admin_client: Client, redis: Redis) -> None:
    """Each by its name, and none that the user may not see."""
    menu = admin_client.get("/admin/").context["sidebar_navigation"]
    links = [link for group in menu for link in group["items"]]

    assert {"Upcoming", "Circuit breaker", "Queues", "Failed logins"} <= {link["title"] for link in links}
    assert [link["title"] for link in links if f'href="{link["link"]}"' not in find(admin_client, link["title"])] == []
    assert 'href="/admin/auth/user/"' not in find(member(Client(), "Viewer"), "Users")


def test_the_palette_finds_what_there_is_now(admin_client: Client, redis: Redis) -> None:
    """Also if it has been asked before; and whatever page of the results is asked for."""
    assert "Northmarch" not in find(admin_client, "north")

    CampaignClock.objects.create(campaign_id="c-2", name="Northmarch")
    assert all("Northmarch" in find(admin_client, "north", page=page) for page in ("1", "0", "x"))


def test_the_palette_shows_a_town_before_its_structures(admin_client: Client) -> None:
    """More of them than are shown."""
    for name in (*(f"Barracks {n} of Riverton" for n in range(9)), "Riverton"):
        growth(timedelta(0), campaign_id="c-2", entity=name, name=name)

    ways = re.findall(r'href="/admin/jobs/campaignclock/c-2/change/[?]q=([^"]+)"', find(admin_client, "river"))
    assert ways[:2] == ["Riverton", "Barracks+0+of+Riverton"]
    assert len(ways) == 8


def test_times_are_shown_with_their_zone(admin_client: Client, job: Job) -> None:
    """The user's zone."""
    admin_client.cookies["zone"] = "America/Sao_Paulo"
    local = f"{job.due_at.astimezone(ZoneInfo('America/Sao_Paulo')):%Y-%m-%d %H:%M:%S %Z}"

    assert local.endswith(" -03")
    for page in (f"jobs/job/{job.pk}/change/", "jobs/job/"):
        assert f"<small>{local}</small>" in admin_client.get(f"/admin/{page}").content.decode()


def test_time_fields_name_their_zone(admin_client: Client, job: Job) -> None:
    """Wherever one is typed in."""
    admin_client.cookies["zone"] = "America/Sao_Paulo"
    task = CronTask.objects.order_by("pk")[0]
    pages = [
        admin_client.get(f"/admin/jobs/{page}")
        for page in ("pause/", "auditentry/", "campaignclock/c-2/change/", f"crontask/{task.pk}/change/", "job/")
    ]
    due_at = timezone.now() + timedelta(hours=1)
    later, _ = submit(Submission(type="EVENT_EXPIRATION", campaign_id="c", payload={}, due_at=due_at), actor="test")
    pages.append(admin_client.post("/admin/jobs/job/", {"action": "reschedule", "_selected_action": [str(later.pk)]}))

    for page in pages:
        assert "America/Sao_Paulo" in page.content.decode()
    assert "Time zone: America/Sao_Paulo. Leave empty to re-enable it manually." in pages[3].content.decode()


def test_people_are_named_and_not_their_actors(admin_client: Client, job: Job) -> None:
    """Wherever somebody's action is shown; the actor itself is in titles, exports and the API."""
    waits, _ = submit(Submission(type="EVENT_EXPIRATION", campaign_id="c-2", payload={}), actor="token:tests")
    service.cancel([waits], actor="user:ann", reason="not needed")
    dies(job)
    group = FailureGroup.objects.get()
    failures.acknowledge(group, actor="user:ann")
    pauses.pause("type", "SETTLEMENT_GROWTH", actor="user:ann", reason="quiet")
    pauses.pause("queue", "low", actor="user:ann")
    pauses.resume("queue", "low", actor="user:ann")
    control.set_breaker("open", actor="user:ann", reason="repair")
    main_api_limits.set_limits(Limits(5), actor="user:ann", reason="their server is small")
    type_settings.set_overrides("SETTLEMENT_GROWTH", Overrides(5), actor="user:ann", reason="patience")
    addresses = [
        "/admin/",
        "/admin/jobs/auditentry/",
        "/admin/jobs/auditentry/?scope=all",
        "/admin/jobs/pause/",
        "/admin/jobs/pause/breaker/",
        "/admin/jobs/pause/limits/",
        "/admin/jobs/failuregroup/",
        f"/admin/jobs/failuregroup/{group.pk}/change/",
        f"/admin/jobs/job/{job.pk}/change/",
        f"/admin/jobs/job/{waits.pk}/change/",
        "/admin/jobs/job/types/SETTLEMENT_GROWTH/",
    ]

    pages = {address: admin_client.get(address, follow=True) for address in addresses}
    control.set_breaker("automatic", actor="user:ann")
    texts = {address: re.sub(r"<[^>]*>", " ", page.content.decode()) for address, page in pages.items()}

    assert {page.status_code for page in pages.values()} == {200}
    assert [address for address, text in texts.items() if not re.search(r"\bann\b", text)] == []
    assert [address for address, text in texts.items() if re.search(r"(user|token|worker):\w", text)] == []
