"""Schedules in the database: when each event type of each entity is next due."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Final

import structlog
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from jobs import counters, stops
from jobs.ledger import DATED_COLUMNS, PLACED_COLUMNS
from jobs.main_api.model import Campaign
from jobs.models import CampaignClock, ScheduleRow
from jobs.models.making import make
from jobs.run import Applied, Followup, Seen, WantedSchedule
from jobs.schedules import changed_campaigns, clocks
from jobs.schedules.clocks import reading_of
from jobs.schedules.firing import fire, fire_by_campaign, read_clocks, release
from jobs.schedules.next_due import set_next_due
from jobs.schedules.rows import add, all_rows, anchors_of, batches, lock, lock_all, locked, save, save_dates
from jobs.schedules.waiting import find_due_structures
from jobs.world.clock import Moment, WorldTime, clock_name, parse_moment, sortable
from scheduler_project.text import is_id

log = structlog.get_logger(__name__)
#: A row's due times, and the rest of what can change, without the time it was written.
_dated: Final = attrgetter(*(name for name in DATED_COLUMNS if name != "updated_at"))
_named: Final = attrgetter(*(name for name in PLACED_COLUMNS if name not in DATED_COLUMNS))


def campaign_of(entity_id: str) -> str:
    """The campaign of a settlement or structure with schedules; empty if none is known."""
    rows = ScheduleRow.objects.filter(entity_id=entity_id).order_by()
    return rows.values_list("campaign_id", flat=True).first() or ""


class DatabaseSchedules:
    """`jobs.run.Schedules` on the tables ScheduleRow and CampaignClock."""

    def begin_read(self) -> datetime:
        """When a read of campaigns begins."""
        return clocks.begin_read()

    def remember(self, campaign: Campaign, began: datetime) -> None:
        """Store a campaign that was read individually."""
        clocks.remember(campaign, began)

    @transaction.atomic(savepoint=False)
    def sync(
        self, campaign: Campaign, entity_type: str, wanted: Sequence[WantedSchedule], *, read: Collection[str]
    ) -> list[Followup]:
        """Replace the schedules of the entities that were read by `wanted`. Returns the jobs that are due.

        Schedules are matched by (entity, event type), so that recalculating moves or removes one and never adds a
        second.
        """
        reading = stops.effective_reading(campaign.id, reading_of(campaign.current_world_time))
        existing = {
            key: row
            for key, row in lock([i for i in read if is_id(i)]).items()
            if row.campaign_id == campaign.id and row.entity_type == entity_type
        }
        new, known = [], []
        was = {row.pk: (_named(row), _dated(row)) for row in existing.values()}
        for want in wanted:
            if not is_id(want.entity_id):
                counters.add("unusable_texts", entity_type)
                log.warning("schedules.id_rejected", entity_id=repr(want.entity_id)[:300], next="it is skipped")
                continue
            row = existing.pop((want.entity_id, want.event_type), None)
            if row is None:
                row = make(ScheduleRow, campaign_id=campaign.id, entity_type=entity_type, anchor="")
                new.append(row)
            else:
                known.append(row)
            set_next_due(row, want, reading)
        for batch in batches([row.id for row in existing.values()]):
            ScheduleRow.objects.filter(id__in=batch).delete()
        _due, followups = fire([*new, *known], reading)
        # Another process may have created the row meanwhile, or another campaign may have one for this entity ID.
        add(new)
        renamed = {row.pk for row in known if _named(row) != was[row.pk][0]}
        save([row for row in known if row.pk in renamed])
        save_dates([row for row in known if row.pk not in renamed and _dated(row) != was[row.pk][1]])
        return followups

    def find_absent(self, campaign_id: str, entity_type: str, read: Collection[str], *, most: int) -> list[str]:
        """Find entities of the campaign with schedules that were not read, at most `most`."""
        rows = ScheduleRow.objects.filter(campaign_id=campaign_id, entity_type=entity_type)
        ids = rows.order_by("entity_id").values_list("entity_id", flat=True).distinct()
        return sorted(set(ids) - set(read))[:most]

    def confirm(self, campaign_id: str, entity_type: str, entity_ids: Collection[str]) -> None:
        """Mark these entities as just read."""
        for batch in batches([i for i in entity_ids if is_id(i)]):
            rows = ScheduleRow.objects.filter(campaign_id=campaign_id, entity_type=entity_type, entity_id__in=batch)
            with transaction.atomic():
                lock_all(rows)
                rows.update(updated_at=timezone.now())

    def find_unconfirmed(self, campaign_id: str, entity_type: str, since: datetime, *, most: int) -> list[str]:
        """Find entities with schedules that were neither read nor moved since then, at most `most`."""
        rows = ScheduleRow.objects.filter(campaign_id=campaign_id, entity_type=entity_type, updated_at__lt=since)
        return list(rows.order_by("entity_id").values_list("entity_id", flat=True).distinct()[:most])

    @transaction.atomic
    def clear(self, campaign_id: str, entity_type: str, began: datetime) -> None:
        """Remove the schedules of a campaign that is gone, and mark it as inactive."""
        clocks.deactivate(campaign_id, began)
        rows = ScheduleRow.objects.filter(campaign_id=campaign_id, entity_type=entity_type)
        lock_all(rows)
        rows.delete()

    @transaction.atomic
    def deactivate(self, campaign_id: str, entity_type: str, began: datetime) -> None:
        """Mark a campaign as inactive: its schedules stay, and do not fire until they are read again.

        They know when constructions began. On the wall clock, whoever looks for what fires would pass all of them.
        """
        clocks.deactivate(campaign_id, began)
        rows = _wall_rows_to_fire(entity_type).filter(campaign_id=campaign_id)
        lock_all(rows)
        rows.update(fire_at="")

    def remember_all(self, campaigns: Sequence[Campaign], began: datetime) -> None:
        """Store campaigns from a list."""
        for batch in batches(campaigns):
            clocks.remember_all(batch, began)

    def count_campaigns(self) -> int:
        """Count the campaigns that were ever seen."""
        return CampaignClock.objects.count()

    def find_campaigns(self, entity_type: str, *, after: str, most: int) -> list[str]:
        """Find campaigns that are active or have schedules to stop or remove, in the database's order.

        One that is inactive, and that lists still show, is left as it is once its schedules are stopped.
        """
        rows = ScheduleRow.objects.filter(campaign_id=OuterRef("pk"), entity_type=entity_type)
        may_be_gone = Q(seen_at__lt=timezone.now() - clocks.UNSEEN) & Exists(rows)
        to_stop = Exists(_wall_rows_to_fire(entity_type).filter(campaign_id=OuterRef("pk")))
        found = CampaignClock.objects.filter(Q(is_active=True) | may_be_gone | to_stop, pk__gt=after)
        return list(found.order_by("pk").values_list("pk", flat=True)[:most])

    def find_failed(self, job_type: str, campaign_ids: Collection[str]) -> set[str]:
        """Find campaigns whose recalculation is a dead letter and has not succeeded since."""
        return changed_campaigns.find_failed(job_type, campaign_ids)

    def find_moved(self, campaigns: Sequence[Campaign]) -> set[str]:
        """Find active campaigns that differ from what is stored, or whose world time is not processed yet."""
        return changed_campaigns.find_moved(campaigns)

    def find_changed(self, entity_type: str, seen: Sequence[Seen]) -> set[str]:
        """Find campaigns with a schedule that is new, gone, due, or stored with another due time."""
        return changed_campaigns.find_changed(entity_type, seen)

    def world_time(self, campaign_id: str) -> str:
        """Return the campaign's world time when last seen; empty if it has none."""
        return clocks.world_time(campaign_id)

    def advances_to(self, campaign_id: str) -> WorldTime | None:
        """Up to when its entities are advanced: its world time when last seen, or the stop at which that stands."""
        return stops.read_reached(campaign_id)

    def is_active(self, campaign_id: str) -> bool:
        """Whether the campaign was active when last seen; True if it never was seen."""
        return clocks.is_active(campaign_id)

    @transaction.atomic(savepoint=False)
    def set_aside(self, ids: Sequence[str], campaign: Campaign) -> list[Followup]:
        """Let no settlement wait for structures that cannot be read: these, or those of these settlements.

        Their rows count as fired, without a job. What is due of them is not lost: it fires when they are read again.
        """
        reading = sortable(stops.effective_reading(campaign.id, reading_of(campaign.current_world_time)))
        due = all_rows().filter(entity_type="Structure", fire_at__gt="", fire_at__lte=reading)
        numbers: set[int] = set()
        for batch in batches([i for i in ids if is_id(i)]):
            numbers |= set(due.filter(Q(entity_id__in=batch) | Q(household__in=batch)).values_list("id", flat=True))
        found = [row for batch in batches(sorted(numbers)) for row in locked(due.filter(id__in=batch))]
        ScheduleRow.objects.filter(id__in=[row.id for row in found]).update(fire_at="")
        return release(found, read_clocks())

    def anchors(self, entity_ids: Sequence[str]) -> dict[str, dict[str, Moment]]:
        """Return by entity and event when it was last due or, if it never was, when the entity was first seen."""
        found: dict[str, dict[str, Moment]] = {}
        for batch in batches([i for i in entity_ids if is_id(i)]):
            for entity_id, event, clock, anchor in anchors_of(batch):
                if anchor:
                    found.setdefault(entity_id, {})[event] = parse_moment(clock, anchor)
        return found

    def barriers(self, settlement_ids: Sequence[str], reading: Moment) -> dict[str, Moment]:
        """Return by settlement when its structures are due by `reading`, if there are jobs that will apply that."""
        due = find_due_structures([i for i in settlement_ids if is_id(i)], reading)
        return {settlement_id: one.due for settlement_id, one in due.items()}

    @transaction.atomic(savepoint=False)
    def record_applied(self, noted: Sequence[Applied]) -> list[Followup]:
        """Record what was applied and the next due times. Returns the jobs that are due already, or waited for it."""
        rows = lock({n.entity_id for n in noted})
        siblings = {entity_id: row for (entity_id, _), row in rows.items()}
        moved, gone, new = [], [], []
        for n in noted:
            row = rows.get((n.entity_id, n.event))
            if row is None:
                if n.interval is not None and (sibling := siblings.get(n.entity_id)) is not None:
                    new.append(_begin(sibling, n))
            elif row.clock != clock_name(n.anchor) or row.anchor > sortable(n.anchor):
                continue
            elif n.interval is None:
                gone.append(row.id)
            else:
                was = row.anchor, row.interval, row.next_due
                row.anchor, row.interval, row.next_due = sortable(n.anchor), n.interval, sortable(n.next_due)
                if (row.anchor, row.interval, row.next_due) != was:
                    row.fire_at = row.next_due
                    moved.append(row)
        if gone:
            ScheduleRow.objects.filter(id__in=gone).delete()
        read_clock = read_clocks()
        followups = fire_by_campaign([*moved, *new], read_clock)
        save_dates(moved)
        add(new)
        return followups + release(siblings.values(), read_clock)

    @transaction.atomic(savepoint=False)
    def forget(self, *entity_ids: str) -> list[Followup]:
        """Remove the schedules of entities that are gone. Returns the jobs that waited for them."""
        rows = lock(entity_ids)
        for batch in batches(entity_ids):
            ScheduleRow.objects.filter(entity_id__in=batch).delete()
        return release(rows.values(), read_clocks())


def _wall_rows_to_fire(entity_type: str) -> QuerySet[ScheduleRow]:
    return ScheduleRow.objects.filter(entity_type=entity_type, clock="wall", fire_at__gt="")


def _begin(sibling: ScheduleRow, n: Applied) -> ScheduleRow:
    """A row for an event that recurs from now on: maintenance, once construction is complete."""
    row = make(
        ScheduleRow,
        campaign_id=sibling.campaign_id,
        entity_type=sibling.entity_type,
        entity_id=sibling.entity_id,
        household=sibling.household,
        entity_name=sibling.entity_name,
        event_type=n.event,
        clock=clock_name(n.anchor),
        anchor=sortable(n.anchor),
        next_due=sortable(n.next_due),
        job_type=sibling.job_type,
        payload=n.payload,
    )
    row.interval, row.fire_at = n.interval or timedelta(0), row.next_due
    return row
