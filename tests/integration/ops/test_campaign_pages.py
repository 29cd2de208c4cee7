"""The page of a campaign: its clock, what is next due, why it has not happened, and who may do what about it."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from redis import Redis

from jobs import pauses
from jobs.fingerprint import fingerprint_of
from jobs.ledger import Ending, moves
from jobs.main_api.client import main_api
from jobs.models import CampaignClock, Job, OperatorAction, Pause, ScheduleRow
from jobs.outcome import Outcome
from jobs.processes.heartbeat import Heartbeat
from jobs.service import Submission, submit
from jobs.states import State
from jobs.world.clock import WallTime, WorldTime, sortable
from ops.reads import campaign as campaign_page
from ops.reads.campaign_jobs import find_newest
from tests.support.people import member

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/admin/jobs/campaignclock/"
READING = "1492-03-05T06:00:00.000Z"


@pytest.fixture
def alive(redis: Redis) -> Redis:
    """A worker, a scheduler and a listener have said that they live, and the breaker is closed."""
    Heartbeat("worker", "w-1", redis).beat("idle", in_flight=0, concurrency=5)
    Heartbeat("scheduler", "s-1", redis).beat("active")
    Heartbeat("listener", "l-1", redis).beat("active")
    return redis


def campaign(**more: Any) -> CampaignClock:
    """A campaign whose world time has been processed."""
    fields = {"campaign_id": "c-1", "name": "Northmarch", "world_time": READING, "processed_world_time": READING}
    return CampaignClock.objects.create(**fields | more)


def growth(due: timedelta, *, entity: str = "s-1", name: str = "Riverton", **more: Any) -> ScheduleRow:
    """A schedule row of a settlement, due so long after the world's reading."""
    at = WorldTime(WorldTime.parse(READING).at + due)
    fields = {
        "campaign_id": "c-1",
        "entity_type": "Settlement",
        "entity_id": entity,
        "entity_name": name,
        "event_type": "POPULATION_GROWTH",
        "clock": "world",
        "anchor": READING,
        "interval": timedelta(hours=1),
        "next_due": sortable(at),
        "fire_at": sortable(at),
        "job_type": "SETTLEMENT_GROWTH",
        "payload": {"settlementId": entity, "growthType": "POPULATION_GROWTH"},
    }
    return ScheduleRow.objects.create(**fields | more)


def text_of(client: Client, **query: str) -> str:
    """The campaign's page."""
    answer = client.get(f"{PAGE}c-1/change/", query)
    assert answer.status_code == 200
    text: str = answer.content.decode()
    return text


def test_the_last_minute_of_time_has_a_page(admin_client: Client, alive: Redis) -> None:
    """World time may stand at the end of the year 9999: no hour follows, and what would is never due."""
    campaign(world_time="9999-12-31T23:59:00.000Z", processed_world_time="9999-12-31T23:59:00.000Z")

    assert "9999-12-31 23:59" in text_of(admin_client)


def test_the_clock_and_what_is_next_due(admin_client: Client, alive: Redis) -> None:
    """World time, what was processed, each row with its time on that clock and in how long it is."""
    campaign()
    growth(timedelta(hours=2))
    text = text_of(admin_client)

    assert "1492-03-05 06:00" in text
    assert "Riverton" in text
    assert "in 2 h of world time" in text
    assert "World time must move on by 2 h" in text
    assert "Nothing is blocking this campaign" in text


def test_a_wall_clock_campaign_counts_on_the_wall_clock(admin_client: Client, alive: Redis) -> None:
    """Without world time the rows' times are those of the wall."""
    campaign(world_time="", processed_world_time="")
    due = sortable(WallTime(timezone.now() + timedelta(minutes=90, seconds=30)))
    growth(timedelta(0), clock="wall", next_due=due, fire_at=due)
    text = text_of(admin_client)

    assert "in 1 h 30 min" in text
    assert "of world time" not in text


@pytest.mark.parametrize(
    ("hold", "says"),
    [
        ("inactive", "The campaign is inactive in the main API"),
        ("paused", "is paused by ann"),
        ("type paused", "is paused by ann"),
        ("breaker", "The circuit breaker to the main API is open"),
        ("listener", "No listener is running"),
        ("worker", "No worker is running"),
        ("behind", "has been seen and not been processed yet"),
    ],
)
def test_why_has_my_town_not_grown(admin_client: Client, alive: Redis, hold: str, says: str) -> None:
    """What holds a campaign back is said in words, and stands on its rows."""
    clock = campaign(is_active=hold != "inactive", processed_world_time="" if hold == "behind" else READING)
    growth(timedelta(hours=-1))
    match hold:
        case "paused":
            pauses.pause("campaign", "c-1", actor="user:ann", reason="the players argue")
        case "type paused":
            pauses.pause("type", "SETTLEMENT_GROWTH", actor="user:ann")
        case "breaker":
            main_api().breaker.force("open", by="user:ann", reason="maintenance")
        case "listener" | "worker":
            name = {"listener": "l-1", "worker": "w-1"}[hold]
            Heartbeat(hold, name, alive).leave()
    text = text_of(admin_client)
    blockers = campaign_page.find_campaign_blockers(clock, pauses.active(), timezone.now())
    (row,) = campaign_page.describe(
        clock, list(campaign_page.find_rows(clock, search="", after=None)), blockers, find_newest("c-1"), timezone.now()
    )

    assert says in text
    assert says in row.why
    assert row.blockers


