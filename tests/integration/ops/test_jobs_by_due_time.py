"""The lists of scheduled and retrying jobs: the next due first, in pages that find each job once."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from redis import Redis

from jobs.models import Job
from jobs.states import State
from ops.admin import changelist
from tests.support.ledger import make_rows
from tests.support.people import JOBS, some

pytestmark = pytest.mark.django_db(transaction=True)
PER_PAGE = 25


def list_ids(client: Client, where: str) -> list[str]:
    return [str(job.pk) for job in client.get(JOBS + where).context["cl"].result_list]


def shuffle(jobs: list[Job]) -> list[str]:
    """Give the jobs due times in the reverse of their order, four jobs to each; return their IDs by due time."""
    start = timezone.now() + timedelta(hours=1)
    for n, job in enumerate(jobs):
        Job.objects.filter(pk=job.pk).update(due_at=start - timedelta(minutes=n // 4))
    return [str(pk) for pk in Job.objects.order_by("due_at", "pk").values_list("pk", flat=True)]


def test_waiting_jobs_are_listed_by_due_time_page_by_page(admin_client: Client, redis: Redis) -> None:
    """There and back: each job stands once, at its place, however many have the same due time."""
    wanted = shuffle(some(60))
    where = "?state=SCHEDULED"
    seen: list[str] = []
    back: list[str] = []
    while True:
        page = admin_client.get(JOBS + where).context["cl"]
        seen += [str(job.pk) for job in page.result_list]
        if not page.older:
            break
        where = page.older_link()
    while page.newer:
        page = admin_client.get(JOBS + page.newer_link()).context["cl"]
        back = [str(job.pk) for job in page.result_list] + back

    assert seen == wanted
    assert back == wanted[: len(back)]
    assert len(back) == 2 * PER_PAGE
    assert page.count_text == "60"


def test_other_lists_and_searches_stay_newest_first(admin_client: Client, redis: Redis) -> None:
    jobs = some(4)
    shuffle(jobs)

    assert list_ids(admin_client, "") == [str(job.pk) for job in reversed(jobs)]
    assert list_ids(admin_client, "?state=SCHEDULED&q=test") == [str(job.pk) for job in reversed(jobs)]


def test_a_filter_is_looked_for_in_order_of_due_times(
    admin_client: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bounded part of the waiting jobs at a time; following the links finds each once, and jobs due from a time."""
    monkeypatch.setattr(changelist, "SCAN_LIMIT", 6)
    wanted = [str(job.pk) for job in some(9)]
    others = some(20, campaign="c-2")
    Job.objects.filter(pk__in=[job.pk for job in others[:10]]).update(due_at=timezone.now())
    Job.objects.filter(pk__in=wanted[4:]).update(due_at=timezone.now() + timedelta(days=1))
    where, seen, pages = "?state=SCHEDULED&campaign_id__exact=c-1", [], 0
    while where:
        page = admin_client.get(JOBS + where).context["cl"]
        seen += [str(job.pk) for job in page.result_list]
        where, pages = page.further_link() if page.further else "", pages + 1

    assert seen == wanted
    assert pages >= 3
    assert list_ids(admin_client, "?state=SCHEDULED&due_at_from=2150-01-01T00:00Z") == []


@pytest.mark.parametrize("before", ["x", "~", "0001-01-01T00:00+14:00~", "2026-01-01~x", "9999-12-31T23:59-14:00"])
def test_an_odd_place_is_no_fault(admin_client: Client, redis: Redis, before: str) -> None:
    some(1)

    assert admin_client.get(JOBS, {"state": "SCHEDULED", "before": before}).status_code == 200
    assert admin_client.get(JOBS, {"state": "SCHEDULED", "after": before}).status_code == 200


NARROWED = [
    "",
    "&type=EVENT_EXPIRATION",
    "&campaign_id__exact=c-1",
    "&due_at_from=2026-01-01T00:00Z",
    "&worker__exact=w",
]


def test_pages_follow_the_index_of_due_times(
    admin_client: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many wait: neither database sorts them, but for those of one due time."""
    monkeypatch.setattr(changelist, "SCAN_LIMIT", 100)
    make_rows(State.SCHEDULED, 3000, over=timedelta(hours=6))
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE jobs_job")
    explain = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
    for query in NARROWED:
        first = admin_client.get(f"{JOBS}?state=SCHEDULED{query}").context["cl"]
        where = first.older_link() if first.older else f"?state=SCHEDULED{query}"
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(JOBS + where)
        read = [q["sql"] for q in queries if "ORDER BY" in q["sql"] and 'FROM "jobs_job"' in q["sql"]]
        assert read
        with connection.cursor() as cursor:
            for sql in read:
                cursor.execute(f"{explain} {sql}")
                plan = "\n".join(str(row[-1]) for row in cursor.fetchall())

                assert "job_scheduled" in plan, (plan, sql)
                assert "USE TEMP B-TREE FOR ORDER BY" not in plan, (plan, sql)
