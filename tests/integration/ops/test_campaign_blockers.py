"""A campaign's page says what blocks it."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from redis import Redis

from jobs import pauses
from jobs.fingerprint import fingerprint_of
from jobs.ledger import Ending, moves
from jobs.main_api.client import main_api
from jobs.models import CampaignClock, Job, ScheduleRow
from jobs.outcome import Outcome
from jobs.processes.heartbeat import Heartbeat
from jobs.service import Submission, submit
from jobs.states import State
from jobs.world.clock import WorldTime
from ops.reads import campaign as campaign_page
from ops.reads import campaign_blockers
from ops.reads.campaign_jobs import find_newest
from tests.support.campaigns import READING, campaign, growth, text_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("hold", "says"),
    [
        ("inactive", "The campaign is inactive in the main API"),
        ("paused", "is paused by ann"),
        ("type paused", "is paused by ann"),
        ("breaker", "The circuit breaker to the main API is open"),
        ("listener", "No listener is running"),
        ("worker", "No worker is running"),
        ("behind", "is known but not processed yet"),
        ("structure", "It waits for maintenance due of Forge, which is due first"),
    ],
)
def test_the_page_says_what_blocks_a_campaign(admin_client: Client, alive: Redis, hold: str, says: str) -> None:
    """In words, on the campaign and on its schedules."""
    clock = campaign(is_active=hold != "inactive", processed_world_time="" if hold == "behind" else READING)
    growth(timedelta(hours=-1))
    match hold:
        case "paused":
            pauses.pause("campaign", "c-1", actor="user:ann", reason="the players argue")
        case "type paused":
            pauses.pause("type", "SETTLEMENT_GROWTH", actor="user:ann")
        case "breaker":
            main_api().breaker.force("open", by="user:ann", reason="maintenance")
        case "structure":
            forge = {"entity_type": "Structure", "household": "s-1", "event_type": "MAINTENANCE_DUE"}
            growth(timedelta(minutes=-1), entity="t-1", name="Forge", job_type="STRUCTURE_MAINTENANCE", **forge)
        case "listener" | "worker":
            name = {"listener": "l-1", "worker": "w-1"}[hold]
            Heartbeat(hold, name, alive).leave()
    text = text_of(admin_client)
    blockers = campaign_blockers.find_campaign_blockers(clock, pauses.active(), timezone.now())
    rows = list(campaign_page.find_rows(clock, search="Riverton", after=None))
    (row,) = campaign_page.describe(clock, rows, blockers, find_newest("c-1"), timezone.now())

    assert says in text
    assert says in row.why
    assert row.blockers


def test_a_pause_of_another_campaign_or_type_blocks_nothing(admin_client: Client, alive: Redis) -> None:
    """Only what is paused is blocked."""
    clock = campaign()
    growth(timedelta(hours=1))
    pauses.pause("campaign", "c-2", actor="user:ann")
    pauses.pause("type", "DEFERRED_EFFECT", actor="user:ann")
    text = text_of(admin_client)
    blockers = campaign_blockers.find_campaign_blockers(clock, pauses.active(), timezone.now())
    rows = list(campaign_page.find_rows(clock, search="Riverton", after=None))
    (row,) = campaign_page.describe(clock, rows, blockers, find_newest("c-1"), timezone.now())

    assert row.blockers == []
    assert "only Deferred effect" in text
    assert "World time must advance by 1 h" in text


def test_a_dead_letter_is_shown_with_its_schedule(admin_client: Client, alive: Redis) -> None:
    """Its error and a link."""
    clock = campaign()
    row = growth(timedelta(hours=-1))
    submission = Submission(type=row.job_type, campaign_id="c-1", payload=row.payload)
    job, _ = submit(submission, actor="test")
    moves.cycle([], [str(job.pk)], actor="worker:w", worker="w", now=timezone.now())
    job.refresh_from_db()
    error = "NotFound: s-1 is gone"
    ending = Ending(job, Outcome(State.DEAD, error), error=error, failure=fingerprint_of(error, ""))
    moves.cycle([ending], [], actor="worker:w", worker="w", now=timezone.now())
    text = text_of(admin_client)
    (one,) = campaign_page.describe(clock, [row], [], find_newest("c-1"), timezone.now())

    assert "s-1 is gone" in text
    assert f"/admin/jobs/job/{job.pk}/change/" in text
    assert [blocker.name for blocker in one.blockers] == ["dead job"]


def test_a_dead_letter_that_a_later_job_caught_up_blocks_nothing(alive: Redis) -> None:
    """The newest job of the schedule decides: it applied what the dead one had to do."""
    clock = campaign()
    row = growth(timedelta(hours=1))
    for state, due in ((State.DEAD, timedelta(0)), (State.SUCCEEDED, timedelta(minutes=1))):
        due_at = timezone.now() + due
        job, _ = submit(
            Submission(type=row.job_type, campaign_id="c-1", payload=row.payload, due_at=due_at), actor="test"
        )
        Job.objects.filter(pk=job.pk).update(state=state, error="NotFound: gone")
    (one,) = campaign_page.describe(clock, [row], [], find_newest("c-1"), timezone.now())

    assert one.job is not None
    assert one.job.state == State.SUCCEEDED
    assert not one.blockers
    assert "World time must advance by 1 h" in one.why


def test_a_dead_recalculation_explains_overdue_schedules(admin_client: Client, alive: Redis) -> None:
    """They get no jobs: the page says so and links to it, until a later one succeeds."""
    clock = campaign()
    growth(timedelta(hours=-2))
    growth(timedelta(hours=1), entity="s-2")

    def recalculation(state: State) -> Job:
        again = Submission(type="RECALCULATE_SETTLEMENT_SCHEDULES", campaign_id="c-1", payload={}, subject=state.value)
        job, _ = submit(again, actor="test")
        Job.objects.filter(pk=job.pk).update(state=state, error="TransientError: HTTP 500")
        return job

    def held() -> list[list[str]]:
        jobs, now = find_newest("c-1"), timezone.now()
        found = list(campaign_page.find_rows(clock, search="", after=None))
        rows = campaign_page.describe(
            clock, found, campaign_blockers.find_stuck_recalculations(clock, jobs, now), jobs, now
        )
        return [[blocker.name for blocker in row.blockers] for row in rows]

    died = recalculation(State.DEAD)
    text = text_of(admin_client)
    assert "is a dead letter (TransientError: HTTP 500). Retry it" in text
    assert f"/admin/jobs/job/{died.pk}/change/" in text
    assert "up to date" not in text
    assert held() == [["recalculation"], []]

    CampaignClock.objects.update(world_time="")
    assert "New entities have no schedules until it succeeds" in text_of(admin_client)
    ScheduleRow.objects.update(clock="wall")  # the scheduler makes the jobs of these
    assert held() == [[], []]
    CampaignClock.objects.update(world_time=READING)
    ScheduleRow.objects.update(clock="world")

    recalculation(State.RETRYING)
    assert "has failed (TransientError: HTTP 500) and is tried again" in text_of(admin_client)
    Job.objects.filter(state=State.RETRYING).update(error="CircuitOpen: circuit breaker open")
    assert "waits (circuit breaker open) and is tried again" in text_of(admin_client)
    recalculation(State.SUCCEEDED)
    assert "up to date" in text_of(admin_client)
    assert held() == [[], []]


def test_older_dead_letters_that_were_caught_up_block_nothing(alive: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a busy campaign: a recalculation before the newest jobs, and a schedule that has advanced."""
    clock, row = campaign(), growth(timedelta(hours=1))
    made = {"campaign_id": "c-1", "clock_due": WorldTime.parse(row.next_due)}
    died = [
        Submission(type="RECALCULATE_SETTLEMENT_SCHEDULES", campaign_id="c-1", payload={}),
        Submission(type=row.job_type, payload=row.payload, **made),  # type: ignore[arg-type] # fields of two types
    ]
    ids = [submit(each, actor="test")[0].pk for each in died]
    Job.objects.filter(pk__in=ids).update(state=State.DEAD, error="NotFound: gone", clock="world")

    def seen() -> tuple[list[str], list[bool]]:
        jobs, now = find_newest("c-1"), timezone.now()
        rows = campaign_page.describe(clock, [row], [], jobs, now)
        stuck = [blocker.name for blocker in campaign_blockers.find_stuck_recalculations(clock, jobs, now)]
        return stuck, [one.dead is not None for one in rows]

    before = seen()
    monkeypatch.setattr("ops.reads.campaign_jobs.NEWEST", 3)
    for number in range(3):
        submit(Submission(type="EVENT_EXPIRATION", campaign_id="c-1", payload={}, subject=str(number)), actor="test")
    busy = seen()
    row.anchor = row.next_due

    assert before == (["recalculation"], [True])
    assert busy == ([], [True])
    assert seen() == ([], [False])


def test_many_dead_letters_take_one_line(admin_client: Client, alive: Redis) -> None:
    """The first few by name, the number of the rest with a link to all."""
    campaign()
    for number in range(6):
        row = growth(timedelta(hours=-1), entity=f"s-{number}", name=f"Town {number}")
        submission = Submission(type=row.job_type, campaign_id="c-1", payload=row.payload)
        job, _ = submit(submission, actor="test")
        Job.objects.filter(pk=job.pk).update(state=State.DEAD, error="NotFound: gone")
    text = text_of(admin_client)

    assert text.count("is a dead letter (NotFound: gone). Retry it. <a") == 3
    assert "3 more have dead letters" in text
