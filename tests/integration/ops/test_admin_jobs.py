"""The list of jobs: what it finds, how it is paged, and what it reads."""

import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from redis import Redis

from jobs import pauses, service, state_counts
from jobs.models import CampaignClock, Job
from jobs.service import Submission, submit
from jobs.states import State
from ops.admin import changelist
from tests.support.campaigns import growth
from tests.support.people import JOBS, member, some
from tests.support.queries import count_queries

pytestmark = pytest.mark.django_db(transaction=True)


def ids(page: Any) -> list[str]:
    """The jobs on a page of the list."""
    return [str(job.pk) for job in page.context["cl"].result_list]


def test_pages_are_stable_while_new_jobs_arrive(admin_client: Client, redis: Redis) -> None:
    """Older and newer by key: no job is shown twice or left out."""
    some(60)
    first = admin_client.get(JOBS)
    some(5, campaign="new")
    older = admin_client.get(JOBS + first.context["cl"].older_link())
    back = admin_client.get(JOBS + older.context["cl"].newer_link())

    assert (len(ids(first)), len(ids(older))) == (25, 25)
    assert not set(ids(first)) & set(ids(older))
    assert ids(back) == ids(first)


@pytest.mark.parametrize(
    ("term", "found"),
    [("c-2", 1), ("nowhere", 0), ("EVENT", 0), ("test", 3)],
    ids=["campaign", "none", "type", "source"],
)
def test_jobs_are_found_by_text(admin_client: Client, redis: Redis, term: str, found: int) -> None:
    """By campaign and by text."""
    some(2)
    some(1, campaign="c-2")

    assert len(ids(admin_client.get(JOBS, {"q": term}))) == found


def test_jobs_are_found_by_the_names_of_entities(admin_client: Client, redis: Redis) -> None:
    """A campaign's name, and the name of the settlement that they are about."""
    CampaignClock.objects.create(campaign_id="c-2", name="Northmarch")
    growth(timedelta(0), entity="s-7", name="Riverton")
    some(2)
    (of_campaign,) = some(1, campaign="c-2")
    grown, _ = submit(
        Submission(
            type="SETTLEMENT_GROWTH",
            campaign_id="c-1",
            payload={"settlementId": "s-7", "growthType": "POPULATION_GROWTH"},
        ),
        actor="test",
    )

    assert ids(admin_client.get(JOBS, {"q": "northmarch"})) == [str(of_campaign.pk)]
    assert ids(admin_client.get(JOBS, {"q": "river"})) == [str(grown.pk)]


def test_a_job_is_found_by_its_id(admin_client: Client, redis: Redis) -> None:
    """Whatever its age: the whole ID leads to the one job."""
    jobs = some(3)

    assert ids(admin_client.get(JOBS, {"q": str(jobs[0].pk)})) == [str(jobs[0].pk)]


