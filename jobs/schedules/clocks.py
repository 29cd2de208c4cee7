"""The campaigns' clocks in the database: each campaign's name, activity and world time when last seen."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

import structlog
from django.utils import timezone

from jobs import stops
from jobs.errors import PermanentError
from jobs.main_api.model import Campaign
from jobs.models import CampaignClock
from jobs.world.clock import Moment, WallTime, WorldTime
from scheduler_project.text import as_name

log = structlog.get_logger(__name__)
#: How often it is noted that a campaign was seen: all are read every 3 minutes.
SEEN_EVERY: Final = timedelta(minutes=10)


def reading_of(world_time: str | None) -> Moment:
    """Read a campaign's clock: its world time if it has one, wall-clock time otherwise.

    Raises PermanentError if the world time is malformed.
    """
    try:
        return WorldTime.parse(world_time) if world_time else WallTime(timezone.now())
    except ValueError as error:
        raise PermanentError(f"currentWorldTime: {str(error)[:300]}") from None


def remember_all(campaigns: Sequence[Campaign]) -> dict[str, CampaignClock]:
    """Store campaigns from a list. Returns their clocks by ID.

    A malformed world time is ignored. So is a missing one if one is known: only reading the campaign individually
    proves that (`remember`). A campaign that has not changed is written every SEEN_EVERY only.
    """
    existing = CampaignClock.objects.in_bulk([campaign.id for campaign in campaigns])
    before = {one: (*_shown(clock), clock.seen_at) for one, clock in existing.items()}
    seen = {c.id: _updated(c, existing.get(c.id), believe_none=False) for c in campaigns}
    old = timezone.now() - SEEN_EVERY
    _write(
        [c for one, c in seen.items() if one not in before or before[one][:-1] != _shown(c) or before[one][-1] < old]
    )
    return seen


def remember(campaign: Campaign) -> None:
    """Store a campaign that was read individually."""
    existing = CampaignClock.objects.filter(pk=campaign.id).first()
    clock = _updated(campaign, existing, believe_none=True)
    _write([clock])
    if clock.world_time and clock.is_active:
        stops.open_first(clock.campaign_id, WorldTime.parse(clock.world_time))


def has_changed(campaign: Campaign, clock: CampaignClock) -> bool:
    """Whether an active campaign that was read individually is not as it was stored.

    So it is, too, if its world time cannot be read, or was not processed yet.
    """
    try:
        reading = reading_of(campaign.current_world_time)
    except PermanentError:
        return True
    shown = reading.isoformat() if isinstance(reading, WorldTime) else ""
    named = clock.name if campaign.name == campaign.id and clock.name else as_name(campaign.name)
    is_processed = not shown or clock.processed_world_time == shown
    return _shown(clock) != (True, shown, named) or not is_processed


def world_time(campaign_id: str) -> str:
    """Return the campaign's world time when last seen; empty if it has none."""
    return CampaignClock.objects.filter(pk=campaign_id).values_list("world_time", flat=True).first() or ""


def is_active(campaign_id: str) -> bool:
    """Whether the campaign was active when last seen; True if it never was seen."""
    return not CampaignClock.objects.filter(pk=campaign_id, is_active=False).exists()


def _shown(clock: CampaignClock) -> tuple[bool, str, str]:
    """What the main API shows of it."""
    return clock.is_active, clock.world_time, clock.name


def _updated(campaign: Campaign, existing: CampaignClock | None, *, believe_none: bool) -> CampaignClock:
    clock = existing or CampaignClock(campaign_id=campaign.id)
    clock.is_active, clock.seen_at = campaign.is_active, timezone.now()
    if not clock.name or campaign.name != campaign.id:  # the ID stands for a name that could not be read
        clock.name = as_name(campaign.name)
    world_time = campaign.current_world_time
    try:
        if world_time or believe_none:
            clock.world_time = WorldTime.parse(world_time).isoformat() if world_time else ""
    except ValueError:
        log.warning("schedules.clock_rejected", campaign_id=campaign.id, world_time=repr(world_time)[:100])
    return clock


def _write(clocks: Iterable[CampaignClock]) -> None:
    CampaignClock.objects.bulk_create(
        clocks,
        update_conflicts=True,
        unique_fields=["campaign_id"],
        update_fields=["name", "is_active", "seen_at", "world_time"],
    )
