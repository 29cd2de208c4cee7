"""Which campaigns a recalculation would change: their schedules are compared without a lock, and nothing is written.

What has changed is left to a recalculation of that campaign, which decides again (jobs/schedules/recalculate.py).
"""

from collections.abc import Collection, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

from django.db.models import Exists, OuterRef

from jobs import stops
from jobs.main_api.model import Campaign
from jobs.models import CampaignClock, Job, ScheduleRow
from jobs.run import Seen, WantedSchedule
from jobs.schedules.clocks import has_changed, reading_of
from jobs.schedules.next_due import StoredSchedule, set_next_due
from jobs.schedules.rows import batches
from jobs.states import State
from jobs.world.clock import Moment, sortable

_COLUMNS: Final = StoredSchedule.__struct_fields__
_values_of = attrgetter(*_COLUMNS)
_Key = tuple[str, str]  #: entity ID and event type


def find_failed(job_type: str, campaign_ids: Collection[str]) -> set[str]:
    """Find campaigns whose recalculation is a dead letter and has not succeeded since.

    Their pages say so until one has.
    """
    later = Job.objects.filter(campaign_id=OuterRef("campaign_id"), type=job_type, pk__gt=OuterRef("pk"))
    dead = Job.objects.in_state(State.DEAD).filter(type=job_type, campaign_id__in=campaign_ids)
    left = dead.exclude(Exists(later.filter(state__in=[State.SUCCEEDED, State.SKIPPED])))
    return set(left.values_list("campaign_id", flat=True))


def find_moved(campaigns: Sequence[Campaign]) -> set[str]:
    """Find active campaigns that differ from what is stored, or whose world time is not processed yet.

    So nothing is skipped while the listener has not seen what the main API shows. A campaign that has reached a stop
    which nobody has opened is found, too: its recalculation opens it.
    """
    known = CampaignClock.objects.in_bulk([campaign.id for campaign in campaigns])
    moved = {one.id for one in campaigns if one.id not in known or has_changed(one, known[one.id])}
    return moved | stops.find_unopened(
        {one.id: reading_of(one.current_world_time) for one in campaigns if one.id not in moved}
    )


def find_changed(entity_type: str, seen: Sequence[Seen]) -> set[str]:
    """Find campaigns with a schedule that is new, gone, due, or stored with another due time.

    Their clocks must be readable.
    """
    stored = _read_stored(entity_type, [one.campaign.id for one in seen])
    readings = stops.effective_readings({c.id: reading_of(c.current_world_time) for c, _ in seen})
    return {
        campaign.id
        for campaign, wanted in seen
        if not _are_up_to_date(stored.get(campaign.id, {}), wanted, readings[campaign.id])
    }


def _read_stored(entity_type: str, campaign_ids: Sequence[str]) -> dict[str, dict[_Key, tuple[Any, ...]]]:
    """Read by campaign, entity and event the values of schedules, in the order of `StoredSchedule`."""
    found: dict[str, dict[_Key, tuple[Any, ...]]] = {}
    for batch in batches(campaign_ids):
        rows = ScheduleRow.objects.filter(campaign_id__in=batch, entity_type=entity_type).order_by()
        for campaign_id, *values in rows.values_list("campaign_id", *_COLUMNS):
            found.setdefault(campaign_id, {})[values[0], values[1]] = tuple(values)
    return found


def _are_up_to_date(stored: Mapping[_Key, tuple[Any, ...]], wanted: Sequence[WantedSchedule], reading: Moment) -> bool:
    """Whether the stored schedules equal the wanted ones, and none is due."""
    if stored.keys() != {(want.entity_id, want.event_type) for want in wanted}:
        return False
    due = sortable(reading)
    for want in wanted:
        values = stored[want.entity_id, want.event_type]
        row = StoredSchedule(*values)
        if "" < row.next_due <= due:
            return False
        try:
            set_next_due(row, want, reading)
        except ValueError:  # somebody has edited the tables
            return False
        if _values_of(row) != values:
            return False
    return True
