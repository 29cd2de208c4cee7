"""Takes campaigns over their stops: runs each stop's job when the world has got there, then lets time go on.

Every step is one transaction that leaves the stop in its next phase, so that any process may die between two of them.
"""

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

import structlog
from django.db import transaction

from jobs import actor as actors
from jobs import service, stops
from jobs.engine.scheduler.submitting import submit_due
from jobs.errors import Refused
from jobs.models import CampaignClock, Job, StopPhase, WorldStop
from jobs.registry import all_types
from jobs.schedules.advances import find_movement
from jobs.schedules.firing import fire_world_rows
from jobs.schedules.waiting import find_unapplied
from jobs.service import Submission
from jobs.states import ENDED
from jobs.world.clock import WorldTime

log = structlog.get_logger(__name__)
PACE_S: Final = 0.2  #: between two looks while stops go on
IDLE_S: Final = 1.0  #: between two looks otherwise
GOES_ON_S: Final = 5.0  #: after the last step that did something
ROUND_S: Final = 0.5  #: per poll; the next one goes on with the campaigns after
SHARE: Final = 0.1  #: of the scheduler's time that looking at stops which do not go on may take
RECENT: Final = timedelta(days=1)
FIRED: Final = 500  #: schedule rows per step


class WorldStops:
    """Takes the first stop in work of each campaign as far as it goes now."""

    def __init__(self) -> None:
        self._next_at = 0.0
        self._moved_at = -GOES_ON_S
        self._after = ""  # the campaign up to which the last round got

    @property
    def wait_s(self) -> float:
        """How long the scheduler may sleep."""
        return PACE_S if time.monotonic() - self._moved_at < GOES_ON_S else IDLE_S

    def poll(self, now: datetime) -> bool:
        """Look, unless the last look was a moment ago. Returns whether a stop went on. Raises database errors."""
        began = time.monotonic()
        if began < self._next_at:
            return False
        first = _find_first()
        ordered = sorted(first)  # as the comparison has it: the database's collation may have another order
        left = [campaign_id for campaign_id in ordered if campaign_id > self._after] or ordered
        self._after, moved = "", False
        for campaign_id in left:
            while time.monotonic() - began < ROUND_S and _step(first[campaign_id], now):
                moved = True
            if time.monotonic() - began >= ROUND_S:
                self._after = campaign_id
                break
        ended = time.monotonic()
        self._moved_at = ended if moved else self._moved_at
        self._next_at = began + (self.wait_s if moved else max(self.wait_s, (ended - began) / SHARE))
        return moved


def _find_first() -> dict[str, int]:
    """By campaign the first stop in work, unless that waits for a job which has not ended."""
    first: dict[str, tuple[int, bool]] = {}
    found = stops.in_work().values_list("campaign_id", "pk", "phase", stops.HAS_LIVE_JOB)
    for campaign_id, pk, phase, is_live in found:
        first.setdefault(campaign_id, (pk, is_live and phase == StopPhase.OPEN))
    return {campaign_id: pk for campaign_id, (pk, waits) in first.items() if not waits}


def _step(pk: int, now: datetime) -> bool:
    """Take a stop one step further. Returns whether anything was done. What is wrong with one stop harms no other."""
    try:
        return _take_step(pk, now)
    except (Refused, ValueError) as error:  # somebody has edited the tables
        log.error("stop.rejected", stop=pk, error=str(error)[:300], next="its campaign's world stands still")
        return False


@transaction.atomic
def _take_step(pk: int, now: datetime) -> bool:
    stop = WorldStop.objects.select_for_update().filter(pk=pk).first()
    if stop is None:
        return False
    clock = CampaignClock.objects.filter(pk=stop.campaign_id).first()
    reading = WorldTime.parse(clock.world_time) if clock and clock.world_time else None
    return _STEPS[StopPhase(stop.phase)](_Place(stop, clock, reading, now))


class _Place:
    """A stop, and its campaign's clock."""

    def __init__(self, stop: WorldStop, clock: CampaignClock | None, reading: WorldTime | None, now: datetime) -> None:
        self.stop = stop
        self.at = WorldTime.parse(stop.at)
        self.reading = reading
        self.is_active = clock is not None and clock.is_active
        self.processed = clock.processed_world_time if clock else ""
        self.now = now

    def go_to(self, phase: StopPhase) -> None:
        self.stop.phase = phase
        self.stop.opened_at = None if phase == StopPhase.WAITING else self.stop.opened_at
        self.stop.save()


