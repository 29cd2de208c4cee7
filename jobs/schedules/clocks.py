"""The campaigns' clocks in the database: each campaign's name, activity and world time when last seen.

A campaign is as the read shows it that began last: a long list may be stored after a later read of one campaign.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import connection, transaction
from django.db.models import Q
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
#: Whether a campaign that no list has shown for so long is gone is worth a read.
UNSEEN: Final = timedelta(hours=1)
#: No read is stored that long after it began: a campaign seen later than this by a clock that was ahead was not.
LONGEST_READ: Final = timedelta(minutes=10)


def reading_of(world_time: str | None) -> Moment:
    """Read a campaign's clock: its world time if it has one, wall-clock time otherwise.

    Raises PermanentError if the world time is malformed.
    """
    try:
        return WorldTime.parse(world_time) if world_time else WallTime(timezone.now())
    except ValueError as error:
        raise PermanentError(f"currentWorldTime: {str(error)[:300]}") from None


def begin_read() -> datetime:
    """When a read of campaigns begins, by the one clock of all processes: the database's; SQLite has this machine's."""
    if connection.vendor == "sqlite":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        began: datetime = cursor.fetchone()[0]
        return began


def remember_all(campaigns: Sequence[Campaign], began: datetime) -> dict[str, CampaignClock]:
    """Store campaigns from a list that was read from `began` on. Returns their clocks by ID.

    A malformed world time is ignored. So is a missing one if one is known: only reading the campaign individually
    proves that (`remember`). A campaign that has not changed is written every SEEN_EVERY only.
    """
    existing = CampaignClock.objects.in_bulk([campaign.id for campaign in campaigns])
    before = {one: (*_facts_of(clock), clock.seen_at) for one, clock in existing.items()}
    seen = {c.id: _update(c, existing.get(c.id), began, believe_none=False) for c in campaigns}
    new_or_changed = [
        clock
        for one, clock in seen.items()
        if one not in before or before[one][:-1] != _facts_of(clock) or not _is_recent(before[one][-1], began)
    ]
    if new_or_changed:
        _write(new_or_changed, began)
    return seen


def remember(campaign: Campaign, began: datetime) -> None:
    """Store a campaign that was read individually; the read began then."""
    existing = CampaignClock.objects.filter(pk=campaign.id).first()
    clock = _update(campaign, existing, began, believe_none=True)
    is_written = bool(_write([clock], began))
    if is_written and clock.world_time and clock.is_active:
        stops.open_first(clock.campaign_id, WorldTime.parse(clock.world_time))


def deactivate(campaign_id: str, began: datetime) -> None:
    """Note that a campaign is gone or inactive, as a read has shown that began then."""
    known = CampaignClock.objects.filter(pk=campaign_id).exclude(_seen_after(began))
    known.update(is_active=False, seen_at=began)


def has_changed(campaign: Campaign, clock: CampaignClock) -> bool:
    """Whether an active campaign that was read individually differs from what is stored.

    So it is, too, if its world time cannot be read, or was not processed yet.
    """
    try:
        reading = reading_of(campaign.current_world_time)
    except PermanentError:
        return True
    shown = reading.isoformat() if isinstance(reading, WorldTime) else ""
    named = clock.name if campaign.name == campaign.id and clock.name else as_name(campaign.name)
    is_processed = not shown or clock.processed_world_time == shown
    return _facts_of(clock) != (True, shown, named) or not is_processed


def world_time(campaign_id: str) -> str:
    """Return the campaign's world time when last seen; empty if it has none."""
    return CampaignClock.objects.filter(pk=campaign_id).values_list("world_time", flat=True).first() or ""


def is_active(campaign_id: str) -> bool:
    """Whether the campaign was active when last seen; True if it never was seen."""
    return not CampaignClock.objects.filter(pk=campaign_id, is_active=False).exists()


def _facts_of(clock: CampaignClock) -> tuple[bool, str, str]:
    """What the main API shows of it."""
    return clock.is_active, clock.world_time, clock.name


def _seen_after(began: datetime) -> Q:
    return Q(seen_at__gt=began, seen_at__lte=began + LONGEST_READ)


def _is_recent(seen_at: datetime, began: datetime) -> bool:
    return began - SEEN_EVERY <= seen_at <= began + LONGEST_READ


def _update(
    campaign: Campaign, existing: CampaignClock | None, began: datetime, *, believe_none: bool
) -> CampaignClock:
    clock = existing or CampaignClock(campaign_id=campaign.id)
    clock.is_active, clock.seen_at = campaign.is_active, began
    if not clock.name or campaign.name != campaign.id:  # the ID stands for a name that could not be read
        clock.name = as_name(campaign.name)
    world_time = campaign.current_world_time
    try:
        if world_time or believe_none:
            clock.world_time = WorldTime.parse(world_time).isoformat() if world_time else ""
    except ValueError:
        log.warning("schedules.clock_rejected", campaign_id=campaign.id, world_time=repr(world_time)[:100])
    return clock


@transaction.atomic
def _write(clocks: Sequence[CampaignClock], began: datetime) -> list[CampaignClock]:
    """Write those that no later read has stored. Returns them."""
    rows = CampaignClock.objects.select_for_update().filter(pk__in=[clock.pk for clock in clocks]).order_by("pk")
    known = dict(rows.values_list("pk", "seen_at"))
    later = {one for one, seen_at in known.items() if began < seen_at <= began + LONGEST_READ}
    return CampaignClock.objects.bulk_create(
        [clock for clock in clocks if clock.pk not in later],
        update_conflicts=True,
        unique_fields=["campaign_id"],
        update_fields=["name", "is_active", "seen_at", "world_time"],
    )
