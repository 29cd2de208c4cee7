"""Stops: world times at which a campaign's time waits for a job, so that it runs in the order of the world.

However far the clock jumps, schedules fire and entities are advanced up to the first stop that it has reached
(`effective_reading`), that time included. Then the scheduler releases the stop's job; once that has ended, time goes on
to the next stop (jobs/engine/scheduler/world_stops.py). Stops at the same time follow each other as they were placed.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import Count, Exists, Max, Min, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from jobs.models import CampaignClock, Job, ScheduleRow, StopPhase, WorldStop
from jobs.models.indexes import Inlined
from jobs.states import ENDED, State
from jobs.world.clock import Moment, WorldTime, sortable

#: The due time of a job that waits for a world time: later than any that can come, and readable in every time zone.
AT_WORLD_TIME: Final = datetime(9999, 1, 1, tzinfo=UTC)


_REACHED: Final = """
    SELECT world_time, (
        SELECT at FROM jobs_worldstop s WHERE s.campaign_id = c.campaign_id AND phase <> %s ORDER BY at, id LIMIT 1
    ) FROM jobs_campaignclock c WHERE campaign_id = %s"""


class PlannedJob(NamedTuple):
    """A job that is due at a world time."""

    job_id: UUID
    campaign_id: str
    at: WorldTime


def waits_for_world_time(job: Job) -> bool:
    """Whether the job is due when its campaign's world time gets to `clock_due`, and not at a time of day."""
    return job.state == State.SCHEDULED and job.due_at == AT_WORLD_TIME


def place(planned: Sequence[PlannedJob]) -> None:
    """Let the campaigns' times stop for these jobs. Call it in the transaction that creates them.

    Where the world has passed one already, it stops where it is: nothing that was applied is undone.
    """
    if not planned:
        return
    clocks = CampaignClock.objects.filter(pk__in={one.campaign_id for one in planned}, world_time__gt="")
    readings = {clock.pk: WorldTime.parse(clock.world_time) for clock in clocks}
    passed = {one.campaign_id for one in planned if one.campaign_id in readings and one.at <= readings[one.campaign_id]}
    applied = {campaign_id: _last_applied(campaign_id, readings[campaign_id]) for campaign_id in passed}
    WorldStop.objects.bulk_create(
        WorldStop(campaign_id=campaign_id, at=max(sortable(at), applied.get(campaign_id, "")), job_id=job_id)
        for job_id, campaign_id, at in planned
    )
    for campaign_id in passed:
        open_first(campaign_id, readings[campaign_id])


def place_again(planned: Sequence[PlannedJob]) -> None:
    """Like `place`, for jobs that wait again; remove what is left of an earlier stop."""
    WorldStop.objects.filter(job_id__in=[one.job_id for one in planned]).delete()
    place(planned)


def withdraw(job_ids: Iterable[UUID]) -> None:
    """Remove the stops of jobs that no longer wait for a world time; the scheduler removes those that are in work."""
    if ids := list(job_ids):
        WorldStop.objects.filter(job_id__in=ids, phase=StopPhase.WAITING).delete()


def effective_reading(campaign_id: str, reading: Moment) -> Moment:
    """Up to when a campaign goes, its time included: to the first stop that its clock has reached, or the clock."""
    if not isinstance(reading, WorldTime):
        return reading
    first = _not_lifted(campaign_id).filter(at__lte=sortable(reading)).values_list("at", flat=True).first()
    return WorldTime.parse(first) if first else reading


def effective_readings(readings: Mapping[str, Moment]) -> dict[str, Moment]:
    """The same for several campaigns; one query."""
    world = {campaign_id: one for campaign_id, one in readings.items() if isinstance(one, WorldTime)}
    reached = WorldStop.objects.filter(campaign_id__in=list(world)).exclude(phase=StopPhase.LIFTED)
    first = reached.order_by().values_list("campaign_id").annotate(first=Min("at"))
    stands = {campaign_id: WorldTime.parse(at) for campaign_id, at in first} if world else {}
    return {**readings, **{one: min(reading, stands[one]) for one, reading in world.items() if one in stands}}


def read_reached(campaign_id: str) -> WorldTime | None:
    """How far a campaign goes by the clock that was last seen; None if it has no world time.

    Plain SQL: each batch of a world advance asks several times, and building two queries takes ten times as long.
    """
    with connection.cursor() as cursor:
        cursor.execute(_REACHED, [StopPhase.LIFTED.value, campaign_id])
        shown, stop = cursor.fetchone() or ("", None)
    if not shown:
        return None
    reading = WorldTime.parse(shown)
    return min(reading, WorldTime.parse(stop)) if stop else reading


