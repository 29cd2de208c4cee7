"""ADVANCE_WORLD_TIME with a worker and the sandbox: time moves once, whatever happens meanwhile."""

from typing import Any

import pytest
from redis import Redis

from jobs import service, stops
from jobs.models import CampaignClock, Job, WorldAdvance
from jobs.schedules.advances import DatabaseAdvances
from jobs.service import Submission
from jobs.states import State
from jobs.world.clock import WorldTime
from sandbox.dialect import DIALECTS
from tests.support.advances import NIGHT, NOON, TWO, answer_with_clock, clock, finish, move, start_anew, submit
from tests.support.advancing import CAMPAIGN
from tests.support.dialects import let_time_move
from tests.support.servers import SandboxApi
from tests.support.stops import submit_at
from tests.support.working import work

pytestmark = pytest.mark.django_db(transaction=True)
TODAY = sorted(DIALECTS["today"] - {11})


@pytest.fixture
def sandbox(sandbox: SandboxApi) -> SandboxApi:
    """One in which time can be advanced."""
    let_time_move(sandbox)
    return sandbox


@pytest.mark.parametrize("points", [[], TODAY], ids=["contract", "today"])
@pytest.mark.parametrize(
    ("payload", "to"),
    [
        ({"to": TWO}, TWO),
        ({"byMinutes": 600}, NIGHT),
        ({"until": "TIME_OF_DAY", "timeOfDay": "22:00"}, NIGHT),
    ],
    ids=str,
)
def test_time_moves_and_its_jobs_follow(
    redis: Redis, sandbox: SandboxApi, payload: dict[str, Any], to: str, points: list[int]
) -> None:
    """Without a listener; all jobs carry the movement's request, those of the recalculations too."""
    sandbox.control("POST", "dialect", {"points": points})
    service.submit(Submission(type="RECALCULATE_STRUCTURE_SCHEDULES", campaign_id=CAMPAIGN, payload={}), actor="test")
    work(redis)
    job = finish(redis, submit(payload))

    assert (job.state, clock(sandbox)) == (State.SUCCEEDED, to)
    assert job.result is not None
    assert (job.result["before"], job.result["after"]) == ({"worldTime": NOON}, {"worldTime": to})
    advance = WorldAdvance.objects.get(job_id=job.pk)
    brought = Job.objects.filter(request_id=advance.request_id)
    assert {one.type for one in brought} > {"EVENT_EXPIRATION", "STRUCTURE_MAINTENANCE"}
    assert not brought.exclude(state__in=[State.SUCCEEDED, State.SKIPPED]).exists()
    assert CampaignClock.objects.get(pk=CAMPAIGN).processed_world_time == to


def test_until_something_is_due(redis: Redis, sandbox: SandboxApi) -> None:
    """By the schedules: 90 minutes for a construction; a campaign without schedules and events has nothing due."""
    for number in range(1, 5):
        sandbox.control("POST", "events", {"id": f"event-1-{number}", "isCompleted": True})
    nothing = finish(redis, submit({"until": "NEXT_DUE"}))
    for kind in ("SETTLEMENT", "STRUCTURE"):
        service.submit(Submission(type=f"RECALCULATE_{kind}_SCHEDULES", campaign_id=CAMPAIGN, payload={}), actor="test")
    work(redis)
    job = finish(redis, submit({"until": "NEXT_DUE"}))

    assert (nothing.state, job.state) == (State.SKIPPED, State.SUCCEEDED)
    assert NOON < clock(sandbox) < TWO


@pytest.mark.parametrize("points", [[], TODAY], ids=["contract", "today"])
def test_until_the_next_event(redis: Redis, sandbox: SandboxApi, points: list[int]) -> None:
    """One that is overdue or completed is none; the contract lists no events to come, which the dead letter says."""
    sandbox.control("POST", "dialect", {"points": points})
    sandbox.control("POST", "events", {"id": "event-1-3", "isCompleted": True})
    job = finish(redis, submit({"until": "NEXT_EVENT"}))
    due = finish(redis, submit({"until": "NEXT_DUE"}))

    if points:
        assert (job.state, clock(sandbox)) == (State.SUCCEEDED, due.result and due.result["after"]["worldTime"])
        assert job.result is not None
        assert job.result["after"] == {"worldTime": "1001-06-01T13:00:00.000Z"}
    else:
        assert (job.state, job.failures, due.state) == (State.DEAD, 1, State.SKIPPED)
        assert "does not serve eventsByCampaign" in job.error


