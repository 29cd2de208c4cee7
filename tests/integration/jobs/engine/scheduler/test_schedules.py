"""Schedules of settlements and structures, recalculated and fired on a real database and Redis."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone
from redis import Redis

from jobs.engine.scheduler.scheduler import Scheduler
from jobs.errors import PermanentError
from jobs.main_api.model import Campaign
from jobs.models import CampaignClock, Job, ScheduleRow
from jobs.run import Applied, WantedSchedule
from jobs.schedules.clocks import begin_read
from jobs.schedules.firing import fire_wall_rows, next_wall_firing
from jobs.schedules.store import DatabaseSchedules
from jobs.world.clock import WallTime, WorldTime, sortable

pytestmark = pytest.mark.django_db(transaction=True)


def wanted(**changes: Any) -> WantedSchedule:
    """One kind of growth of one settlement."""
    values: dict[str, Any] = {
        "entity_id": "s-1",
        "entity_name": "Riverton",
        "event_type": "POPULATION_GROWTH",
        "interval": timedelta(hours=1),
        "variables": {},
        "job_type": "SETTLEMENT_GROWTH",
        "payload": {"settlementId": "s-1", "growthType": "POPULATION_GROWTH"},
    }
    return WantedSchedule(**{**values, **changes})


def campaign(clock: str) -> Campaign:
    """A campaign whose world time is that of a day of the year 1000."""
    return Campaign(id="c-1", name="C", is_active=True, current_world_time=f"1000-01-01T{clock}:00Z")


def test_recalculating_moves_schedules_and_adds_no_second() -> None:
    """First due one interval after first seen; a jump makes one job; a new interval counts from the last applied."""
    schedules = DatabaseSchedules()

    assert schedules.sync(campaign("12:00"), "Settlement", [wanted()], read=["s-1"]) == []
    assert ScheduleRow.objects.get().next_due.startswith("1000-01-01T13:00")
    (due,) = schedules.sync(campaign("15:30"), "Settlement", [wanted()], read=["s-1"])
    assert (due.occurrences, due.clock_due) == (3, WorldTime.parse("1000-01-01T15:00:00Z"))
    assert schedules.sync(campaign("15:30"), "Settlement", [wanted()], read=["s-1"]) == [due]
    last, following = (WorldTime.parse(f"1000-01-01T{hour}:00:00Z") for hour in (15, 16))
    noted = Applied("s-1", "POPULATION_GROWTH", last, due.interval, following)
    assert schedules.record_applied([noted]) == []
    assert ScheduleRow.objects.get().next_due.startswith("1000-01-01T16:00")
    schedules.sync(campaign("15:30"), "Settlement", [wanted(interval=timedelta(minutes=54))], read=["s-1"])
    assert ScheduleRow.objects.get().next_due.startswith("1000-01-01T15:54")
    schedules.sync(campaign("15:30"), "Settlement", [], read=["s-1"])
    assert not ScheduleRow.objects.exists()


def wall_rows(*types: str) -> None:
    """Rows on the wall clock that are due, one with each type of job."""
    fields: dict[str, Any] = {
        "campaign_id": "c-1",
        "entity_type": "Settlement",
        "event_type": "POPULATION_GROWTH",
        "clock": "wall",
        "interval": timedelta(hours=1),
        "payload": wanted().payload,
    }
    due = sortable(WallTime(timezone.now() - timedelta(minutes=1)))
    for kind in types:
        ScheduleRow.objects.create(entity_id=kind, job_type=kind, anchor=due, next_due=due, fire_at=due, **fields)


def test_a_schedule_advances_only_together_with_its_job(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler killed in between has done neither."""
    wall_rows("SETTLEMENT_GROWTH")
    scheduler = Scheduler(connection=redis)

    def killed(*_: object, **__: object) -> None:
        raise OperationalError("killed here")

    with monkeypatch.context() as patch:
        patch.setattr("jobs.service.submit_followups", killed)
        with pytest.raises(OperationalError):
            scheduler.fire(timezone.now())
    scheduler.fire(timezone.now())

    assert Job.objects.filter(type="SETTLEMENT_GROWTH", campaign_id="c-1").count() == 1


