"""Movements of world time: recorded, and followed once by the jobs that look for what is due.

A job records where it moves time to before it asks the main API. Whoever then sees the campaign's clock there first,
the job or the listener, submits the jobs under that record; a movement by somebody else gets a record of its own.
"""

from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

import structlog
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from jobs import actor as actors
from jobs import calendars, claims, service, stops
from jobs.models import AdvanceSource, AuditEntry, CampaignClock, ScheduleRow, WorldAdvance
from jobs.registry import types_on_world_time
from jobs.schedules import clocks
from jobs.schedules.rows import batches, lock_all
from jobs.states import State
from jobs.world.calendars.calendar import Calendar
from jobs.world.clock import WorldTime, sortable

log = structlog.get_logger(__name__)
MOST_MOVEMENTS: Final = 100


@transaction.atomic
def react(campaign_id: str, reading: WorldTime, *, source: AdvanceSource, actor: str) -> WorldAdvance | None:
    """Submit the jobs that look for what is due by `reading`; None if it was processed already.

    Raises InvalidJob.
    """
    clock, world_time = _lock(campaign_id), reading.isoformat()
    if clock.processed_world_time == world_time:
        return None
    if clock.processed_world_time and reading < WorldTime.parse(clock.processed_world_time):
        _forget_later(campaign_id, reading)
    planned = WorldAdvance.objects.filter(campaign_id=campaign_id, to_time=world_time, processed_at=None)
    advance = planned.order_by("id").first() or WorldAdvance(
        campaign_id=campaign_id,
        from_time=clock.processed_world_time,
        to_time=world_time,
        source=source,
        request_id=uuid4().hex,
    )
    _process(advance, actor)
    return advance


class DatabaseAdvances:
    """`jobs.run.Advances` on the table WorldAdvance."""

    def find_target(self, job_id: str) -> WorldTime | None:
        """Return where an earlier attempt of the job has decided to move time to."""
        found = WorldAdvance.objects.filter(job_id=UUID(job_id)).values_list("to_time", flat=True).first()
        return WorldTime.parse(found) if found else None

    def is_taken_back(self, job_id: str) -> bool:
        """Whether the job is a step that its world clock has cancelled, so that its time is owed again."""
        cancelled = AuditEntry.objects.filter(job_id=UUID(job_id), now=State.CANCELLED, actor=actors.WORLD_CLOCK)
        return any(not claims.had_begun(entry) for entry in cancelled.order_by("id"))

    def begin(self, job_id: str, campaign_id: str, was: WorldTime, to: WorldTime) -> WorldTime:
        """Record where the job moves time to, before it does. Returns what the first attempt recorded."""
        recorded = {
            "campaign_id": campaign_id,
            "from_time": was.isoformat(),
            "to_time": to.isoformat(),
            "source": AdvanceSource.JOB,
            "request_id": job_id,
        }
        advance, _ = WorldAdvance.objects.get_or_create(job_id=UUID(job_id), defaults=recorded)
        return WorldTime.parse(advance.to_time)

    @transaction.atomic
    def finish(self, job_id: str, *, moved_from: WorldTime | None, moved_to: WorldTime) -> None:
        """The campaign's clock has reached `moved_to`: submit once the jobs that look for what is due.

        That is the target, unless the main API has moved time to another. If time has been processed up to there or
        beyond, its own jobs are those of that movement.
        """
        advance = WorldAdvance.objects.get(job_id=UUID(job_id))
        clock = _lock(advance.campaign_id)
        advance.refresh_from_db()
        if moved_from:
            advance.from_time = moved_from.isoformat()
        if advance.processed_at:
            advance.save(update_fields=["from_time"])
            return
        advance.to_time = moved_to.isoformat()
        processed = clock.processed_world_time
        if processed and WorldTime.parse(processed) >= moved_to:
            done = WorldAdvance.objects.filter(campaign_id=advance.campaign_id, processed_at__isnull=False)
            last = done.order_by("-processed_at").first()
            advance.request_id = last.request_id if last else advance.request_id
            advance.processed_at = timezone.now()
            advance.save()
        else:
            _process(advance, actors.job(job_id), seen_at=clocks.begin_read())

    def calendar(self, campaign_id: str) -> Calendar:
        """Return the campaign's calendar."""
        return calendars.of(campaign_id)

    def next_due(self, campaign_id: str, after: WorldTime) -> WorldTime | None:
        """Return when a settlement or structure is due next, by the schedules as they stand; None if none is."""
        rows = ScheduleRow.objects.filter(campaign_id=campaign_id, clock="world", fire_at__gt=sortable(after))
        first = rows.order_by("fire_at").values_list("fire_at", flat=True).first()
        return WorldTime.parse(first) if first else None

    def next_stop(self, campaign_id: str, after: WorldTime) -> WorldTime | None:
        """Return when the next job is due that waits for a world time; None if none is."""
        return stops.next_stop(campaign_id, after)


def find_movement(campaign_id: str, over: WorldTime) -> WorldAdvance | None:
    """The latest processed movement of the campaign that went over a world time, among the newest MOST_MOVEMENTS."""
    processed = WorldAdvance.objects.filter(campaign_id=campaign_id, processed_at__isnull=False).order_by("-id")
    for advance in processed[:MOST_MOVEMENTS]:
        from_time = WorldTime.parse(advance.from_time) if advance.from_time else None
        if over <= WorldTime.parse(advance.to_time) and (from_time is None or from_time < over):
            return advance
    return None


def _lock(campaign_id: str) -> CampaignClock:
    CampaignClock.objects.get_or_create(campaign_id=campaign_id)
    return CampaignClock.objects.select_for_update().get(pk=campaign_id)


def _forget_later(campaign_id: str, reading: WorldTime) -> None:
    """World time was set back, as by a restore of the main API: let the entities' marks say what was applied.

    What the schedules know of later times has not happened any more, and would hide older marks.
    """
    now = sortable(reading)
    later = Q(anchor__gt=now) | Q(next_due__gt=now)
    locked = lock_all(ScheduleRow.objects.filter(later, campaign_id=campaign_id, clock="world"))
    for batch in batches(locked):
        every = ScheduleRow.objects.filter(id__in=batch)
        every.filter(next_due__gt=now).update(fire_at=F("next_due"))
        every.filter(anchor__gt=now).update(anchor="")
    log.warning("advance.set_back", campaign_id=campaign_id, world_time=reading.isoformat(), schedules=len(locked))


def _process(advance: WorldAdvance, actor: str, *, seen_at: datetime | None = None) -> None:
    """`seen_at`: since when the clock shows this, if it is not a read that has shown it."""
    world_time, request_id = advance.to_time, advance.request_id
    submissions = [
        service.Submission(
            type=name, campaign_id=advance.campaign_id, payload={}, subject=f"heard:{world_time}", request_id=request_id
        )
        for name in types_on_world_time()
    ]
    advance.processed_at = timezone.now()
    advance.save()
    known = {"world_time": world_time, "processed_world_time": world_time} | ({"seen_at": seen_at} if seen_at else {})
    CampaignClock.objects.filter(pk=advance.campaign_id).update(**known)
    stops.open_first(advance.campaign_id, WorldTime.parse(world_time))
    with structlog.contextvars.bound_contextvars(request_id=request_id, campaign_id=advance.campaign_id):
        service.submit_many(submissions, actor=actor, reason=f"world time is {world_time}")
        log.info("advance.processed", source=advance.source, world_time=world_time)
