"""The ticker: makes the steps of world clocks that are due, each by one job; a part of the scheduler.

A step's job is submitted in the transaction that moves the clock on, under the clock's row lock: a scheduler that dies
at any moment, or a second one, neither loses a step nor makes it twice.
"""

import math
import time
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import structlog
from django.db import DatabaseError, transaction
from django.db.models import Q
from redis import RedisError

from jobs import actor as actors
from jobs import counters, service
from jobs.errors import Refused
from jobs.models import ClockState, WorldClock
from jobs.registry import type_moving_world_time
from jobs.world import ticking
from jobs.world.ticking import Lost, Tick
from jobs.world_clocks.settings import Settings, format_rate, position_of, set_position
from jobs.world_clocks.waiting import LONGEST_PROBLEM, find_reasons
from scheduler_project.durations import exact_duration
from scheduler_project.text import line

log = structlog.get_logger(__name__)
AHEAD: Final = timedelta(days=2)  #: no clock counts real time so far ahead, unless the machine's own was ahead
ROUND_S: Final = 0.2  #: per poll; the next one goes on with the clocks after
SHARE: Final = 0.1  #: of the scheduler's time that looking at clocks which wait may take
_LOST: Final = {
    Lost.MISSED: "time was skipped, because the clock could not move when it should have",
    Lost.STEP_LIMIT: "a step reached its limit; what was beyond it is skipped",
    Lost.CLOCK_AHEAD: "the machine's clock was ahead: real time is counted anew from now",
    Lost.DAY_LIMIT: "the limit of the day is reached: the clock stands until the next day",
}
_POSITION: Final = ("counted_until", "owed", "day", "moved", "next_at")
_STEP: Final = ("steps", "step_job_id", "step_seconds", "step_day")
_PROBLEM: Final = ("problem", "problem_at", "waits")


class Ticker:
    """Makes due steps a round at a time, so that the scheduler can queue due jobs in between."""

    def __init__(self) -> None:
        self._waiting_at = 0.0

    def poll(self, now: datetime) -> int:
        """As `fire_due`, within ROUND_S; clocks that wait get their SHARE of the scheduler's time."""
        began = time.monotonic()
        waiting = began >= self._waiting_at
        made = fire_due(now, most_s=ROUND_S, waiting=waiting)
        if waiting:
            self._waiting_at = began + (time.monotonic() - began) / SHARE
        return made


def fire_due(now: datetime, *, most_s: float = math.inf, waiting: bool = True) -> int:
    """Make a step of every clock that is due at `now` and can, until `most_s` have passed. Returns how many.

    Clocks that are known to wait come last, or not at all.
    """
    until = time.monotonic() + most_s
    is_due = Q(next_at__lte=now) | Q(counted_until__gt=now + AHEAD)
    found = WorldClock.objects.filter(is_due, state=ClockState.RUNNING).order_by("waits", "next_at")
    due = list(found if waiting else found.filter(waits=False))
    reasons = find_reasons(due, now) if due else {}
    made = 0
    for clock in due:
        try:
            if clock.pk in reasons:
                _wait(clock, reasons[clock.pk], now)
            else:
                made += _step(clock, now)
        except (DatabaseError, RedisError):
            raise
        except (Refused, ValueError, ArithmeticError) as fault:  # a row edited in the database must not stop the others
            _wait(clock, str(fault), now)
        if time.monotonic() >= until:
            break
    return made


def next_step(after: datetime) -> datetime | None:
    """When the next step of any clock is due after `after`, or was due before and is not known to wait."""
    running = WorldClock.objects.filter(state=ClockState.RUNNING).filter(Q(next_at__gt=after) | Q(waits=False))
    return running.order_by("next_at").values_list("next_at", flat=True).first()


@transaction.atomic
def _step(read: WorldClock, now: datetime) -> bool:
    """Move the clock on and submit its job, unless it has changed since it was read. Returns whether it did."""
    clock = WorldClock.objects.select_for_update().get(pk=read.pk)
    position = position_of(clock)
    if position is None or (clock.state, clock.steps) != (ClockState.RUNNING, read.steps):
        return False
    settings = Settings.of(clock)
    tick = ticking.tick(settings.rule(), position, now)
    set_position(clock, tick.position, tick.next_at)
    _note_outcome(clock, tick, now)
    if tick.seconds:
        _submit(clock, tick, settings)
    clock.save(update_fields=[*_POSITION, *_STEP, *_PROBLEM])
    return bool(tick.seconds)


def _submit(clock: WorldClock, tick: Tick, settings: Settings) -> None:
    clock.steps += 1
    submission = service.Submission(
        type=type_moving_world_time().name,
        campaign_id=clock.pk,
        payload={"bySeconds": tick.seconds, "cause": f"world-clock:{clock.key.hex}:{clock.steps}"},
    )
    reason = f"step {clock.steps} of the world clock at {format_rate(settings.rate)} x"
    job, _ = service.submit(submission, actor=actors.WORLD_CLOCK, reason=reason)
    clock.step_job_id, clock.step_seconds, clock.step_day = job.pk, tick.seconds, tick.position.day
    transaction.on_commit(partial(_report, clock.pk, clock.steps, tick.seconds, str(job.pk)))


def _report(campaign_id: str, step: int, seconds: int, job_id: str) -> None:
    counters.add("world_clock_steps")
    counters.add("world_clock_seconds", by=seconds)
    log.info("world_clock.stepped", campaign_id=campaign_id, step=step, seconds=seconds, job_id=job_id)


def _note_outcome(clock: WorldClock, tick: Tick, now: datetime) -> None:
    """Note what the tick lost. Where it lost nothing, the last problem stays for people to read, and is over."""
    if tick.lost:
        clock.problem, clock.problem_at = _LOST[tick.lost], now
        moved = exact_duration(tick.seconds)
        log.warning("world_clock.time_lost", campaign_id=clock.pk, cause=tick.lost.value, moved=moved)
    elif clock.waits:
        log.info("world_clock.went_on", campaign_id=clock.pk, waited_for=clock.problem)
    clock.waits = False


def _wait(clock: WorldClock, reason: str, now: datetime) -> None:
    """Note why the clock waits, once: it is looked at every second."""
    problem = line(reason, LONGEST_PROBLEM)
    if not problem or (clock.waits and clock.problem == problem):
        return
    changes: dict[str, Any] = {"problem": problem, "problem_at": now, "waits": True}
    if WorldClock.objects.filter(pk=clock.pk, state=ClockState.RUNNING, steps=clock.steps).update(**changes):
        log.warning("world_clock.waits", campaign_id=clock.pk, reason=problem, next="it is looked at every second")