def test_a_rejected_schedule_delays_no_other(redis: Redis) -> None:
    """Its job type is gone."""
    wall_rows("GONE", "SETTLEMENT_GROWTH")

    Scheduler(connection=redis).fire(timezone.now())

    assert list(Job.objects.filter(campaign_id="c-1").values_list("type", flat=True)) == ["SETTLEMENT_GROWTH"]


def test_schedules_of_inactive_campaigns_neither_fire_nor_starve_others() -> None:
    """600 of them are due before an active one's, and 500 fire at once."""
    now = timezone.now()
    CampaignClock.objects.create(campaign_id="idle", is_active=False)
    wall_rows("SETTLEMENT_GROWTH")
    (busy,) = ScheduleRow.objects.all()
    long_ago = sortable(WallTime(now - timedelta(hours=3)))
    idle = {f.name: getattr(busy, f.name) for f in ScheduleRow._meta.fields if f.name != "id"}
    idle |= {"campaign_id": "idle", "next_due": long_ago, "fire_at": long_ago}
    ScheduleRow.objects.bulk_create([ScheduleRow(**{**idle, "entity_id": f"s-{n}"}) for n in range(600)])

    first = next_wall_firing()

    assert first is not None
    assert sortable(WallTime(first)) == busy.fire_at
    assert [due.campaign_id for due in fire_wall_rows(now, limit=500)] == ["c-1"]
    assert fire_wall_rows(now) == []
    assert ScheduleRow.objects.filter(campaign_id="idle", fire_at=long_ago).count() == 600


def test_after_a_lost_database_schedules_count_from_the_marks() -> None:
    """The entity itself says what was applied last."""
    marks = {"schedulerMarks": {"clock": "world", "POPULATION_GROWTH": "1000-01-01T14:00:00.000Z"}}

    (due,) = DatabaseSchedules().sync(campaign("16:30"), "Settlement", [wanted(variables=marks)], read=["s-1"])

    assert (due.occurrences, due.clock_due) == (2, WorldTime.parse("1000-01-01T16:00:00Z"))


def test_odd_names_and_ids_delay_no_other() -> None:
    """A long name is cut, an ID that fits no column is skipped, and the others get their schedules."""
    odd = Campaign(id="c-1", name="\0" + "C" * 5000, is_active=True, current_world_time="1000-01-01T12:00:00Z")
    long_name, long_id = wanted(entity_name="x\ud800" * 300), wanted(entity_id="s" * 256)

    DatabaseSchedules().remember(odd, begin_read())
    DatabaseSchedules().sync(odd, "Settlement", [long_id, long_name], read=["s-1"])

    assert [row.entity_id for row in ScheduleRow.objects.all()] == ["s-1"]
    assert CampaignClock.objects.get().name == "\ufffd" + "C" * 253 + "…"


@pytest.mark.parametrize("world_time", ["+10000-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00", "soon", "1000-01-01"])
def test_a_malformed_world_time_is_a_permanent_error(world_time: str) -> None:
    """It is quoted; nothing falls back to wall-clock time."""
    lost = Campaign(id="c-1", name="C", is_active=True, current_world_time=world_time)

    with pytest.raises(PermanentError, match="currentWorldTime"):
        DatabaseSchedules().sync(lost, "Settlement", [wanted()], read=["s-1"])
    assert not ScheduleRow.objects.exists()


def test_a_due_time_past_the_year_9999_is_never_due() -> None:
    """The schedule stays, without a due time."""
    last = Campaign(id="c-1", name="C", is_active=True, current_world_time="9999-12-31T23:30:00Z")

    assert DatabaseSchedules().sync(last, "Settlement", [wanted()], read=["s-1"]) == []
    assert ScheduleRow.objects.get().next_due == ""
