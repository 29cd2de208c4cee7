"""World clocks: how much world time a campaign's clock moves by itself, and when. Pure.

A clock earns `rate` world seconds in each second of real time outside its quiet hours, and moves what it has earned in
steps of whole world seconds. The rest is kept, so that no way of looking at a clock earns more or less.
"""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple

from jobs.world.quiet_hours import QuietHours

LATE: Final = timedelta(seconds=60)  #: a step that is later than this was missed
_NANOSECONDS: Final = 10**9
_MILLION: Final = 10**6
_MILLISECOND: Final = timedelta(milliseconds=1)


class CatchUpPolicy(StrEnum):
    """What becomes of real time in which the clock should have made steps, and could not."""

    SKIP = "skip"
    JUMP = "jump"
    STEP = "step"


class Lost(StrEnum):
    """Why earned time was given up."""

    MISSED = "missed"
    STEP_LIMIT = "step limit"
    DAY_LIMIT = "day limit"
    CLOCK_AHEAD = "clock ahead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The settings of a clock."""

    rate: Decimal
    """World seconds in a second of real time, in millionths at the finest."""
    step: timedelta
    """Real time outside the quiet hours from one step to the next."""
    most_per_step: int
    """World seconds; not less than one step's."""
    most_per_day: int
    """World seconds in a day of the time zone of the quiet hours."""
    quiet: QuietHours
    catch_up: CatchUpPolicy = CatchUpPolicy.SKIP

    def earn(self, real: timedelta) -> int:
        """World nanoseconds of so much real time: millionths times milliseconds, so whole numbers."""
        return int(self.rate * _MILLION) * (real // _MILLISECOND)

    @property
    def seconds_per_step(self) -> Decimal:
        return self.rate * Decimal(self.step // _MILLISECOND) / 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a clock is."""

    counted_until: datetime
    """Real time up to here has been counted: whole milliseconds, in UTC. Nothing is earned before it."""
    owed: int = 0
    """World nanoseconds that were earned and not moved."""
    day: date | None = None
    """On which `moved` was moved."""
    moved: int = 0
    """World seconds."""


class Tick(NamedTuple):
    """What to do now."""

    seconds: int
    """World seconds to move."""
    position: Position
    """Afterwards."""
    next_at: datetime
    """When to look again."""
    lost: Lost | None = None


def begin(now: datetime, position: Position | None = None) -> Position:
    """Count real time from `now` on. World time that is still owed stays owed."""
    at = _whole(now)
    return replace(position, counted_until=at) if position else Position(counted_until=at)


def next_tick(rule: Rule, position: Position) -> datetime:
    """When the next step is due, if nothing holds it up."""
    return rule.quiet.next_open(rule.quiet.after(position.counted_until, rule.step))


def tick(rule: Rule, position: Position, now: datetime) -> Tick:
    """Make the step that is due at `now`, if one is.

    In quiet hours nothing moves. A step that is more than LATE late was missed: SKIP gives up all time since the last
    step, JUMP makes one step of it, STEP one after the other. A step moves at most `most_per_step`, and what a jump has
    beyond that is given up. On a day that has moved `most_per_day` the clock stands, and earns nothing, until the next.
    Time that was counted beyond that comes from a machine whose clock was ahead: it is counted anew from `now`.
    """
    now = _whole(now)
    if position.counted_until > rule.quiet.next_day(now):
        return _wait(rule, 0, begin(now, position), Lost.CLOCK_AHEAD)
    if rule.quiet.is_quiet(now):
        return Tick(0, position, rule.quiet.next_open(now))
    elapsed = rule.quiet.open_time(position.counted_until, now)
    due = elapsed // rule.step
    if not due:
        return Tick(0, position, next_tick(rule, position))
    missed = elapsed - rule.step > LATE
    if missed and rule.catch_up is CatchUpPolicy.SKIP:
        return _wait(rule, 0, begin(now, position), Lost.MISSED)
    jumps = missed and rule.catch_up is CatchUpPolicy.JUMP
    real = rule.step * (due if jumps else min(due, _fewest(rule, position.owed)))
    until = rule.quiet.after(position.counted_until, real)
    earned = replace(position, counted_until=until, owed=position.owed + rule.earn(real))
    return _move(rule, earned, now, jumps=jumps)


def settle(rule: Rule, position: Position, now: datetime) -> Position:
    """Count the time up to `now` without moving: before the clock is paused, or its rate changes.

    At most one step's limit is kept of it, and nothing of what SKIP gives up.
    """
    now = _whole(now)
    elapsed = rule.quiet.open_time(position.counted_until, now)
    if rule.catch_up is CatchUpPolicy.SKIP and elapsed - rule.step > LATE:
        elapsed = timedelta()
    owed = min(position.owed + rule.earn(elapsed), rule.most_per_step * _NANOSECONDS)
    return replace(position, counted_until=now, owed=owed)


def give_back(position: Position, seconds: int, moved_on: date | None) -> Position:
    """Take back a step that has not moved anything: it is owed again."""
    moved = max(0, position.moved - seconds) if position.day == moved_on else position.moved
    return replace(position, owed=position.owed + seconds * _NANOSECONDS, moved=moved)


def moved_today(rule: Rule, position: Position, now: datetime) -> int:
    """World seconds that have been moved on the day of `now`."""
    return position.moved if position.day == rule.quiet.day_of(now) else 0


def _move(rule: Rule, position: Position, now: datetime, *, jumps: bool) -> Tick:
    today, before = rule.quiet.day_of(now), moved_today(rule, position, now)
    wanted = min(position.owed // _NANOSECONDS, rule.most_per_step)
    seconds = min(wanted, max(0, rule.most_per_day - before))
    position = replace(position, day=today, moved=before + seconds)
    if seconds < wanted:
        tomorrow = begin(rule.quiet.next_day(now), replace(position, owed=0))
        return _wait(rule, seconds, tomorrow, Lost.DAY_LIMIT)
    left = position.owed - seconds * _NANOSECONDS
    kept = left % _NANOSECONDS if jumps else min(left, rule.most_per_step * _NANOSECONDS)
    return _wait(rule, seconds, replace(position, owed=kept), Lost.STEP_LIMIT if kept < left else None)


def _wait(rule: Rule, seconds: int, position: Position, lost: Lost | None) -> Tick:
    return Tick(seconds, position, next_tick(rule, position), lost)


def _fewest(rule: Rule, owed: int) -> int:
    """The fewest steps that move a second."""
    missing = _NANOSECONDS - owed
    if missing <= 0:
        return 1
    return -(-missing // rule.earn(rule.step))


def _whole(at: datetime) -> datetime:
    """The millisecond that `at` is in: milliseconds times millionths are whole nanoseconds."""
    at = at.astimezone(UTC)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)
