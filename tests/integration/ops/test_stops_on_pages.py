"""Jobs that are due at a world time, on the pages and in the API: never with a false date."""

import csv
import io
from datetime import timedelta
from html import unescape

import pytest
from django.test import Client
from django.utils import timezone
from redis import Redis

from jobs import actions, calendars, service, stops
from jobs.models import CampaignClock, Job, WorldStop
from jobs.states import State
from jobs.world.calendars.examples import LANTERN
from jobs.world.clock import WorldTime
from ops import bulk
from ops.reads.forecast import count_by_event
from ops.reads.stops import explain_wait
from ops.verbs import VERBS
from tests.support.advancing import CAMPAIGN, recalculate
from tests.support.campaigns import READING, campaign, growth, text_of
from tests.support.people import JOBS
from tests.support.servers import SandboxApi
from tests.support.stops import submit_at

pytestmark = pytest.mark.django_db(transaction=True)
BEFORE, AFTER = "1492-03-05T05:00:00.000Z", "1492-03-06T18:00:00.000Z"
WRITTEN = "10 Seedrise 1492 LC, 18:00"
API = {"authorization": "Bearer secret-of-tests"}


def look(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    body = answer.getvalue() if answer.streaming else answer.content
    return unescape(body.decode())


@pytest.fixture
def effect(redis: Redis) -> Job:
    """Of a campaign with a calendar of its own, whose world time is 36 hours before it."""
    campaign()
    calendars.set_own("c-1", LANTERN, actor="user:ann", reason="ours")
    return submit_at(AFTER, campaign_id="c-1")


def test_a_waiting_effect_shows_its_world_time_everywhere(admin_client: Client, effect: Job) -> None:
    """In the campaign's calendar, and nowhere the due time that never comes."""
    page = look(admin_client, f"{JOBS}{effect.pk}/change/")
    assert f"Waits until world time reaches {WRITTEN}." in page
    assert "It must advance by 1 d 12 h" in page
    assert 'value="reschedule"' not in page
    assert WRITTEN in look(admin_client, JOBS)
    assert WRITTEN in text_of(admin_client)

    (row,) = csv.DictReader(io.StringIO(look(admin_client, f"{JOBS}export/csv/").removeprefix("\ufeff")))
    assert (row["due_at"], row["clock"], row["clock_due"]) == ("", "world", AFTER)
    shown = Client().get(f"/api/jobs/{effect.pk}", headers=API).json()
    assert (shown["dueAt"], shown["worldTimeDue"]) == (None, AFTER)
    for body in (page, look(admin_client, JOBS), text_of(admin_client)):
        assert "9999" not in body


def test_it_says_what_it_waits_for(effect: Job) -> None:
    """Each cause in turn."""
    earlier = submit_at(BEFORE, "boom", "c-1")
    growth(timedelta(hours=-2), name="Riverton")

    def why(job: Job) -> str:
        (says,) = explain_wait(job, LANTERN)
        return says

    assert "1 due time is applied first: population growth of Riverton" in why(earlier)
    CampaignClock.objects.update(world_time=AFTER)
    assert f"Job {earlier.pk} comes before it" in why(effect)
    CampaignClock.objects.update(is_active=False)
    assert "inactive" in why(effect)
    CampaignClock.objects.update(world_time="")
    assert "has no world time" in why(effect)
    WorldStop.objects.all().delete()
    assert "Run it now, or cancel it" in why(effect)


def test_a_campaign_says_that_its_world_stands_at_an_effect(admin_client: Client, effect: Job) -> None:
    """What is due later is blocked by it; what is due by then is not. So says the effect's own page."""
    growth(timedelta(hours=30), entity="s-1")
    growth(timedelta(hours=40), entity="s-2")
    CampaignClock.objects.update(world_time="1492-03-07T18:00:00.000Z")
    stops.open_first("c-1", WorldTime.parse("1492-03-07T18:00:00.000Z"))
    page = admin_client.get("/admin/jobs/campaignclock/c-1/change/")

    assert f"The world stands at {WRITTEN} until this job has ended" in unescape(page.content.decode())
    assert [[one.name for one in row.blockers if one.name == "world time"] for row in page.context["rows"]] == [
        [],
        ["world time"],
    ]
    assert service.release(effect, actor="scheduler", reason="world time is there")
    assert "until the job has ended" in look(admin_client, f"{JOBS}{effect.pk}/change/")
    service.cancel([effect], actor="user:ann", reason="never mind")
    assert "World time continues without it" in look(admin_client, f"{JOBS}{effect.pk}/change/")


def test_bulk_actions_leave_out_what_they_cannot_reschedule(effect: Job) -> None:
    """The dry run says so before, and the report after."""
    verb, jobs = VERBS["reschedule"], Job.objects.all()
    left = "SCHEDULED, waits for a world time"
    dry_run = bulk.dry_run(verb, jobs)
    action = actions.begin(verb.name, actor="user:ann", reason="later", due_at=timezone.now())
    done = bulk.run(action, jobs, until=dry_run.until)

    assert (dry_run.will, dry_run.skipped) == ({}, {left: 1})
    assert (done.done, done.skipped) == (0, {left: 1})
    answer = Client().post(
        f"/api/jobs/{effect.pk}/reschedule", {"dueAt": READING}, content_type="application/json", headers=API
    )
    assert answer.status_code in (400, 409)


def test_a_new_effect_takes_one_of_both_times(admin_client: Client, effect: Job) -> None:
    """A world time in the campaign's calendar; a duplicate of the same work is the same job."""
    form = {"campaign_id": "c-1", "effectId": "effect-1-1", "executeAtWorldTime": "11 Seedrise 1492 LC, 06:00"}
    url = f"{JOBS}add/?type=DEFERRED_EFFECT"
    both = admin_client.post(url, {**form, "executeAt": "2026-01-01T00:00"})
    assert both.status_code == 400
    assert "Exactly one of “Execute at” and “Execute at world time” is required" in both.content.decode()
    assert admin_client.post(url, form).status_code == 302

    job = Job.objects.latest("pk")
    assert (job.state, job.clock_due) == (State.SCHEDULED, "1492-03-07T06:00:00.000Z")
    assert admin_client.get(f"{JOBS}add/?copy={job.pk}").status_code == 200


def test_looking_ahead_lists_effects_without_knowing_what_they_do(
    admin_client: Client, redis: Redis, sandbox: SandboxApi
) -> None:
    recalculate(redis)
    job = submit_at("1001-06-01T13:00:00.000Z", "boom")
    pages = f"/admin/jobs/campaignclock/{CAMPAIGN}"
    line = next(line for line in forecast(admin_client)["lines"] if line["event"] == "DEFERRED_EFFECT")
    found = Client().get(f"/api/campaigns/{CAMPAIGN}/what-if?by=2h", headers=API).json()

    assert (line["at"], line["entityId"], line["entityName"]) == ("1001-06-01T13:00:00.000Z", str(job.pk), "boom")
    assert "not known in advance" in line["summary"]
    assert [one["id"] for one in found["jobs"]] == [str(job.pk)]
    assert ("Deferred effect", 1) in count_by_event(found["totals"])
    assert "not known in advance" in look(admin_client, f"{pages}/forecast/?days=1")
    assert f"{JOBS}{job.pk}/change/" in look(admin_client, f"{pages}/what-if/?by=2h")


def forecast(client: Client) -> dict[str, list[dict[str, str]]]:
    path = f"/api/campaigns/{CAMPAIGN}/forecast?days=1&limit=1000"
    found: dict[str, list[dict[str, str]]] = client.get(path, headers=API).json()
    return found