def _open(place: _Place) -> bool:
    """Apply what is due by then, release the job, and go on once it has ended."""
    job = Job.objects.filter(pk=place.stop.job_id).first()
    if job is None or job.state in ENDED:
        return _settle(place)
    if not stops.waits_for_world_time(job):
        return False
    if not place.is_active or place.reading is None or place.reading < place.at:  # set back, or without world time
        place.go_to(StopPhase.WAITING)
        return True
    if not place.processed or WorldTime.parse(place.processed) < place.at:
        return False
    movement = find_movement(place.stop.campaign_id, place.at)
    if not place.stop.request_id:
        place.stop.request_id = movement.request_id if movement else uuid4().hex
        place.stop.save()
    if movement and movement.processed_at and _is_recalculating(place, movement.processed_at):
        return False
    due = fire_world_rows(place.stop.campaign_id, place.at, limit=FIRED)
    if submit_due(due, reason=f"due by {place.at.isoformat()}", request_id=place.stop.request_id):
        return True  # what has a job already is due again until that is applied: more than MOST_OCCURRENCES were
    if next(find_unapplied(place.stop.campaign_id, place.at), None) is not None:
        return False
    log.info("stop.released", job_id=str(job.pk), campaign_id=place.stop.campaign_id, world_time=place.at.isoformat())
    return service.release(job, actor=actors.SCHEDULER, reason=f"world time has reached {place.at.isoformat()}")


def _settle(place: _Place) -> bool:
    """The job has ended, and may have changed the world: recalculate the schedules while time stands still."""
    place.stop.request_id = place.stop.request_id or uuid4().hex
    place.stop.settling_since = place.now
    place.go_to(StopPhase.SETTLING)
    submissions = [
        Submission(
            type=name,
            campaign_id=place.stop.campaign_id,
            payload={},
            subject=f"stop:{place.stop.job_id}",
            request_id=place.stop.request_id,
        )
        for name in _recalculations()
    ]
    service.submit_many(submissions, actor=actors.SCHEDULER, reason=f"job {place.stop.job_id} has ended")
    return True


def _go_on(place: _Place) -> bool:
    """Let time go on once the schedules are recalculated, however that ended."""
    if place.stop.settling_since and _is_recalculating(place, place.stop.settling_since):
        return False
    place.go_to(StopPhase.LIFTED)
    return True


def _fire(place: _Place) -> bool:
    """Fire what is due by the clock, or by the next stop, in parts. Then forget the stop and open the next one."""
    stop = place.stop
    reading = stops.effective_reading(stop.campaign_id, place.reading) if place.reading and place.is_active else None
    if isinstance(reading, WorldTime):
        due = fire_world_rows(stop.campaign_id, reading, limit=FIRED)
        if submit_due(due, reason=f"time goes on from {place.at.isoformat()}", request_id=stop.request_id):
            return True
    stop.delete()
    log.info("stop.passed", job_id=str(stop.job_id), campaign_id=stop.campaign_id, world_time=place.at.isoformat())
    if place.reading:
        stops.open_first(stop.campaign_id, place.reading)
    return True


_STEPS: Final[Mapping[StopPhase, Callable[[_Place], bool]]] = {
    StopPhase.WAITING: lambda place: False,
    StopPhase.OPEN: _open,
    StopPhase.SETTLING: _go_on,
    StopPhase.LIFTED: _fire,
}


def _recalculations() -> list[str]:
    return [name for name, declared in all_types().items() if declared.on_entity]


def _is_recalculating(place: _Place, since: datetime) -> bool:
    """Whether a recalculation of the stop's request, submitted since then, has not ended.

    IDs start with the time. Those older than RECENT are not waited for, so that few jobs of the campaign are searched.
    """
    stop, since = place.stop, max(since, place.now - RECENT)
    floor = UUID(int=int((since.timestamp() - 1) * 1000) << 80)
    jobs = Job.objects.filter(campaign_id=stop.campaign_id, pk__gte=floor, type__in=_recalculations())
    return jobs.filter(request_id=stop.request_id).exclude(state__in=ENDED).exists()
