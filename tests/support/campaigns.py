"""A campaign with schedules, and its page."""

from datetime import timedelta
from typing import Any

from django.test import Client

from jobs.models import CampaignClock, ScheduleRow
from jobs.world.clock import WorldTime, sortable

PAGE = "/admin/jobs/campaignclock/"
READING = "1492-03-05T06:00:00.000Z"


def campaign(**more: Any) -> CampaignClock:
    """A campaign whose world time has been processed."""
    fields = {"campaign_id": "c-1", "name": "Northmarch", "world_time": READING, "processed_world_time": READING}
    return CampaignClock.objects.create(**fields | more)


def growth(due: timedelta, *, entity: str = "s-1", name: str = "Riverton", **more: Any) -> ScheduleRow:
    """A schedule of a settlement, `due` after the campaign's world time."""
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
