"""The page of an advance of world time: the parent of all that it brought."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from redis import Redis

from jobs import pauses, service
from jobs.models import AdvanceSource, CampaignClock, Job, WorldAdvance
from jobs.schedules.advances import react
from jobs.service import Submission
from jobs.states import State
from jobs.world.clock import WorldTime
from ops.reads import advance as advance_page
from ops.reads import advance_list
from tests.support.dialects import let_time_move
from tests.support.servers import SandboxApi
from tests.support.stops import submit_at
from tests.support.working import work

pytestmark = pytest.mark.django_db(transaction=True)
CAMPAIGN = "campaign-1"
ALL = f"/admin/jobs/campaignclock/{CAMPAIGN}/advances/"
TO = "1001-06-01T20:00:00.000Z"


@pytest.fixture
def sandbox(sandbox: SandboxApi) -> SandboxApi:
    """One in which time can be advanced."""
    let_time_move(sandbox)
    return sandbox


@pytest.fixture
def advance(redis: Redis, sandbox: SandboxApi) -> Callable[[], WorldAdvance]:
    """Advances a world with schedules by eight hours, by a job with a cause, and works."""

    def begin() -> WorldAdvance:
        for kind in ("SETTLEMENT", "STRUCTURE"):
            name = f"RECALCULATE_{kind}_SCHEDULES"
            service.submit(Submission(type=name, campaign_id=CAMPAIGN, payload={}), actor="test")
        work(redis)
        payload = {"byMinutes": 480, "cause": "rest-7"}
        rest = Submission(type="ADVANCE_WORLD_TIME", campaign_id=CAMPAIGN, payload=payload)
        job, _ = service.submit(rest, actor="user:ann", reason="the party sleeps")
        work(redis)
        return WorldAdvance.objects.get(job_id=job.pk)

    return begin


def read(client: Client, found: WorldAdvance, **query: str) -> tuple[Any, str]:
    answer = client.get(f"{ALL}{found.pk}/", query)
    assert answer.status_code == 200
    return answer.context, answer.content.decode()


def test_progress_and_what_a_pause_holds_back(
    viewer: Client, redis: Redis, advance: Callable[[], WorldAdvance]
) -> None:
    """Then the rest, until nothing is due by its end; with who, why, and what changed."""
    pauses.pause("type", "STRUCTURE_MAINTENANCE", actor="user:ann", reason="wait")
    found = advance()
    held = Job.objects.filter(type="STRUCTURE_MAINTENANCE", state=State.QUEUED).count()
    context, text = read(viewer, found)
    assert held > 0
    assert (context["advance"].held, context["advance"].phase[0]) == (held, "In progress")
    assert f"{held} blocked by a pause" in text
    assert "due times before its end are not applied yet" in text
    assert 'id="live" data-live' in text

    pauses.resume("type", "STRUCTURE_MAINTENANCE", actor="user:ann", reason="go on")
    work(redis)
    context, text = read(viewer, found)
    shown = context["advance"]
    assert shown.phase[0] == "Done"
    assert shown.applied == shown.total == Job.objects.filter(request_id=found.request_id).count() > held
    for said in ("submitted by ann", "rest-7", "the party sleeps", "health: 100 → 60", f"{shown.total} applied"):
        assert said in text
    assert "every 5s" not in text


def test_its_jobs_in_order_page_by_page_and_in_the_list(
    viewer: Client, advance: Callable[[], WorldAdvance], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advance_page, "PAGE", 7)
    found = advance()
    context, text = read(viewer, found, town="settlement-1-1-1")
    (town,) = [one for one in context["towns"] if one.id == "settlement-1-1-1"]
    assert town.total > len(context["steps"]) == 7
    assert all("-1-1-1" in step.job.subject for step in context["steps"])
    assert f"Jobs of {town.name}" in text
    assert "No what-if was kept" in text
    seen: list[Job] = []
    context, _ = read(viewer, found)
    while True:
        seen += [step.job for step in context["steps"]]
        if not context["more"]:
            break
        last = context["more"].job
        context, _ = read(viewer, found, after=f"{last.clock_due}~{last.pk}")

    assert [job.clock_due for job in seen] == sorted(job.clock_due for job in seen)
    assert len({job.pk for job in seen}) == len(seen) == context["advance"].total
    listed = viewer.get("/admin/jobs/job/", {"advance": str(found.pk)}).context["cl"]
    assert listed.result_count == len(seen)
    link = f'href="{ALL}{found.pk}/"'
    for job_id in (found.job_id, seen[-1].pk):
        assert link in viewer.get(f"/admin/jobs/job/{job_id}/change/").content.decode()


def test_failures_are_counted_and_linked(
    viewer: Client, advance: Callable[[], WorldAdvance], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the jobs that are searched, which a busy campaign limits: the page says so."""
    found = advance()
    dead = Job.objects.filter(type="SETTLEMENT_GROWTH", request_id=found.request_id)[0]
    Job.objects.filter(pk=dead.pk).update(state=State.DEAD, error="the town is on fire")
    context, text = read(viewer, found, show="failed")
    assert [step.job.pk for step in context["steps"]] == [dead.pk]
    assert (context["advance"].phase[0], context["advance"].failed) == ("Ended, with failures", 1)
    assert f"?advance={found.pk}&amp;state=DEAD" in text
    assert "the town is on fire" in text

    monkeypatch.setattr(advance_page, "MOST_JOBS", 3)
    context, text = read(viewer, found)
    assert context["advance"].total == 3
    assert "first 3 jobs since then are counted" in text


