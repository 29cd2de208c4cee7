"""Jobs that are due at a world time, and what a campaign's time stops for: in the database, without a worker."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from redis import Redis

from jobs import service, stops
from jobs.broker import keys
from jobs.errors import InvalidJob
from jobs.models import CampaignClock, Job, ScheduleRow, StopPhase, WorldStop
from jobs.service import Submission
from jobs.states import State
from jobs.stops import AT_WORLD_TIME
from jobs.world.clock import WallTime, WorldTime, sortable
from tests.support.stops import submit_at

pytestmark = pytest.mark.django_db
CAMPAIGN = "campaign-1"
FIVE, SIX, SEVEN, EIGHT = (f"1372-01-16T0{hour}:00:00.000Z" for hour in (5, 6, 7, 8))


def world(text: str) -> WorldTime:
    return WorldTime.parse(text)


def show(world_time: str) -> None:
    """The campaign's clock shows a world time."""
    CampaignClock.objects.update_or_create(pk=CAMPAIGN, defaults={"world_time": world_time})


def test_a_job_at_a_world_time_waits_for_no_time_of_day(redis: Redis) -> None:
    """It is not in Redis, and the same effect at the same world time is the same job, with one stop."""
    job, again = submit_at(SIX), submit_at("1372-01-16T07:00:00+01:00")

    assert again.pk == job.pk
    assert (job.state, job.due_at, job.clock, job.clock_due) == (State.SCHEDULED, AT_WORLD_TIME, "world", SIX)
    assert job.payload_version == 2
    assert stops.waits_for_world_time(job)
    assert not redis.exists(keys.SCHEDULED)
    assert [(stop.job_id, stop.phase) for stop in WorldStop.objects.all()] == [(job.pk, StopPhase.WAITING)]


def test_an_effect_at_a_time_of_day_stays_readable_for_the_release_before(redis: Redis) -> None:
    payload = {"effectId": "e", "executeAt": timezone.now().isoformat()}
    job, _ = service.submit(Submission(type="DEFERRED_EFFECT", campaign_id=CAMPAIGN, payload=payload), actor="test")

    assert job.payload_version == 1
    assert not WorldStop.objects.exists()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"payload": {"effectId": "e"}}, "payload.executeAt"),
        (
            {"payload": {"effectId": "e", "executeAt": "2026-01-01T00:00Z", "executeAtWorldTime": SIX}},
            "payload.executeAtWorldTime",
        ),
        ({"payload": {"effectId": "e", "executeAtWorldTime": "12 Mirtul"}}, "payload.executeAtWorldTime"),
        ({"payload": {"effectId": "e", "executeAtWorldTime": "1372-01-16T06:00"}}, "payload.executeAtWorldTime"),
        ({"due_at": datetime(2026, 1, 1, tzinfo=UTC)}, "dueAt"),
        ({"campaign_id": ""}, "campaignId"),
    ],
    ids=str,
)
def test_what_cannot_be_due_at_a_world_time_is_refused(changes: dict[str, Any], field: str) -> None:
    fields: dict[str, Any] = {
        "campaign_id": CAMPAIGN,
        "payload": {"effectId": "e", "executeAtWorldTime": SIX},
        **changes,
    }
    with pytest.raises(InvalidJob) as caught:
        service.submit(Submission(type="DEFERRED_EFFECT", **fields), actor="test")

    assert caught.value.field == field
    assert not Job.objects.exists()
    assert not WorldStop.objects.exists()


def test_a_world_goes_up_to_the_first_stop_that_its_clock_has_reached(redis: Redis) -> None:
    """Those at the same time in the order in which they were placed; other campaigns and clocks do not matter."""
    later, first, second = submit_at(SEVEN, "a"), submit_at(SIX, "b"), submit_at(SIX, "c")
    submit_at(FIVE, campaign_id="campaign-2")

    assert stops.effective_reading(CAMPAIGN, world(FIVE)) == world(FIVE)
    assert [stops.effective_reading(CAMPAIGN, world(at)) for at in (SIX, EIGHT)] == [world(SIX)] * 2
    assert [due.job.pk for due in stops.find_due(CAMPAIGN, most=9)] == [first.pk, second.pk, later.pk]
    now = WallTime(timezone.now())
    assert stops.effective_reading(CAMPAIGN, now) is now

    WorldStop.objects.filter(at=sortable(world(SIX))).update(phase=StopPhase.LIFTED)

    assert stops.effective_reading(CAMPAIGN, world(EIGHT)) == world(SEVEN)
    assert [stops.next_stop(CAMPAIGN, world(at)) for at in (FIVE, SEVEN)] == [world(SEVEN), None]


@pytest.mark.parametrize(
    ("applied", "at"), [(None, FIVE), (SEVEN, SEVEN), (EIGHT, SEVEN)], ids=["nothing", "some", "set back"]
)
def test_a_stop_in_the_past_is_where_the_world_has_got_to(redis: Redis, applied: str | None, at: str) -> None:
    """At most to the clock. The scheduler looks at it at once."""
    show(SEVEN)
    if applied:
        ScheduleRow.objects.create(
            campaign_id=CAMPAIGN,
            entity_id="s",
            event_type="POPULATION_GROWTH",
            clock="world",
            anchor=sortable(world(applied)),
            interval=timedelta(hours=1),
        )
    job = submit_at(FIVE)

    (stop,) = stops.in_work()
    assert (stop.job_id, stop.at, stop.phase) == (job.pk, sortable(world(at)), StopPhase.OPEN)


@pytest.mark.parametrize("verb", [service.cancel, service.run_now])
def test_a_job_that_no_longer_waits_stops_nothing(redis: Redis, verb: Any) -> None:
    job = submit_at(SIX)

    (done,) = verb([job], actor="user:ann", reason="changed my mind").done

    assert not WorldStop.objects.exists()
    assert done.due_at == AT_WORLD_TIME or done.state == State.QUEUED


def test_a_job_at_a_world_time_cannot_be_rescheduled(redis: Redis) -> None:
    job = submit_at(SIX)

    report = service.reschedule([job], due_at=timezone.now() + timedelta(days=1), actor="user:ann", reason="later")

    assert (report.done, report.skipped) == ([], {"SCHEDULED, waits for a world time": 1})
    assert WorldStop.objects.exists()


@pytest.mark.parametrize("analyzed", [True, False])
def test_looking_for_stops_in_work_reads_none_that_wait(analyzed: bool) -> None:
    """By a partial index, with and without statistics."""
    WorldStop.objects.bulk_create(
        WorldStop(campaign_id=f"c-{n % 50}", at=sortable(world(SIX)), job_id=Job(type="X").pk) for n in range(3000)
    )
    if analyzed:
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE jobs_worldstop")

    assert "stop_in_work" in stops.in_work().explain()