def test_a_pause_of_another_campaign_or_type_holds_nothing(admin_client: Client, alive: Redis) -> None:
    """Only what is paused is held."""
    clock = campaign()
    growth(timedelta(hours=1))
    pauses.pause("campaign", "c-2", actor="user:ann")
    pauses.pause("type", "DEFERRED_EFFECT", actor="user:ann")
    text = text_of(admin_client)
    blockers = campaign_page.find_campaign_blockers(clock, pauses.active(), timezone.now())
    (row,) = campaign_page.describe(
        clock, list(campaign_page.find_rows(clock, search="", after=None)), blockers, find_newest("c-1"), timezone.now()
    )

    assert row.blockers == []
    assert "only deferred effect" in text
    assert "World time must move on by 1 h" in text


def test_a_dead_job_is_named_with_its_row(admin_client: Client, alive: Redis) -> None:
    """Its error and the way to it."""
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


def test_a_dead_job_that_a_later_one_made_up_for_holds_nothing_back(alive: Redis) -> None:
    """The newest job about the row decides: what it applied holds what the dead one had to do."""
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
    assert "World time must move on by 1 h" in one.why


def test_a_recalculation_that_died_is_why_nothing_comes_due(admin_client: Client, alive: Redis) -> None:
    """What is overdue has no job and gets none: the page says so and leads to it, until a later one has succeeded."""
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
            clock, found, campaign_page.find_stuck_recalculations(clock, jobs, now), jobs, now
        )
        return [[blocker.name for blocker in row.blockers] for row in rows]

    died = recalculation(State.DEAD)
    text = text_of(admin_client)
    assert "is a dead letter (TransientError: HTTP 500): retry it" in text
    assert f"/admin/jobs/job/{died.pk}/change/" in text
    assert "up to date" not in text
    assert held() == [["recalculation"], []]

    CampaignClock.objects.update(world_time="")
    assert "What is new has no schedule until it succeeds" in text_of(admin_client)
    ScheduleRow.objects.update(clock="wall")  # the scheduler makes the jobs of these
    assert held() == [[], []]
    CampaignClock.objects.update(world_time=READING)
    ScheduleRow.objects.update(clock="world")

    recalculation(State.RETRYING)
    assert "is tried again" in text_of(admin_client)
    recalculation(State.SUCCEEDED)
    assert "up to date" in text_of(admin_client)
    assert held() == [[], []]


