"""Firing schedules: jobs for what is due, and when each schedule fires next."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from operator import attrgetter

from django.db import transaction
from django.db.models import Q, QuerySet

from jobs.models import CampaignClock, ScheduleRow
from jobs.run import Followup
from jobs.schedules.clocks import reading_of
from jobs.schedules.rows import all_rows, locked, rows_of, save_dates
from jobs.schedules.waiting import find_waiting, has_due_structures
from jobs.stops import read_reached
from jobs.world.clock import Moment, WallTime, WorldTime, later, parse_moment, sortable
from jobs.world.due import due_by

#: Reads how far a campaign has got on one of its clocks.
ReadClock = Callable[[str, str], Moment | None]


@transaction.atomic
def fire_wall_rows(now: datetime, *, limit: int = 500) -> list[Followup]:
    """Fire wall-clock schedules that are due at `now`, at most `limit`, each once. Returns their jobs.

    Schedules of inactive campaigns do not fire, and do not count towards the limit.
    """
    return _fire_first(wall_rows(), WallTime(now), limit)


def _fire_first(rows: QuerySet[ScheduleRow], reading: Moment, limit: int) -> list[Followup]:
    due = rows.filter(fire_at__lte=sortable(reading))
    waits = Q(entity_type="Settlement") & Q(has_due_structures(reading))
    first = due.order_by("fire_at").values_list("id", flat=True)
    found = locked(due.filter(id__in=[*first.exclude(waits)[:limit], *first.filter(waits)[:limit]]))
    fired, followups = fire(sorted(found, key=attrgetter("fire_at")), reading)
    save_dates(fired)
    return followups


def next_wall_firing() -> datetime | None:
    """The due time of the next wall-clock schedule."""
    first = wall_rows().order_by("fire_at").values_list("fire_at").first()
    return WallTime.parse(first[0]).at.astimezone(UTC) if first else None


@transaction.atomic
def fire_world_rows(campaign_id: str, reading: WorldTime, *, limit: int = 500) -> list[Followup]:
    """Fire schedules of a campaign that are due by `reading`, at most `limit`, each once. Returns their jobs."""
    return _fire_first(all_rows().filter(campaign_id=campaign_id, clock="world", fire_at__gt=""), reading, limit)


def _read_clock(campaign_id: str, clock: str) -> Moment | None:
    """Up to when a campaign goes on one of its clocks; None: it has no world time."""
    if clock == "wall":
        return reading_of(None)
    return read_reached(campaign_id)


def read_clocks() -> ReadClock:
    """Read each campaign's clock once. For one transaction: the clocks go on."""
    return cache(_read_clock)


def fire_by_campaign(rows: Sequence[ScheduleRow], read_clock: ReadClock) -> list[Followup]:
    """Fire rows that are already due to fire on their campaigns' clocks. Returns their jobs."""
    due: dict[Moment, list[ScheduleRow]] = {}
    for row in rows:
        reading = read_clock(row.campaign_id, row.clock)
        if reading is not None and row.fire_at <= sortable(reading):
            due.setdefault(reading, []).append(row)
    return [followup for reading, own in due.items() for followup in fire(own, reading)[1]]


def release(structures: Iterable[ScheduleRow], read_clock: ReadClock) -> list[Followup]:
    """Fire the due rows of the settlements that these structures belong to. Returns their jobs."""
    households = {row.household for row in structures if row.entity_type == "Structure" and row.household}
    if not households:
        return []
    rows = [r for r in rows_of(households, lock=True) if r.entity_type == "Settlement" and r.fire_at]
    was = {row.pk: row.fire_at for row in rows}
    followups = fire_by_campaign(rows, read_clock)
    save_dates([row for row in rows if row.fire_at != was[row.pk]])
    return followups


def wall_rows() -> QuerySet[ScheduleRow]:
    """Wall-clock rows that can fire, except those of inactive campaigns."""
    inactive = CampaignClock.objects.filter(is_active=False).values("campaign_id")
    return all_rows().filter(clock="wall", fire_at__gt="").exclude(campaign_id__in=inactive)


def fire(rows: Iterable[ScheduleRow], reading: Moment) -> tuple[list[ScheduleRow], list[Followup]]:
    """Advance the rows that are due by `reading` to their next firing. Returns these rows and a job for each.

    One job applies all occurrences; its key contains the last one, so that firing again finds the same job.
    """
    due_rows, followups = [], []
    for row in _without_waiting(list(rows), reading):
        first = parse_moment(row.clock, row.next_due) if row.next_due else None
        due = due_by(first, row.interval, reading)
        if due is None:
            continue
        row.fire_at = sortable(later(due.last, row.interval))
        due_rows.append(row)
        followups.append(
            Followup(
                type=row.job_type,
                campaign_id=row.campaign_id,
                payload=row.payload,
                clock_due=due.last,
                occurrences=due.occurrences,
                interval=row.interval,
            )
        )
    return due_rows, followups


def _without_waiting(rows: Sequence[ScheduleRow], reading: Moment) -> Sequence[ScheduleRow]:
    """Leave out the due rows of settlements whose structures are due, too: they fire once those are applied."""
    due = sortable(reading)
    settlements = {row.entity_id for row in rows if row.entity_type == "Settlement" and "" < row.next_due <= due}
    waiting = find_waiting(settlements, reading) if settlements else set()
    return [row for row in rows if row.entity_id not in waiting] if waiting else rows
