"""The dashboard: its numbers, its links and its queries."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from redis import Redis

from jobs import service
from jobs.broker import keys
from jobs.engine.scheduler.retention import fold_outcomes
from jobs.engine.worker import attempt
from jobs.errors import CircuitOpen, NoPermit, NotBegun, Outage
from jobs.fingerprint import fingerprint_of
from jobs.ledger import Ending
from jobs.ledger import moves as ledger
from jobs.main_api.client import main_api
from jobs.models import Job, OutcomeMinute
from jobs.outcome import Outcome
from jobs.service import Submission, submit
from jobs.states import State
from monitoring.dashboard_source import DashboardSource
from monitoring.health import HEALTH
from ops.admin import dashboard
from ops.reads import recent_actions, status
from ops.reads.outcomes import RANGES, read_periods, sum_up
from ops.reads.status import Component
from tests.support.people import member
from tests.support.queries import count_queries
from tests.support.servers import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/admin/"


def claim_late(campaign: str, *, late: timedelta = timedelta(0)) -> Job:
    """A job that runs, and started `late` after it was due."""
    due = timezone.now() - late
    job, _ = submit(Submission(type="EVENT_EXPIRATION", campaign_id=campaign, payload={}, due_at=due), actor="user:ann")
    ledger.cycle([], [str(job.pk)], actor="worker:w-1", worker="w-1", now=due + late)
    job.refresh_from_db()
    return job


def end(job: Job, to: State, error: str = "") -> None:
    """The attempt ends."""
    failure = fingerprint_of(error, "") if to is State.DEAD else None
    ending = Ending(job, Outcome(to, error or "done"), error=error, duration_ms=40.0, failure=failure)
    ledger.cycle([ending], [], actor="worker:w-1", worker="w-1", now=timezone.now())


def test_every_number_matches_its_list(admin_client: Client, redis: Redis) -> None:
    """Attempts by outcome, waiting and running jobs, failures, next runs, recent actions."""
    end(claim_late("c-1"), State.SUCCEEDED)
    end(claim_late("c-2"), State.DEAD, "NotFound: event-1 is gone")
    running = claim_late("c-3")
    waiting, _ = submit(Submission(type="EVENT_EXPIRATION", campaign_id="c-4", payload={}), actor="user:ann")
    service.cancel([waiting], actor="user:ann", reason="not needed")

    page = admin_client.get(PAGE)
    text = page.content.decode()

    numbers = {tile["name"]: tile["value"] for tile in page.context["tiles"]}
    assert (numbers["Running"], numbers["Dead letters"], numbers["Failed attempts"]) == ("1", "1", "1")
    assert page.context["sums"].outcomes == {"SUCCEEDED": 1, "DEAD": 1}
    assert f"/admin/jobs/job/{running.pk}/change/" in text
    assert "w-1" in text
    assert "# is gone" in text
    assert "event-expiration" in text
    assert "not needed" in text
    first = page.context["recent_actions"][0]
    assert (first.verb, first.jobs) == ("cancelled", 1)


def test_finished_and_failed_counts_link_to_their_jobs(admin_client: Client, redis: Redis) -> None:
    """Tiles and table; a job that is retried has not finished, and is found by its move."""
    for campaign, to in (("c-1", State.SUCCEEDED), ("c-2", State.SUCCEEDED), ("c-3", State.DEAD)):
        end(claim_late(campaign), to, "NotFound: gone" if to is State.DEAD else "")
    again = Ending(claim_late("c-4"), Outcome(State.RETRYING, "HTTP 500", due_at=timezone.now() + timedelta(minutes=1)))
    ledger.cycle([again], [], actor="worker:w-1", worker="w-1", now=timezone.now())
    page = admin_client.get(PAGE)
    tiles = {tile["name"]: tile for tile in page.context["tiles"]}
    counts = [one for row in page.context["rows"] for one in row["counts"]]

    assert tiles["Attempts/min"]["says"] == "3 jobs finished in the last hour"
    assert count_listed(admin_client, tiles["Attempts/min"]["link"]) == 3
    assert tiles["Failed attempts"]["value"] == "2"
    assert (tiles["Failing"]["value"], count_listed(admin_client, tiles["Failing"]["link"])) == ("1", 1)
    assert count_listed(admin_client, tiles["Failed attempts"]["link"]) == 2
    assert sum(n for n, _ in counts) == 4
    assert all(count_listed(admin_client, link) == n for n, link in counts)


def count_listed(client: Client, link: str) -> int:
    """How many rows the page holds that a number leads to."""
    context = client.get(link).context
    return len(context["cl"].result_list if "cl" in context else context["page"].lines)


def test_start_delays_are_compared_with_the_objective(redis: Redis) -> None:
    """Of 20 starts one was 3 s late: 95% on time, and the maximum is exact."""
    for number in range(20):
        late = timedelta(seconds=3) if number == 0 else timedelta(0)
        end(claim_late(f"c-{number}", late=late), State.SUCCEEDED)

    sums = sum_up(read_periods(RANGES["15m"], timezone.now()))

    assert sums.on_time_share == 0.95
    assert sums.p50_ms is not None
    assert sums.p50_ms < 1000
    assert 3000 <= sums.wait_ms_max < 60_000


@pytest.mark.parametrize("key", RANGES)
def test_a_range_includes_its_beginning(redis: Redis, key: str) -> None:
    """What ended before is left out, however the database groups."""
    now, wanted = timezone.now(), RANGES[key]
    slots = read_periods(wanted, now)
    common = {
        "type": "X",
        "outcome": "SUCCEEDED",
        "shard": 0,
        "run_ms": 1,
        "run_ms_max": 1,
        "wait_ms": 1,
        "wait_ms_max": 1,
    }
    OutcomeMinute.objects.create(minute=slots[0].at, jobs=3, **common)
    OutcomeMinute.objects.create(minute=slots[0].at - timedelta(minutes=1), jobs=5, **common)

    assert sum_up(read_periods(wanted, now)).jobs == 3
    assert len(slots) == wanted.length / wanted.step


def test_the_breaker_tile_counts_the_jobs_that_it_blocks(admin_client: Client, redis: Redis) -> None:
    """State, last error, and waiting jobs."""
    wait = CircuitOpen(timezone.now() + timedelta(minutes=1))
    ending = attempt.ending_of(claim_late("c-1"), wait, 0.1, now=timezone.now())
    ledger.cycle([ending], [], actor="worker:w-1", worker="w-1", now=timezone.now())
    for _ in range(5):
        main_api().breaker.record_fault(OSError("connection refused"), probe=False)

    text = admin_client.get(PAGE).content.decode()
    main_api().breaker.close()

    assert "1 blocked job" in text
    assert "connection refused" in text


def test_a_viewer_sees_the_numbers(client: Client, redis: Redis) -> None:
    """But no way to act."""
    text = member(client, "Viewer").get(PAGE).content.decode()

    assert "Attempts/min" in text
    assert "Submit a job" not in text


def test_staff_without_a_group_are_told_whom_to_ask(client: Client, redis: Redis) -> None:
    """They see nothing else."""
    text = member(client).get(PAGE).content.decode()

    assert "Ask an administrator" in text
    assert "Attempts/min" not in text


def test_a_live_page_gets_its_parts_only(admin_client: Client, redis: Redis) -> None:
    """Neither head nor sidebar."""
    text = admin_client.get(PAGE, headers={"X-Live": "1"}).content.decode()

    assert 'id="dashboard"' in text
    assert "<head>" not in text


def test_the_page_works_while_redis_is_away(admin_client: Client, redis: Redis, settings: object) -> None:
    """It shows what the database knows, and that Redis does not answer."""

    keys.redis.cache_clear()
    settings.REDIS_URL = "redis://127.0.0.1:1"  # type: ignore[attr-defined]
    try:
        text = admin_client.get(PAGE).content.decode()
    finally:
        keys.redis.cache_clear()

    assert "Redis does not answer" in text
    assert "Attempts/min" in text


def test_an_added_source_is_shown(admin_client: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any, the processes are still there."""
    monkeypatch.setattr(status, "sources", {})
    monkeypatch.setattr(status, "expected", set())
    alone = {c.name for c in status.find_components()}
    status.add_source("test", lambda: [Component("moon", "degraded", "waning")])
    text = admin_client.get(PAGE).content.decode()

    assert alone == {"workers", "scheduler", "listener", "breaker"}
    assert "waning" in text


