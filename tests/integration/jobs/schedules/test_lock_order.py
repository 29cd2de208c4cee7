"""Transactions that write schedules lock them in one order, whatever they do: so no two wait for each other."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone

from jobs.main_api.model import Campaign
from jobs.models import AdvanceSource, CampaignClock, ScheduleRow
from jobs.run import Applied, WantedSchedule
from jobs.schedules.advances import react
from jobs.schedules.firing import fire_wall_rows, fire_world_rows
from jobs.schedules.store import DatabaseSchedules
from jobs.world.clock import Moment, WallTime, WorldTime, clock_name, sortable
from tests.support.locks import is_waiting
from tests.support.servers import wait_until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time"),
]
HOUR = timedelta(hours=1)
STRUCTURES = ("s-1", "s-2", "s-3")
WORLD = WorldTime.parse("1001-06-01T12:00:00Z")
STORE = DatabaseSchedules()


def plant(kind: str, entity_id: str, due: Moment) -> None:
    payload = {"structureId": entity_id, "eventType": "E"}
    ScheduleRow.objects.create(
        campaign_id="c",
        entity_type=kind,
        entity_id=entity_id,
        event_type="E",
        household="t",
        interval=HOUR,
        clock=clock_name(due),
        anchor=sortable(type(due)(due.at - HOUR)),
        next_due=sortable(due),
        fire_at=sortable(due),
        job_type="STRUCTURE_MAINTENANCE",
        payload=payload,
    )


def wanted(entity_id: str) -> WantedSchedule:
    return WantedSchedule(
        entity_id=entity_id,
        entity_name="another",
        event_type="E",
        interval=HOUR * 2,
        variables={},
        job_type="STRUCTURE_MAINTENANCE",
        payload={"structureId": entity_id, "eventType": "E"},
        household="t",
    )


def campaign(now: Moment) -> Campaign:
    return Campaign(id="c", name="C", is_active=True, current_world_time=sortable(now) if now is WORLD else None)


def synchronize(now: Moment) -> None:
    STORE.sync(campaign(now), "Structure", [wanted(one) for one in reversed(STRUCTURES)], read=STRUCTURES)


def remove(now: Moment) -> None:
    STORE.sync(campaign(now), "Structure", [], read=STRUCTURES)


def apply(now: Moment) -> None:
    STORE.record_applied([Applied(one, "E", now, HOUR, now, {}) for one in reversed(STRUCTURES)])


def set_aside(now: Moment) -> None:
    STORE.set_aside(list(reversed(STRUCTURES)), campaign(now))


def fire(now: Moment) -> None:
    if isinstance(now, WorldTime):
        fire_world_rows("c", now)
    else:
        fire_wall_rows(now.at)


def set_back(now: Moment) -> None:
    react("c", WorldTime(WORLD.at - timedelta(hours=3)), source=AdvanceSource.CLOCK, actor="listener")


def clear(now: Moment) -> None:
    STORE.clear("c", "Structure", timezone.now())


def stop(now: Moment) -> None:
    STORE.deactivate("c", "Structure", timezone.now())


def confirm(now: Moment) -> None:
    STORE.confirm("c", "Structure", STRUCTURES)


def forget(now: Moment) -> None:
    STORE.forget(*reversed(STRUCTURES))


@pytest.mark.parametrize("clock", ["world", "wall"])
@pytest.mark.parametrize("write", [synchronize, remove, apply, set_aside, fire, set_back, clear, stop, confirm, forget])
def test_rows_are_locked_in_one_order(write: Callable[[Moment], None], clock: str) -> None:
    """Structures first, each kind by its number; here the table has them in another order."""
    now: Moment = WORLD if clock == "world" else WallTime(timezone.now())
    shown = now.isoformat() if clock == "world" else ""
    CampaignClock.objects.create(campaign_id="c", world_time=shown, processed_world_time=shown)
    plant("Settlement", "t", type(now)(now.at - timedelta(minutes=5)))
    for number, structure in enumerate(STRUCTURES):
        plant("Structure", structure, type(now)(now.at - number * timedelta(minutes=1)))
    for structure in STRUCTURES[-2::-1]:
        for household in ("", "t"):  # its column has an index: the row is written anew, behind the others
            ScheduleRow.objects.filter(entity_id=structure).update(household=household)

    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            lock(STRUCTURES[0])
            other = threads.submit(closing, partial(write, now))
            wait_until(lambda: other.done() or is_waiting(), what="the other one waits, or needs none of them")
            for one in (*STRUCTURES[1:], "t"):
                lock(one)
        other.result(60)


@pytest.mark.parametrize("write", [set_back, clear, stop])
def test_a_campaign_is_locked_before_its_schedules(write: Callable[[Moment], None]) -> None:
    """Whoever moves a campaign's world time back has locked both until it is committed."""
    CampaignClock.objects.create(campaign_id="c", world_time=WORLD.isoformat(), processed_world_time=WORLD.isoformat())
    plant("Structure", "s-1", WallTime(timezone.now()) if write is stop else WORLD)

    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            CampaignClock.objects.select_for_update().get(pk="c")
            other = threads.submit(closing, partial(write, WORLD))
            wait_until(lambda: other.done() or is_waiting(), what="the other one waits")
            lock("s-1")
        other.result(60)


def closing(act: Callable[[], None]) -> None:
    """In a thread, which has a connection of its own."""
    try:
        act()
    finally:
        connections.close_all()


def lock(entity_id: str) -> None:
    ScheduleRow.objects.select_for_update().get(entity_id=entity_id)
