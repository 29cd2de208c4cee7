"""What pages say of a backlog: places in the queue, when a turn comes, and counts by campaign."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from redis import Redis

from jobs import pauses, service
from jobs.models import Job, OutcomeMinute
from jobs.schedules import firing
from jobs.service import Submission
from jobs.state_counts import count_retrying
from jobs.states import Priority, State
from jobs.waits import ERRORS
from jobs.world.clock import WorldTime
from ops.reads import backlog
from ops.reads.backlog import Backlog
from tests.support.campaigns import PAGE, READING, campaign, growth, text_of
from tests.support.queries import count_queries

pytestmark = pytest.mark.django_db(transaction=True)


def submit(number: int, campaign_id: str = "c-1", **more: Any) -> list[Job]:
    """Queued jobs, in their order."""
    submissions = [
        Submission(type="EVENT_EXPIRATION", campaign_id=campaign_id, payload={}, subject=str(n), **more)
        for n in range(number)
    ]
    return [job for job, _ in service.submit_many(submissions, actor="test")]


def attempts(number: int, outcome: str = "SUCCEEDED") -> None:
    """Attempts that ended in this minute."""
    times = {"run_ms": 1, "run_ms_max": 1, "wait_ms": 1, "wait_ms_max": 1}
    OutcomeMinute.objects.create(
        minute=timezone.now().replace(second=0, microsecond=0), type="X", outcome=outcome, shard=0, jobs=number, **times
    )


def test_a_queued_job_knows_its_place_and_turn(redis: Redis) -> None:
    """By the rate of the last five minutes, without waits and hand-backs; more urgent jobs are before it."""
    jobs = submit(100)
    submit(20, "c-2", priority=Priority.HIGH)
    attempts(150)
    attempts(9000, "BREAKER")
    attempts(9000, "NOT_BEGUN")

    place = Backlog(redis, timezone.now()).find_place(jobs[60])

    assert (place.before, place.bound, place.urgent, place.per_minute) == (60, "", 20, 30)
    assert place.turn_in == timedelta(minutes=80 / 30)
    assert place.explain() == [
        "60 jobs of the queue normal came before it; campaigns take turns of 50.",
        "20 more urgent jobs go first.",
        "At 30 attempts a minute, as at present, its turn comes within 2 min 40 s, or sooner: campaigns take turns.",
    ]


def test_the_place_in_a_long_queue_is_a_bound(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cost does not grow: as many jobs are read however many wait."""
    jobs = submit(30)
    late = submit(1, "c-2", priority=Priority.HIGH)
    monkeypatch.setattr(backlog, "MOST_READ", 10)
    with count_queries() as queries:
        asked = Backlog(redis, timezone.now())
        last, urgent = asked.find_place(jobs[-1]), asked.find_place(late[0])

    assert (last.before, last.bound) == (10, "at least")
    assert (urgent.before, urgent.bound) == (0, "at most")
    assert last.explain()[0].startswith("At least 10 jobs of the queue normal came before it")
    assert last.explain()[-1] == "No attempt has ended for 5 min, so when its turn comes is not known."
    assert len(queries) == 2


def test_a_town_whose_job_is_queued_knows_its_turn(admin_client: Client, alive: Redis) -> None:
    """Also if the job is older than the campaign's newest 500; its page is linked."""
    campaign()
    submit(40, "c-2")
    row = growth(timedelta(hours=-2))
    followups = firing.fire_world_rows("c-1", WorldTime.parse(READING))
    service.submit_followups(followups, actor="test", reason="due", request_id="r")
    job = Job.objects.get(campaign_id="c-1")
    submit(510)
    attempts(300)
    text = text_of(admin_client)

    assert row.entity_id in job.subject
    assert "Population growth of Riverton has a job that waits for a worker." in text
    assert "40 jobs of the queue normal came before it" in text
    assert "its turn comes within 40.0 s" in text
    assert f"/admin/jobs/job/{job.pk}/change/" in text
    assert "511 queued" in text


def test_a_town_whose_recalculation_is_queued_knows_its_turn(admin_client: Client, alive: Redis) -> None:
    """What is due has no job before it: its place is that of the recalculation."""
    campaign()
    growth(timedelta(hours=-2))
    submit(12, "c-2", priority=Priority.CRITICAL)
    kind = "RECALCULATE_SETTLEMENT_SCHEDULES"
    job, _ = service.submit(Submission(type=kind, campaign_id="c-1", payload={}, subject="now"), actor="test")
    text = text_of(admin_client)

    assert "Population growth of Riverton is due; a recalculation that waits for a worker makes its job." in text
    assert "12 more urgent jobs go first." in text
    assert f"/admin/jobs/job/{job.pk}/change/" in text


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        *[(f"{name}: why", 1) for name in ERRORS],
        ("TransientError: HTTP 503", 0),
        (f"{ERRORS[0]}Again: why", 0),
        ("", 0),
    ],
)
@pytest.mark.parametrize("before", [True, False], ids=["had waited", "had not waited"])
def test_every_place_counts_the_same_jobs_as_waiting(
    admin_client: Client, alive: Redis, error: str, waits: int, *, before: bool
) -> None:
    """Dashboard, filter and campaigns: by the time since when it waits or, where an attempt had begun, by its error."""
    campaign()
    (job,) = submit(1)
    since = timezone.now() if before else None
    Job.objects.filter(pk=job.pk).update(state=State.RETRYING, waits_since=since, error=error)

    (row,) = admin_client.get(PAGE).context["cl"].result_list
    listed = admin_client.get("/admin/jobs/job/?waits=any").context["cl"].result_list
    counted = count_retrying()

    expected = 1 if before else waits
    assert (counted.waiting, row.counts.waits, len(listed)) == (expected, expected, expected)
    assert counted.failing == 1 - expected


def test_the_list_counts_what_waits(admin_client: Client, alive: Redis) -> None:
    """Overdue schedule rows, queued, blocked and dead jobs, of each campaign by itself."""
    campaign()
    campaign(campaign_id="c-2", name="Southmarch")
    growth(timedelta(hours=-1))
    growth(timedelta(hours=1), entity="s-2")
    queued = submit(70)
    dead, waiting = submit(2, "c-2"), submit(3, "c-2", priority=Priority.LOW)
    Job.objects.filter(pk__in=[job.pk for job in dead]).update(state=State.DEAD)
    Job.objects.filter(pk__in=[job.pk for job in waiting]).update(state=State.RETRYING, waits_since=timezone.now())
    Job.objects.filter(pk=waiting[0].pk).update(waits_since=None, error="AwaitsAnswer: an operator is asked")
    with count_queries() as queries:
        rows = {row.pk: row.counts for row in admin_client.get(PAGE).context["cl"].result_list}
    first, second = rows["c-1"], rows["c-2"]

    assert (first.overdue, first.queued, first.waits, first.dead) == (1, len(queued), 0, 0)
    assert (second.overdue, second.waits, second.dead, second.blocked) == (0, 3, 2, 3)
    pauses.pause("campaign", "c-1", actor="user:ann")
    paused = {row.pk: row.counts for row in admin_client.get(PAGE).context["cl"].result_list}
    assert paused["c-1"].blocked == len(queued)
    for number in range(5):
        campaign(campaign_id=f"c-{number}-more")
    with count_queries() as more:
        text = admin_client.get(PAGE).content.decode()
    assert len(more) == len(queries)
    assert "70 blocked" in text
    assert "1 overdue" in text
