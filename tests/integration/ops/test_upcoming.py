"""Upcoming: everything that will run in the next hours, by minute and from every source."""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from redis import Redis

from jobs import pauses
from jobs.models import CampaignClock, CronTask, EventQuestion, Job, ScheduleRow, WorldClock
from jobs.states import State
from jobs.stops import AT_WORLD_TIME
from jobs.world.clock import WallTime, sortable
from ops.reads import upcoming, upcoming_sources
from ops.reads.upcoming_sources import RunQuery, RunSource
from tests.support.ledger import make_rows
from tests.support.people import member, some
from tests.support.queries import count_queries

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/admin/jobs/job/upcoming/"
BEGIN = datetime(2030, 5, 1, 12, 0, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def no_tasks() -> None:
    """Tests make their own cron tasks."""
    CronTask.objects.all().delete()


def job(at: datetime, **fields: Any) -> Job:
    """A waiting job, past the ledger."""
    (made,) = some(1)
    Job.objects.filter(pk=made.pk).update(due_at=at, **fields)
    return Job.objects.get(pk=made.pk)


def wall_row(at: datetime, every: timedelta, **fields: Any) -> ScheduleRow:
    given: dict[str, Any] = {"campaign_id": "c-1", "entity_type": "Settlement", "entity_id": "s-1", **fields}
    return ScheduleRow.objects.create(
        entity_name="Riverton",
        event_type="POPULATION_GROWTH",
        clock="wall",
        anchor=sortable(WallTime(at - every)),
        interval=every,
        next_due=sortable(WallTime(at)),
        fire_at=sortable(WallTime(at)),
        job_type="SETTLEMENT_GROWTH",
        payload={},
        **given,
    )


def cron(expression: str, **fields: Any) -> CronTask:
    task = CronTask.objects.create(
        name=fields.pop("name", "t"), type="EVENT_EXPIRATION", expression=expression, **fields
    )
    CronTask.objects.filter(pk=task.pk).update(
        next_fire_at=upcoming_sources.next_fire(task, BEGIN) if task.enabled else None
    )
    return task


def read(hours: str = "1", *, start: datetime | None = None, **chosen: Any) -> upcoming.Upcoming:
    window = upcoming.WINDOWS[hours]
    wanted = RunQuery(None, BEGIN + timedelta(hours=window.hours), **chosen)
    return upcoming.read_upcoming(wanted, window, BEGIN, start)


def as_lines(page: upcoming.Upcoming) -> list[tuple[str, list[str], int]]:
    return [("overdue" if m.is_overdue else f"{m.at:%H:%M}", [str(c) for c in m.counts], m.held) for m in page.minutes]


def test_every_source_stands_at_its_minute(redis: Redis) -> None:
    """Overdue ones first; what waits for a world time, is beyond the window or disabled is left out."""
    job(BEGIN - timedelta(minutes=5))
    job(BEGIN + timedelta(minutes=2), type="DEFERRED_EFFECT")
    job(BEGIN + timedelta(minutes=2, seconds=20), state=State.RETRYING)
    job(BEGIN + timedelta(minutes=61))
    job(AT_WORLD_TIME)
    job(BEGIN + timedelta(minutes=1), state=State.SUCCEEDED)
    cron("0,30 * * * *")
    cron("* * * * *", name="off", enabled=False)
    cron("45 * * * *", name="again", enabled=False, disabled_until=BEGIN + timedelta(minutes=10))
    wall_row(BEGIN + timedelta(minutes=4), timedelta(minutes=25))
    CampaignClock.objects.create(campaign_id="idle", is_active=False)
    wall_row(BEGIN + timedelta(minutes=4), timedelta(minutes=25), campaign_id="idle", entity_id="s-2")
    WorldClock.objects.create(campaign_id="c-1", state="running", next_at=BEGIN + timedelta(minutes=2))

    assert as_lines(read()) == [
        ("overdue", ["1 delayed job"], 0),
        ("12:02", ["1 delayed job", "1 retry", "1 world clock step"], 0),
        ("12:04", ["1 schedule"], 0),
        ("12:29", ["1 schedule"], 0),
        ("12:30", ["1 cron run"], 0),
        ("12:45", ["1 cron run"], 0),
        ("12:54", ["1 schedule"], 0),
        ("13:00", ["1 cron run"], 0),
    ]


@pytest.mark.parametrize(
    ("chosen", "minutes"),
    [
        ({"type": "DEFERRED_EFFECT"}, ["12:02"]),
        ({"campaign_id": "c-2"}, ["12:03"]),
        ({"source": "cron"}, ["12:05"]),
        ({"source": "schedule", "type": "EVENT_EXPIRATION"}, []),
        ({"source": "job", "campaign_id": "c-1"}, ["12:02"]),
    ],
)
def test_a_filter_narrows_every_source(redis: Redis, chosen: dict[str, Any], minutes: list[str]) -> None:
    job(BEGIN + timedelta(minutes=2), type="DEFERRED_EFFECT")
    job(BEGIN + timedelta(minutes=3), campaign_id="c-2")
    cron("5 12 * * *")
    wall_row(BEGIN + timedelta(minutes=6), timedelta(days=1))
    page = read(**chosen)

    assert [minute for minute, _, _ in as_lines(page)] == minutes
    assert sum(bar.number for bar in page.bars) == len(minutes)


def test_what_a_pause_holds_back_is_marked_until_it_ends(redis: Redis) -> None:
    job(BEGIN + timedelta(minutes=2), type="DEFERRED_EFFECT")
    job(BEGIN + timedelta(minutes=2))
    job(BEGIN + timedelta(minutes=20), type="DEFERRED_EFFECT")
    cron("3 12 * * *", campaign_id="c-9")
    wall_row(BEGIN + timedelta(minutes=4), timedelta(days=1))
    pauses.pause("type", "DEFERRED_EFFECT", until=BEGIN + timedelta(minutes=10), actor="user:ann")
    pauses.pause("campaign", "c-9", actor="user:ann")
    pauses.pause("type", "SETTLEMENT_GROWTH", actor="user:ann")

    assert [(minute, held) for minute, _, held in as_lines(read())] == [
        ("12:02", 1),
        ("12:03", 1),
        ("12:04", 1),
        ("12:20", 0),
    ]


def test_a_minute_opens_to_its_items_with_links(client: Client, redis: Redis) -> None:
    """Each leads to its own page, and says which pause holds it back."""
    at = timezone.now() + timedelta(minutes=30)
    mine, retry = job(at, campaign_id="c-1"), job(at, state=State.RETRYING, attempt=3, waits=1)
    row = wall_row(at, timedelta(days=1))
    pauses.pause("type", "SETTLEMENT_GROWTH", actor="user:ann", reason="tidy up")
    browser = member(client, "Viewer")
    page = browser.get(PAGE).content.decode()
    (link,) = re.findall(r'hx-get="(\?[^"]*minute=[^"]*)"', page)
    items = browser.get(PAGE + link.replace("&amp;", "&")).content.decode()

    for where in (
        f"/jobs/job/{mine.pk}/change/",
        f"/jobs/job/{retry.pk}/change/",
        f"/campaignclock/{row.campaign_id}/",
    ):
        assert where in items
    assert "attempt 3" in items
    assert "Population growth of Riverton" in items
    assert items.count("job type SETTLEMENT_GROWTH is paused") == 1
    assert "<html" not in items
    over = quote(f"{timezone.now() - timedelta(minutes=5):%Y-%m-%dT%H:%M:%S%z}")  # on a page that was not updated
    assert "Nothing left" in browser.get(f"{PAGE}?minute={over}").content.decode()


def test_pages_follow_each_other_and_show_each_minute_once(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a source has more than is read at once, and where one minute alone has."""
    monkeypatch.setattr(upcoming_sources, "MOST", 7)
    monkeypatch.setattr(upcoming, "MOST", 7)
    for minute in (1, 2, 3, 4, 4, 4, 5):
        job(BEGIN + timedelta(minutes=minute))
    for _ in range(9):
        job(BEGIN + timedelta(minutes=6))
    job(BEGIN + timedelta(minutes=9))
    cron("*/2 * * * *")
    seen, start = [], None
    for _ in range(40):
        page = read(start=start)
        seen += as_lines(page)
        start = page.later
        if start is None:
            break

    names = [minute for minute, _, _ in seen]
    assert names == sorted(set(names))
    counts = {minute: counts for minute, counts, _ in seen}
    assert counts["12:04"] == ["3 delayed jobs", "1 cron run"]
    assert counts["12:06"][0] == "7+ delayed jobs"
    assert counts["12:09"] == ["1 delayed job"]
    assert counts["12:58"] == ["1 cron run"]


def test_the_strip_spans_the_whole_window_however_much_waits(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts stop at the limit and say so."""
    monkeypatch.setattr(upcoming_sources, "MOST", 3)
    monkeypatch.setattr(upcoming, "MOST", 3)
    job(BEGIN - timedelta(hours=1))
    for minute in (0, 0, 0, 0, 5, 59):
        job(BEGIN + timedelta(minutes=minute))
    bars = read().bars
    texts = {n: bar.text for n, bar in enumerate(bars) if bar.number}

    assert texts == {0: "3+", 5: "1", 59: "1"}
    assert len(bars) == 60
    assert max(bar.level for bar in bars) == upcoming.LEVELS


def test_a_question_s_deadline_is_planned_with_what_counts_then(client: Client, redis: Redis) -> None:
    """Once: not also as the retry with which its job looks for the answer. Answered, it is planned no more."""
    deadline = timezone.now() + timedelta(minutes=30)
    asking = job(deadline, state=State.RETRYING, campaign_id="c-1", type="TRIGGER_EVENT")
    job(deadline, state=State.RETRYING, campaign_id="c-1")
    question = EventQuestion.objects.create(
        job_id=asking.pk,
        campaign_id="c-1",
        event_id="e-1",
        event_name="The siege",
        scheduled_at="1001-06-01",
        deadline=deadline,
        default_answer=True,
    )
    viewer = member(client, "Viewer")
    page = viewer.get(f"{PAGE}?hours=1")
    (minute,) = page.context["upcoming"].minutes
    items = viewer.get(f"{PAGE}?hours=1", {"hours": "1", "minute": minute.at.isoformat()}).content.decode()

    assert [(count.source, count.number) for count in minute.counts] == [(RunSource.RETRY, 1), (RunSource.QUESTION, 1)]
    assert "1 deadline of a question" in page.content.decode()
    assert "The answer whether to trigger The siege" in items
    assert "without one, it is triggered" in items
    only = viewer.get(f"{PAGE}?hours=1&source=question&campaign_id=c-1").context["upcoming"]
    assert [one.total for one in only.minutes] == ["1"]
    question.answered_at = timezone.now()
    question.save()
    assert not viewer.get(f"{PAGE}?hours=1&source=question").context["upcoming"].minutes


def test_the_strip_tells_a_real_spread_apart(redis: Redis) -> None:
    """Of a day: a few retries all the time, growth on the hour, one jump. No level has nearly all parts."""
    numbers = [(12 + 7 * n % 30) if n % 6 else 200 + n for n in range(71)] + [5_000]
    levels = Counter(upcoming.find_levels(numbers))

    assert set(levels) == {1, 2, 3, 4}
    assert max(levels.values()) < 0.6 * len(numbers)
    assert upcoming.find_levels([7, 7, 0, 7]) == [1, 1, 0, 1]


def test_a_filter_searches_a_bounded_part_and_says_so(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upcoming_sources, "SCANNED", 4)
    for minute in range(1, 12):
        job(BEGIN + timedelta(minutes=minute))
    job(BEGIN + timedelta(minutes=12), campaign_id="c-2")
    seen, start, scanned = [], None, []
    for _ in range(20):
        page = read(campaign_id="c-2", start=start)
        seen += [minute for minute, _, _ in as_lines(page)]
        scanned.append(page.scanned_until)
        if (start := page.later) is None:
            break

    assert seen == ["12:12"]
    assert scanned[0] == BEGIN + timedelta(minutes=5)


@pytest.mark.parametrize(
    "query", ["hours=x", "type=x", "source=x", "campaign_id=%00", "from=x", "from=9999-12-31T23:59-12:00"]
)
def test_odd_addresses_are_no_fault(client: Client, redis: Redis, query: str) -> None:
    assert member(client, "Viewer").get(f"{PAGE}?{query}").status_code == 200


def test_it_is_for_those_who_may_see_jobs(client: Client, redis: Redis) -> None:
    assert member(client, name="eve").get(PAGE).status_code == 403
    browser = member(client, "Viewer")
    for odd in ("nothing", "9999-12-31T23:59-12:00", "0001-01-01T00:00"):
        assert browser.get(f"{PAGE}?minute={odd}").status_code == 404, odd


def test_the_number_of_queries_does_not_grow(client: Client, redis: Redis) -> None:
    browser, numbers = member(client, "Viewer"), []
    for count in (1, 30):
        for n in range(count):
            job(timezone.now() + timedelta(minutes=n + 1))
        with count_queries() as queries:
            browser.get(PAGE)
        numbers.append(len(queries))

    assert numbers[0] == numbers[1]


NARROWED: list[dict[str, str]] = [{}, {"type": "EVENT_EXPIRATION"}, {"campaign_id": "c"}]


@pytest.mark.parametrize("source", [RunSource.JOB, RunSource.RETRY])
def test_waiting_jobs_are_read_from_the_index_of_due_times(source: RunSource) -> None:
    """On both databases, for the list as for the strip: none is sorted, and no other index is walked."""
    for state in (upcoming_sources.STATES[source], State.SUCCEEDED):
        make_rows(state, 3000, over=timedelta(hours=6))
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE jobs_job")
    now = timezone.now()
    with CaptureQueriesContext(connection) as queries:
        for narrowed in NARROWED:
            wanted = RunQuery(None, now + timedelta(minutes=20), **narrowed)
            upcoming_sources.find(source, wanted, now)
            upcoming.count_jobs(source, wanted, [now, now + timedelta(minutes=5)], timedelta(minutes=5))
    explain = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # whether the index can give the order, not what one sort is estimated at
            cursor.execute("SET LOCAL enable_sort = off")
        for query in (query for query in queries if 'FROM "jobs_job"' in query["sql"]):
            cursor.execute(f"{explain} {query['sql'].replace('%%', '%')}")
            plan = "\n".join(str(row[-1]) for row in cursor.fetchall())

            index = f"job_{upcoming_sources.STATES[source].lower()}"
            assert index in plan, (plan, query["sql"])
            assert not re.search(r"TEMP B-TREE|Sort|Seq Scan|SCAN jobs_job$", plan), (plan, query["sql"])
