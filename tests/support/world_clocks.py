"""World clocks of campaigns in the database."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from jobs.models import CampaignClock, Job, WorldClock
from jobs.world_clocks import control
from jobs.world_clocks.settings import Settings

DEFAULTS: Final = Settings(
    rate=Decimal(60),
    step=60,
    most_per_step=7200,
    most_per_day=864_000,
    quiet_hours="",
    time_zone="UTC",
    catch_up="skip",
)


def settings(**changes: Any) -> Settings:
    return Settings(**DEFAULTS.as_fields() | changes)


def start_running(campaign_id: str = "c-1", **changes: Any) -> WorldClock:
    """The started clock of a campaign on world time."""
    fields = {"name": "Northmarch", "world_time": "1001-06-01T12:00:00.000Z"}
    CampaignClock.objects.get_or_create(pk=campaign_id, defaults=fields)
    control.configure(campaign_id, settings(**changes), actor="test")
    control.start(campaign_id, actor="test")
    return of(campaign_id)


def of(campaign_id: str = "c-1") -> WorldClock:
    return WorldClock.objects.get(pk=campaign_id)


def due(clock: WorldClock) -> datetime:
    """When its next step is due."""
    assert clock.next_at is not None
    return clock.next_at


def steps(campaign_id: str = "c-1") -> list[int]:
    """The world seconds of the jobs of its steps, in order."""
    jobs = Job.objects.filter(campaign_id=campaign_id, type="ADVANCE_WORLD_TIME").order_by("pk")
    return [job.payload["bySeconds"] for job in jobs]


def last_job(campaign_id: str = "c-1") -> Job:
    """Of the last step."""
    return Job.objects.get(pk=str(of(campaign_id).step_job_id))