@pytest.mark.parametrize("source", [AdvanceSource.MESSAGE, AdvanceSource.CLOCK])
def test_an_advance_by_others_has_the_same_page(viewer: Client, redis: Redis, source: AdvanceSource) -> None:
    CampaignClock.objects.create(pk=CAMPAIGN, name="Northmarch", world_time="1001-06-01T12:00:00.000Z")
    found = react(CAMPAIGN, WorldTime.parse(TO), source=source, actor="listener")
    assert found is not None
    context, text = read(viewer, found)

    assert "Somebody in the main API" in text
    assert (context["advance"].phase[0], context["advance"].total) == ("In progress", 3)
    assert f'href="{ALL}{found.pk}/"' in viewer.get(ALL).content.decode()
    assert ALL in viewer.get(f"/admin/jobs/campaignclock/{CAMPAIGN}/change/").content.decode()


def test_all_advances_are_in_one_list(
    viewer: Client, advance: Callable[[], WorldAdvance], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With campaign, who, progress and state; of a busy campaign as far as the list looks. The menu leads to it."""
    found = advance()
    react("campaign-2", WorldTime.parse(TO), source=AdvanceSource.CLOCK, actor="listener")
    text = viewer.get("/admin/jobs/campaignclock/advances/").content.decode()
    total = Job.objects.filter(request_id=found.request_id).count()
    for said in (
        f"{total} of {total}",
        "submitted by ann",
        "Done",
        "0 of 3",
        "In progress",
        "Somebody in the main API",
    ):
        assert said in text
    assert f'href="{ALL}{found.pk}/"' in text
    assert 'href="/admin/jobs/campaignclock/advances/"' in viewer.get("/admin/").content.decode()

    monkeypatch.setattr(advance_list, "LISTED_JOBS", 3)
    with CaptureQueriesContext(connection) as few:
        advance_list.list_latest(None, None)
    for number in range(3, 6):
        react(f"campaign-{number}", WorldTime.parse(TO), source=AdvanceSource.CLOCK, actor="listener")
    submit_at(TO, campaign_id="campaign-3")
    with CaptureQueriesContext(connection) as many:
        listed, _ = advance_list.list_latest(None, None)
    alone = [advance_page.Advance(one.advance.row, most_jobs=3) for one in listed]
    assert len(many) == len(few)
    assert [(one.advance.phase, one.advance.ceiling, one.advance.counts) for one in listed] == [
        (one.phase, one.ceiling, one.counts) for one in alone
    ]
    assert [one.advance.stands for one in listed] == [one.stop is not None for one in alone]
    WorldAdvance.objects.exclude(campaign_id__in=[CAMPAIGN, "campaign-2"]).delete()

    monkeypatch.setattr(advance_list, "LISTED", 1)
    context = viewer.get("/admin/jobs/campaignclock/advances/").context
    older = viewer.get("/admin/jobs/campaignclock/advances/", {"before": context["more"]})
    assert [one.advance.row.campaign_id for one in older.context["advances"]] == [CAMPAIGN]
    assert "3+" in "".join(older.content.decode().split())
    own = viewer.get(ALL).context["advances"]
    assert [one.advance.row.pk for one in own] == [found.pk]


def test_a_job_that_cannot_move_time_says_so(
    viewer: Client, redis: Redis, sandbox: SandboxApi, advance: Callable[[], WorldAdvance]
) -> None:
    sandbox.control("POST", "dialect", {"points": [11]})

    assert read(viewer, advance())[0]["advance"].phase[0] == "Time has not moved"


def test_who_may_not_see_jobs_sees_no_advance(viewer: Client, redis: Redis) -> None:
    """And there is no page for one of another campaign."""
    CampaignClock.objects.create(pk=CAMPAIGN)
    other = WorldAdvance.objects.create(campaign_id="c-2", to_time=TO, source="message", request_id="r")
    for number in (other.pk, 10**30):
        assert viewer.get(f"{ALL}{number}/").status_code == 404
    assert viewer.get("/admin/jobs/campaignclock/none/advances/").status_code == 404
    assert viewer.get(ALL, {"before": "x"}).status_code == 200
    user: Any = viewer.get(ALL).wsgi_request.user
    user.groups.clear()

    assert viewer.get(ALL).status_code == viewer.get(f"{ALL}{other.pk}/").status_code == 403