def first_reached(campaign_id: str, reading: WorldTime) -> WorldStop | None:
    """The stop at which the campaign's time stands, if its clock shows `reading`; None: at none."""
    return _not_lifted(campaign_id).filter(at__lte=sortable(reading)).first()


def first_reached_at(campaign_id: OuterRef, reading: OuterRef) -> Subquery:
    """The time of the stop that `first_reached` finds for a query's campaign; both times are sortable."""
    return Subquery(_not_lifted(campaign_id).filter(at__lte=reading).values("at")[:1])


def next_stop(campaign_id: str, after: WorldTime) -> WorldTime | None:
    """Return when the next stop after a world time is; None if there is none."""
    later = _not_lifted(campaign_id).filter(at__gt=sortable(after)).values_list("at", flat=True).first()
    return WorldTime.parse(later) if later else None


class DueJob(NamedTuple):
    """A job that waits for a world time, or has got there and not ended."""

    at: WorldTime
    job: Job


def find_due(campaign_id: str, *, most: int) -> list[DueJob]:
    """Find the campaign's jobs that are due at world times, in order, at most `most`."""
    found = list(_not_lifted(campaign_id)[:most])
    jobs = Job.objects.defer("traceback").in_bulk([stop.job_id for stop in found])
    return [DueJob(WorldTime.parse(stop.at), jobs[stop.job_id]) for stop in found if stop.job_id in jobs]


def find_current(campaign_ids: Iterable[str]) -> dict[str, DueJob]:
    """By campaign the stop at which its world stands until the stop's job has ended; two queries."""
    opened = in_work().filter(campaign_id__in=list(campaign_ids), phase=StopPhase.OPEN)
    found: dict[str, WorldStop] = {}
    for stop in opened:
        found.setdefault(stop.campaign_id, stop)
    known = Job.objects.only("type", "state").exclude(state__in=ENDED)
    jobs = known.in_bulk([stop.job_id for stop in found.values()])
    return {
        campaign_id: DueJob(WorldTime.parse(stop.at), jobs[stop.job_id])
        for campaign_id, stop in found.items()
        if stop.job_id in jobs
    }


def open_first(campaign_id: str, reading: WorldTime) -> None:
    """Tell the scheduler to look at the campaign's first stop, if `reading` has reached it."""
    first = first_reached(campaign_id, reading)
    if first is not None and first.phase == StopPhase.WAITING:
        WorldStop.objects.filter(pk=first.pk, phase=StopPhase.WAITING).update(
            phase=StopPhase.OPEN, opened_at=timezone.now()
        )


def find_unopened(readings: Mapping[str, Moment]) -> set[str]:
    """Find campaigns that have reached a stop without the scheduler being told (`open_first`); one query.

    This happens when a campaign was inactive while its world stood at the stop.
    """
    world = {campaign_id: sortable(one) for campaign_id, one in readings.items() if isinstance(one, WorldTime)}
    if not world:
        return set()
    by_campaign = WorldStop.objects.filter(campaign_id__in=list(world)).order_by().values_list("campaign_id")
    first = by_campaign.annotate(first=Min("at"), in_work=Count("pk", filter=~Q(phase=StopPhase.WAITING)))
    return {campaign_id for campaign_id, at, in_work in first if at <= world[campaign_id] and not in_work}


def oldest_opened_at() -> datetime | None:
    """Since when the world that has stood longest at a stop stands; None if none does."""
    oldest: datetime | None = in_work().exclude(phase=StopPhase.LIFTED).aggregate(at=Min("opened_at"))["at"]
    return oldest


#: Whether the job of a stop is queued or runs, or waits for a time of day: of a query of stops.
HAS_LIVE_JOB: Final = Exists(
    Job.objects.filter(pk=OuterRef("job_id")).exclude(state__in=ENDED).exclude(due_at=AT_WORLD_TIME)
)


def in_work() -> QuerySet[WorldStop]:
    """The stops that the scheduler is to look at, in order; few, however many wait."""
    return WorldStop.objects.filter(Inlined(~Q(phase=StopPhase.WAITING.value))).order_by("campaign_id", "at", "id")


def _not_lifted(campaign_id: str | OuterRef) -> QuerySet[WorldStop]:
    stops = WorldStop.objects.filter(campaign_id=campaign_id).exclude(phase=StopPhase.LIFTED)
    return stops.order_by("at", "id")


def _last_applied(campaign_id: str, reading: WorldTime) -> str:
    """How far the campaign's world is known to have gone, at most to its clock; empty if nothing is known."""
    rows = ScheduleRow.objects.filter(campaign_id=campaign_id, clock="world")
    last: str = rows.aggregate(last=Max("anchor", default=""))["last"]
    return min(last, sortable(reading))