def test_what_a_job_beyond_the_newest_has_made_up_for_is_no_dead_letter(
    alive: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a busy campaign: a recalculation that died before the newest jobs, and a row that has moved on since."""
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
        stuck = [blocker.name for blocker in campaign_page.find_stuck_recalculations(clock, jobs, now)]
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


def test_many_dead_jobs_are_told_in_one_line(admin_client: Client, alive: Redis) -> None:
    """The first few by name, the rest by their number with the way to all of them."""
    campaign()
    for number in range(6):
        row = growth(timedelta(hours=-1), entity=f"s-{number}", name=f"Town {number}")
        submission = Submission(type=row.job_type, campaign_id="c-1", payload=row.payload)
        job, _ = submit(submission, actor="test")
        Job.objects.filter(pk=job.pk).update(state=State.DEAD, error="NotFound: gone")
    text = text_of(admin_client)

    assert text.count("is a dead letter (NotFound: gone): retry it. <a") == 3
    assert "3 more have a dead letter" in text


def test_the_timeline_shows_each_due_time_of_the_window(alive: Redis) -> None:
    """Every interval within the hours asked for, at its place; what lies beyond is left out."""
    clock = campaign()
    growth(timedelta(hours=3), interval=timedelta(hours=6))
    growth(timedelta(hours=30), entity="s-2", name="Farhold")
    described = campaign_page.describe(
        clock, list(campaign_page.find_rows(clock, search="", after=None)), [], find_newest("c-1"), timezone.now()
    )

    (lane,) = campaign_page.draw_timeline(described, 24)
    assert lane.label == "Riverton: population growth"
    assert lane.marks == [12.5, 37.5, 62.5, 87.5]


def test_a_campaign_is_paused_and_resumed_with_who_and_why(client: Client, alive: Redis) -> None:
    """By an operator, from its own page."""
    campaign()
    operator = member(client, "Operator")
    until = timezone.now() + timedelta(hours=3)
    form = {"until": f"{until:%Y-%m-%dT%H:%M}", "reason": "the players argue"}
    paused = operator.post(f"{PAGE}c-1/pause/", form, follow=True).content.decode()
    (pause,) = pauses.active()
    operator.post(f"{PAGE}c-1/resume/")

    assert "the players argue" in paused
    assert (pause.kind, pause.name, pause.actor) == ("campaign", "c-1", "user:bob")
    assert pauses.active() == []
    assert [a.verb for a in OperatorAction.objects.order_by("id")] == ["paused", "resumed"]


def test_a_pause_that_is_over_already_is_refused_in_words(admin_client: Client, alive: Redis) -> None:
    """Nothing is paused."""
    campaign()
    page = admin_client.post(f"{PAGE}c-1/pause/", {"until": "2020-01-01T00:00"}, follow=True).content.decode()

    assert "Not paused" in page
    assert not Pause.objects.exists()


def test_recalculate_now_submits_a_job_for_each_kind_of_entity(admin_client: Client, alive: Redis) -> None:
    """With the person as their source."""
    campaign()
    admin_client.post(f"{PAGE}c-1/recalculate/", {"reason": "a town is missing"})

    assert {job.type for job in Job.objects.all()} == {
        "RECALCULATE_SETTLEMENT_SCHEDULES",
        "RECALCULATE_STRUCTURE_SCHEDULES",
    }
    assert {(job.source, job.campaign_id) for job in Job.objects.all()} == {("user:admin", "c-1")}


def test_a_viewer_looks_but_may_not_act(client: Client, alive: Redis) -> None:
    """No button, and the server refuses each."""
    campaign()
    growth(timedelta(hours=1))
    viewer = member(client, "Viewer")
    text = text_of(viewer)
    refused = [viewer.post(f"{PAGE}c-1/{verb}/").status_code for verb in ("pause", "resume", "recalculate")]

    assert "Riverton" in text
    assert "Recalculate now</button>" not in text
    assert "Pause the campaign" not in text
    assert refused == [403, 403, 403]
    assert not Job.objects.exists()


def test_rows_are_searched_and_paged(admin_client: Client, alive: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name; the next page begins where this one ended."""
    monkeypatch.setattr(campaign_page, "PAGE", 2)
    campaign()
    for number, name in enumerate(("Riverton", "Farhold", "Rivergate")):
        growth(timedelta(hours=1 + number), entity=f"s-{number}", name=name)
    first = admin_client.get(f"{PAGE}c-1/change/")
    more = first.context["more"]
    second = admin_client.get(f"{PAGE}c-1/change/", {"after": f"{more.next_due}~{more.pk}"})
    found = admin_client.get(f"{PAGE}c-1/change/", {"q": "river"})

    assert [one.row.entity_name for one in first.context["rows"]] == ["Riverton", "Farhold"]
    assert [one.row.entity_name for one in second.context["rows"]] == ["Rivergate"]
    assert [one.row.entity_name for one in found.context["rows"]] == ["Riverton", "Rivergate"]


@pytest.mark.parametrize("campaign_id", ["c/1?x=2", "c_5F 1", "ä:é#%"])
def test_ids_of_any_kind_have_a_page(admin_client: Client, alive: Redis, campaign_id: str) -> None:
    """The list leads to it, and its buttons work."""
    campaign(campaign_id=campaign_id)
    (link,) = re.findall(r'href="(/admin/jobs/campaignclock/[^"]+/change/)"', admin_client.get(PAGE).content.decode())
    page = admin_client.get(link)
    (button,) = re.findall(r'action="(/admin/jobs/campaignclock/[^"]+/recalculate/)"', page.content.decode())
    admin_client.post(button)

    assert page.status_code == 200
    assert {job.campaign_id for job in Job.objects.all()} == {campaign_id}


def test_the_page_comes_while_redis_is_away(admin_client: Client, alive: Redis, settings: Any) -> None:
    """What the database knows, and that Redis does not answer."""
    from jobs.broker import keys

    campaign()
    keys.redis.cache_clear()
    settings.REDIS_URL = "redis://127.0.0.1:1"
    try:
        text = text_of(admin_client)
    finally:
        keys.redis.cache_clear()

    assert "Redis does not answer" in text


@pytest.mark.parametrize("one", [False, True])
def test_pages_take_few_queries(client: Client, alive: Redis, one: bool) -> None:
    """Fewer than 15, however many rows are shown."""
    campaign()
    for number in range(30):
        growth(timedelta(hours=number), entity=f"s-{number}")
    operator = member(client, "Operator")
    with CaptureQueriesContext(connection) as queries:
        assert operator.get(f"{PAGE}c-1/change/" if one else PAGE).status_code == 200

    assert len(queries) < 15, [q["sql"][:90] for q in queries]
