"""A campaign that is skipped has nothing that a recalculation would change."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import stops
from jobs.main_api.model import Campaign
from jobs.models import CampaignClock, ScheduleRow, StopPhase, WorldStop, new_job_id
from jobs.run import Seen, WantedSchedule
from jobs.schedules.changed_campaigns import find_changed, find_moved
from jobs.schedules.store import DatabaseSchedules
from jobs.world.clock import Moment, WallTime, WorldTime, sortable
from jobs.world.growth import GrowthType
from tests.support.examples import examples

pytestmark = pytest.mark.django_db
SETTLEMENT = "Settlement"
NOON = WorldTime.parse("1372-01-16T12:00:00Z")


def at(hours: float) -> WorldTime:
    return WorldTime(NOON.at + timedelta(hours=hours))


def campaign(hours: float = 0, **changes: Any) -> Campaign:
    now = at(hours).isoformat()
    fields: dict[str, Any] = {"name": "Northmarch", "is_active": True, "current_world_time": now, **changes}
    return Campaign(id="c-1", **fields)


def want(entity: int, event: GrowthType, hours: int, mark: float | None, name: str) -> WantedSchedule:
    """A schedule of a settlement, for which `event` was applied `mark` hours after noon."""
    marks = {"schedulerMarks": {"clock": "world", event.value: at(mark).isoformat()}} if mark is not None else {}
    return WantedSchedule(
        entity_id=f"s-{entity}",
        entity_name=name,
        event_type=event,
        interval=timedelta(hours=hours),
        variables=marks,
        job_type="SETTLEMENT_GROWTH",
        payload={"settlementId": f"s-{entity}", "growthType": event.value},
        household=f"s-{entity}",
    )


wants = st.builds(
    want,
    st.integers(1, 3),
    st.sampled_from(GrowthType),
    st.sampled_from([1, 2]),
    st.sampled_from([None, -1, 0, 1]),
    st.sampled_from(["Riverton", "Oakford"]),
)
worlds = st.lists(wants, max_size=5, unique_by=lambda one: (one.entity_id, one.event_type))


stops_at = st.none() | st.tuples(st.sampled_from([1, 9]), st.sampled_from(StopPhase))


def snapshot() -> list[dict[str, object]]:
    """The schedules, without when they were written, and the stops' phases."""
    rows = ScheduleRow.objects.order_by("entity_id", "event_type").values()
    phases = WorldStop.objects.values_list("phase", flat=True)
    found: list[dict[str, object]] = [{"phase": phase} for phase in phases]
    found += [{name: value for name, value in row.items() if name not in ("id", "updated_at")} for row in rows]
    return found


@examples(60)
@given(first=worlds, then=st.none() | worlds, moved=st.sampled_from([0, 0.5, 1, 1.5, 3]), stop=stops_at)
def test_skipped_is_what_a_recalculation_leaves_as_it_is(
    first: list[WantedSchedule], then: list[WantedSchedule] | None, moved: float, stop: tuple[int, StopPhase] | None
) -> None:
    """Whatever has changed of the entities and the clock, and wherever the world stands at an effect."""
    then = first if then is None else then
    for table in (ScheduleRow, WorldStop, CampaignClock):
        table.objects.all().delete()
    schedules = DatabaseSchedules()
    schedules.sync(campaign(), SETTLEMENT, first, read=[one.entity_id for one in first])
    if stop:
        WorldStop.objects.create(campaign_id="c-1", at=sortable(at(stop[0])), job_id=new_job_id(), phase=stop[1])
    before, later, now = snapshot(), campaign(moved), at(moved).isoformat()
    CampaignClock.objects.create(campaign_id="c-1", name="Northmarch", world_time=now, processed_world_time=now)

    is_skipped = not find_moved([later]) and not find_changed(SETTLEMENT, [Seen(later, then)])

    schedules.remember(later, schedules.begin_read())
    jobs = schedules.sync(later, SETTLEMENT, then, read=[one.entity_id for one in [*first, *then]])
    assert is_skipped == (not jobs and snapshot() == before)