def test_until_the_next_effect(redis: Redis, sandbox: SandboxApi) -> None:
    """At a world time; it is also what is due next. After it there is none."""
    submit_at("1001-06-01T12:10:00Z")
    job = finish(redis, submit({"until": "NEXT_EFFECT"}))
    after = finish(redis, submit({"until": "NEXT_EFFECT", "cause": "again"}))

    assert (job.state, clock(sandbox)) == (State.SUCCEEDED, "1001-06-01T12:10:00.000Z")
    assert after.state == State.SKIPPED
    start_anew(sandbox)
    submit_at("1001-06-01T12:10:00Z")
    assert finish(redis, submit({"until": "NEXT_DUE"})).state == State.SUCCEEDED
    assert clock(sandbox) == "1001-06-01T12:10:00.000Z"


def test_a_clock_in_milliseconds_does_not_stop_before_what_is_due(redis: Redis, sandbox: SandboxApi) -> None:
    """Due times have microseconds. A target that a release before has recorded with them is reached, too."""
    sandbox.control("POST", "dialect", {"points": [3]})
    effect = submit_at("1001-06-01T12:10:00.999820Z")
    recorded = submit({"until": "NEXT_EFFECT"})
    due = WorldTime.parse("1001-06-01T12:10:00.999820Z")
    DatabaseAdvances().begin(str(recorded.pk), CAMPAIGN, WorldTime.parse(NOON), due)
    job = finish(redis, recorded)
    after = finish(redis, submit({"until": "NEXT_EFFECT", "cause": "again"}))

    assert (job.state, after.state) == (State.SUCCEEDED, State.SKIPPED)
    assert clock(sandbox) == "1001-06-01T12:10:01.000Z"
    assert stops.in_work().filter(job_id=effect.pk).exists()


@pytest.mark.parametrize(
    ("shown", "processed"),
    [("1001-06-01T13:59:59.000Z", "1001-06-01T13:59:59.000Z"), (NIGHT, NIGHT), ("soon", TWO), (NOON, TWO)],
)
def test_the_clock_of_the_answer_counts(redis: Redis, sandbox: SandboxApi, shown: str, processed: str) -> None:
    """What it does not show is not noted as processed. It is read again if it has not moved."""
    answer_with_clock(sandbox, shown)
    job = finish(redis, submit({"to": TWO}))

    assert job.state == State.SUCCEEDED
    assert WorldAdvance.objects.get(job_id=job.pk).to_time == processed
    assert CampaignClock.objects.get(pk=CAMPAIGN).processed_world_time == processed
    assert processed in str(job.result)


def test_six_reports_of_one_rest_move_time_once(redis: Redis, sandbox: SandboxApi) -> None:
    jobs = {submit({"byMinutes": 600, "cause": "rest-7"}).pk for _ in range(6)}
    work(redis)
    again = submit({"byMinutes": 600, "cause": "rest-7"})
    work(redis)

    assert jobs == {again.pk}
    assert clock(sandbox) == NIGHT


@pytest.mark.parametrize(
    ("payload", "campaign_id", "state", "text"),
    [
        ({"to": NOON}, CAMPAIGN, State.SKIPPED, f"world time is {NOON} already"),
        ({"to": "0900-01-01T00:00Z"}, CAMPAIGN, State.SKIPPED, f"world time is {NOON} already"),
        ({"byMinutes": 5_000_000_000}, CAMPAIGN, State.DEAD, "past the year 9999"),
        ({"byMinutes": 1}, "campaign-2", State.DEAD, "has no world time"),
        ({"byMinutes": 1}, "campaign-3", State.SKIPPED, "is inactive"),
        ({"byMinutes": 1}, "none", State.SKIPPED, "is gone"),
    ],
    ids=str,
)
def test_time_that_cannot_move_does_not(
    redis: Redis, sandbox: SandboxApi, payload: dict[str, Any], campaign_id: str, state: State, text: str
) -> None:
    sandbox.control("POST", "campaigns", {"id": "campaign-3", "isActive": False})
    job = finish(redis, submit(payload, campaign_id))

    last = job.audit_trail.order_by("-id")[0]
    assert (job.state, text in f"{job.error} {last.reason}") == (state, True)
    assert (clock(sandbox), WorldAdvance.objects.count()) == (NOON, 0)


@pytest.mark.parametrize("points", [[11], sorted(DIALECTS["today"])], ids=["conflicts", "today"])
def test_a_main_api_that_always_conflicts_is_named(redis: Redis, sandbox: SandboxApi, points: list[int]) -> None:
    """A dead letter at once; once others have moved time, its retry goes on from there, to the same target."""
    sandbox.control("POST", "dialect", {"points": points})
    job = finish(redis, submit({"byMinutes": 120}))

    assert (job.state, job.failures) == (State.DEAD, 1)
    assert f"refuses to move world time, which stands still at {NOON}" in job.error
    move(sandbox, TWO)
    service.retry([job], actor="user:ann", reason="the game master has moved time")
    job = finish(redis, job)
    assert job.state == State.SUCCEEDED
    assert job.result is not None
    assert job.result["note"] == f"world time had reached {TWO}"
    assert clock(sandbox) == TWO