def test_a_monitor_that_never_ran_is_reported(redis: Redis) -> None:
    """Without it nobody is alerted."""
    found = {c.name: c for c in status.find_components()}

    assert found["monitor"].status == "down"
    assert "start manage.py monitor" in found["monitor"].message


def test_the_page_does_not_wait_for_checks(redis: Redis) -> None:
    """The first page may say that they are running; they complete in the background."""
    source = DashboardSource(HEALTH)

    wait_until(lambda: {c.name: c.status for c in source.components()}["database"] == "up")


def test_the_page_takes_few_queries(client: Client, redis: Redis) -> None:
    """For a person with permissions of groups: 23, and one on PostgreSQL that makes them one snapshot."""
    end(claim_late("c-2"), State.DEAD, "NotFound: event-1 is gone")
    claim_late("c-3")
    submit(Submission(type="EVENT_EXPIRATION", campaign_id="c-4", payload={}), actor="user:ann")
    operator = member(client, "Operator")
    with count_queries() as queries:
        assert operator.get(PAGE).status_code == 200

    assert len(queries) < 25, [q["sql"][:90] for q in queries]


def test_folded_outcomes_draw_the_same_graphs(redis: Redis) -> None:
    """What is folded is coarser than no graph that shows it."""
    now = timezone.now().replace(second=0, microsecond=0)
    common = {"type": "X", "outcome": "DEAD", "run_ms": 2, "run_ms_max": 1, "wait_ms": 1, "wait_ms_max": 1}
    for minutes in (3, 5 * 60, 12 * 60, 12 * 60 + 7, 20 * 60, 3 * 24 * 60, 6 * 24 * 60 + 11):
        for shard in (0, 3):
            OutcomeMinute.objects.create(
                minute=now - timedelta(minutes=minutes), shard=shard, jobs=2, waited_10=2, **common
            )
    before = {key: [slot.outcomes for slot in read_periods(wanted, now)] for key, wanted in RANGES.items()}
    fold_outcomes(now)
    rows = OutcomeMinute.objects.count()
    fold_outcomes(now)

    assert {key: [slot.outcomes for slot in read_periods(wanted, now)] for key, wanted in RANGES.items()} == before
    assert rows < 14
    assert OutcomeMinute.objects.count() == rows