@pytest.mark.parametrize(
    ("phases", "hours", "moved"),
    [
        ([StopPhase.WAITING], 1, True),
        ([StopPhase.WAITING], 0.5, False),
        ([StopPhase.OPEN, StopPhase.WAITING], 9, False),  # the first one is in work
        ([StopPhase.LIFTED, StopPhase.WAITING], 9, False),  # the scheduler opens it next
        ([StopPhase.WAITING, StopPhase.WAITING], 1, True),
    ],
)
def test_a_campaign_at_a_stop_that_nobody_has_opened_is_not_skipped(
    phases: list[StopPhase], hours: float, moved: bool
) -> None:
    """It was inactive for a while; its world would stand until somebody moves its time."""
    now = at(hours).isoformat()
    CampaignClock.objects.create(campaign_id="c-1", name="Northmarch", world_time=now, processed_world_time=now)
    for number, phase in enumerate(phases, 1):
        WorldStop.objects.create(campaign_id="c-1", at=sortable(at(number)), job_id=new_job_id(), phase=phase)

    assert find_moved([campaign(hours)]) == ({"c-1"} if moved else set())


def test_a_settlement_that_is_listed_twice_hides_no_schedule_of_one_that_is_gone() -> None:
    """There are as many schedules as are wanted, but not the same."""
    here = want(1, GrowthType.POPULATION_GROWTH, 2, None, "Riverton")
    gone = want(2, GrowthType.POPULATION_GROWTH, 2, None, "Oakford")
    DatabaseSchedules().sync(campaign(), SETTLEMENT, [here, gone], read=["s-1", "s-2"])

    assert find_changed(SETTLEMENT, [Seen(campaign(), [here, here])]) == {"c-1"}

    ScheduleRow.objects.filter(entity_id="s-2").delete()
    assert find_changed(SETTLEMENT, [Seen(campaign(), [here, here])]) == set()


def test_a_world_that_stands_goes_up_to_its_first_stop() -> None:
    """As for one campaign, for many: before the stop, at it, behind it, lifted, and on wall-clock time."""
    now = WallTime.parse("2026-01-01T00:00:00Z")
    readings: dict[str, Moment] = {
        "before": at(0.5),
        "at": at(1),
        "behind": at(5),
        "lifted": at(5),
        "none": at(5),
        "wall": now,
    }
    for name in ("before", "at", "behind", "lifted", "wall"):
        for hours in (1, 2):
            phase = StopPhase.LIFTED if name == "lifted" else StopPhase.WAITING
            WorldStop.objects.create(campaign_id=name, at=sortable(at(hours)), job_id=new_job_id(), phase=phase)

    assert stops.effective_readings(readings) == {
        name: stops.effective_reading(name, reading) for name, reading in readings.items()
    }
    assert stops.effective_readings({}) == {}


@pytest.mark.parametrize(
    ("shown", "stored", "moved"),
    [
        ({}, {}, False),
        ({"current_world_time": None}, {"world_time": "", "processed_world_time": ""}, False),
        ({"name": "c-1"}, {}, False),  # a name that cannot be read
        ({"name": "Southmarch"}, {}, True),
        ({"current_world_time": at(1).isoformat()}, {}, True),
        ({"current_world_time": None}, {}, True),
        ({"current_world_time": "soon"}, {}, True),
        ({}, {"is_active": False}, True),
        ({}, {"processed_world_time": ""}, True),
        ({}, {"processed_world_time": at(-1).isoformat()}, True),
    ],
)
def test_a_campaign_is_skipped_only_as_it_was_stored_and_processed(
    shown: dict[str, Any], stored: dict[str, Any], moved: bool
) -> None:
    """While the listener was away, its clock was not processed."""
    now = NOON.isoformat()
    fields = {"name": "Northmarch", "world_time": now, "processed_world_time": now, **stored}
    CampaignClock.objects.create(campaign_id="c-1", **fields)

    assert find_moved([campaign(**shown)]) == ({"c-1"} if moved else set())
    assert find_moved([Campaign(id="new", name="new", is_active=True)]) == {"new"}