def test_counts_above_the_limit_say_so(admin_client: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is counted past the limit."""
    monkeypatch.setattr(state_counts, "MOST_COUNTED", 4)
    some(9)
    page = admin_client.get(JOBS)

    assert state_counts.count_states()[State.SCHEDULED] == 5
    assert page.context["cl"].count_text == "4+"


@pytest.mark.parametrize("where", [JOBS, f"{JOBS}?state=SCHEDULED&q=x", f"{JOBS}?type=EVENT_EXPIRATION", "one"])
def test_pages_take_few_queries(admin_client: Client, redis: Redis, where: str) -> None:
    """Fewer than 16, however many rows are shown."""
    jobs = some(60)
    url = f"{JOBS}{jobs[0].pk}/change/" if where == "one" else where
    with count_queries() as queries:
        assert admin_client.get(url).status_code == 200

    assert len(queries) < 15


@pytest.mark.parametrize("where", ["/admin/", JOBS, f"{JOBS}?q=test", "one"])
def test_pages_take_few_queries_for_group_members_too(client: Client, redis: Redis, where: str) -> None:
    """With permissions and a content type to look up, and a paused campaign."""
    CampaignClock.objects.create(campaign_id="c-1", name="Northmarch")
    pauses.pause("campaign", "c-1", actor="user:ann")
    operator, jobs = member(client, "Operator"), some(30)
    with count_queries() as queries:
        answer = operator.get(f"{JOBS}{jobs[0].pk}/change/" if where == "one" else where)

    assert "Campaign Northmarch (c-1) is paused" in answer.content.decode()
    assert len(queries) < 25


def test_the_state_tabs_are_counted_from_indexes_alone(redis: Redis) -> None:
    """No part of the plan scans the table."""
    if connection.vendor != "sqlite":
        pytest.skip("the plan is SQLite's; PostgreSQL chooses by what it knows of the rows")
    with CaptureQueriesContext(connection) as queries:
        state_counts.count_states()
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {queries[0]['sql']}")
        walks = [row[3] for row in cursor.fetchall() if "jobs_job" in row[3]]

    assert walks
    assert all("USING" in walk and "INDEX" in walk for walk in walks)


WALKED = (
    "priority__exact=10",
    "from=token:",
    "worker__exact=w",
    "due_at_from=2030-01-01T00:00Z",
    "finished_at_from=2030-01-01T00:00Z",
)


@pytest.mark.parametrize("query", ["", "state=DEAD", "type=X", "campaign_id__exact=c", "q=text", "failure=f", *WALKED])
def test_no_page_of_the_list_scans_or_sorts_the_table(
    admin_client: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    """Every query follows an index in page order; filters without one read a bounded part."""
    if connection.vendor != "sqlite":
        pytest.skip("the plan is SQLite's; PostgreSQL chooses by what it knows of the rows")
    monkeypatch.setattr(changelist, "SCAN_LIMIT", 1)
    monkeypatch.setattr(changelist, "SEARCHED", 1)
    some(3)
    with CaptureQueriesContext(connection) as queries:
        assert admin_client.get(f"{JOBS}?{query}").status_code == 200
    with connection.cursor() as cursor:
        for sql in [q["sql"] for q in queries if 'FROM "jobs_job"' in q["sql"] and "EXPLAIN" not in q["sql"]]:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
            plan = [row[3] for row in cursor.fetchall()]

            assert not any("TEMP B-TREE" in step for step in plan), (plan, sql)
            assert all("INDEX" in step for step in plan if "jobs_job" in step), (plan, sql)


@pytest.mark.parametrize("state", ["", "&state=SCHEDULED"])
def test_a_filter_without_an_index_reads_bounded_parts(
    admin_client: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """Each page says so; following its link finds each job once."""
    monkeypatch.setattr(changelist, "SCAN_LIMIT", 6)
    wanted = some(2)
    some(20, campaign="c-2")
    Job.objects.filter(pk__in=[job.pk for job in wanted]).update(priority=10)
    where, seen, pages = f"?priority__exact=10{state}", [], 0
    while True:
        page = admin_client.get(JOBS + where)
        seen += ids(page)
        pages += 1
        listed = page.context["cl"]
        if not listed.further:
            break
        assert "scanned" in listed.count_text
        where = listed.further_link()

    assert sorted(seen) == sorted(str(job.pk) for job in wanted)
    assert pages >= 4


@pytest.mark.parametrize("where", ["campaign_id__exact=c-1", "worker__exact=w-1"])
def test_filters_set_by_a_link_can_be_cleared(admin_client: Client, redis: Redis, where: str) -> None:
    """Jobs of a campaign and of a worker: each can be removed without the others."""
    Job.objects.filter(pk__in=[job.pk for job in some(2)]).update(worker="w-1")
    some(1, campaign="c-2")
    name, _, value = where.partition("=")

    page = admin_client.get(f"{JOBS}?type=EVENT_EXPIRATION&{where}")
    assert len(ids(page)) == 2
    drawer = page.content.decode().split('id="filter-form"')[1].split("</form>")[0]
    assert re.search(rf'<select name="{name}".*?<option value="{value}" selected>', drawer, re.DOTALL)
    assert f'type="hidden" name="{name}"' not in drawer
    assert name not in admin_client.get(JOBS).content.decode()
    assert len(ids(admin_client.get(f"{JOBS}?type=EVENT_EXPIRATION&{name}="))) == 3


def test_ranges_are_read_in_the_user_s_time_zone(admin_client: Client, redis: Redis) -> None:
    """Due from 08:00 in Berlin is 06:00 or 07:00 UTC, in the address too; an invalid range is reported."""
    (job,) = some(1)
    admin_client.cookies["zone"] = "Europe/Berlin"
    local = job.due_at.astimezone(ZoneInfo("Europe/Berlin"))
    before, after = (f"{local + timedelta(minutes=n):%Y-%m-%dT%H:%M:%S}" for n in (-1, 1))

    def listed(**query: str) -> Any:
        return admin_client.get(JOBS, query, follow=True)

    page = listed(due_at_from=before, due_at_to=after)
    assert ids(page) == [str(job.pk)]
    assert quote(local.isoformat()[-6:]) in page.redirect_chain[0][0]
    assert f'value="{before}"' in page.content.decode()
    assert ids(listed(due_at_from=after)) == []
    assert ids(listed(finished_at_from=before)) == []
    assert "Enter a valid date/time" in admin_client.get(JOBS, {"due_at_from": "soon"}).content.decode()


def test_finished_jobs_are_found_by_their_end(admin_client: Client, redis: Redis) -> None:
    """The scan begins at the end of the range: no job finishes before it is created."""
    jobs = some(3)
    service.cancel(jobs[:1], actor="test", reason="")
    soon = (timezone.now() + timedelta(minutes=1)).isoformat()
    long_ago = (timezone.now() - timedelta(days=1)).isoformat()

    assert ids(admin_client.get(JOBS, {"finished_at_from": long_ago, "finished_at_to": soon})) == [str(jobs[0].pk)]
    assert ids(admin_client.get(JOBS, {"finished_at_to": long_ago})) == []