def test_the_table_s_numbers_link_to_the_jobs_they_count(admin_client: Client, redis: Redis) -> None:
    """The list behind a number has just those jobs."""
    end(claim_late("c-1"), State.SUCCEEDED)
    end(claim_late("c-2"), State.SUCCEEDED)
    end(claim_late("c-3"), State.SKIPPED)
    rows = admin_client.get(PAGE).context["rows"]
    counted = [(n, link) for row in rows for n, link in row["counts"] if n]
    listed = [(n, len(admin_client.get(link).context["cl"].result_list)) for n, link in counted]

    assert sum(n for n, _ in listed) == 3
    assert all(n == shown for n, shown in listed)


def test_no_query_of_the_page_scans_a_table() -> None:
    """Rollups, operator actions, running jobs and a campaign's dead letters have indexes."""
    if connection.vendor != "sqlite":
        pytest.skip("the plan is SQLite's; PostgreSQL chooses by what it knows of the rows")
    with CaptureQueriesContext(connection) as queries:
        read_periods(RANGES["7d"], timezone.now())
        recent_actions.find_latest(5)
        dashboard.find_longest_running()
    dead = Job.objects.in_state(State.DEAD).filter(campaign_id="c").order_by("-id")
    with connection.cursor() as cursor:
        plans = []
        for query in queries:
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql'].replace('%%', '%')}")  # as it was sent
            plans.append("; ".join(row[3] for row in cursor.fetchall()))

    minutes, moves, acts, on_jobs, running = plans
    assert "SEARCH" in minutes
    assert "TEMP B-TREE" not in minutes
    assert "audit_single_by_people" in moves
    assert "TEMP B-TREE" not in acts + on_jobs
    assert "job_running" in running
    assert "job_dead_by_campaign" in dead.explain()


def test_waits_are_no_failures(admin_client: Client, redis: Redis) -> None:
    """They and what is handed back have tiles and series of their own, which lead to their moves."""
    kinds = (CircuitOpen(timezone.now()), CircuitOpen(timezone.now()), NoPermit("no room", timezone.now()))
    for number, wait in enumerate((*kinds, Outage("Redis is away"))):
        ledger.cycle(
            [attempt.ending_of(claim_late(f"c-{number}"), wait, 0.1, now=timezone.now())],
            [],
            actor="worker:w-1",
            worker="w-1",
            now=timezone.now(),
        )
    end(claim_late("c-9"), State.SUCCEEDED)
    for number in range(3):
        late = attempt.ending_of(claim_late(f"c-{number + 10}"), NotBegun("handed back"), 0.0, now=timezone.now())
        ledger.cycle([late], [], actor="worker:w-1", worker="w-1", now=timezone.now())
    page = admin_client.get(PAGE)
    tiles = {tile["name"]: tile for tile in page.context["tiles"]}
    (row,) = page.context["rows"]

    assert page.context["sums"].jobs == 1
    assert tiles["Handed back"]["value"] == "3"
    assert count_listed(admin_client, tiles["Handed back"]["link"]) == 3
    assert (tiles["Failed attempts"]["value"], tiles["Failed attempts"]["says"]) == ("0", "0.0% of attempts")
    assert tiles["Had to wait"]["value"] == "4"
    assert "the circuit breaker (2)" in tiles["Had to wait"]["says"]
    assert count_listed(admin_client, tiles["Had to wait"]["link"]) == 4
    assert (tiles["Have to wait"]["value"], tiles["Failing"]["value"]) == ("4", "0")
    assert "2 for the circuit breaker" in tiles["Have to wait"]["says"]
    assert count_listed(admin_client, tiles["Have to wait"]["link"]) == 4
    assert count_listed(admin_client, "/admin/jobs/job/?state=RETRYING&waits=BREAKER") == 2
    assert count_listed(admin_client, tiles["Failed attempts"]["link"]) == 0
    assert [n for n, _ in row["counts"]] == [1, 0, 0, 0, 4, 3]
    assert [one["name"] for one in page.context["chart"]["outcomes"]][-2:] == ["had to wait", "handed back"]
