"""ADVANCE_WORLD_TIME: move one campaign's world time forward, once."""

import re
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, Final, NamedTuple

from django.utils.translation import gettext, gettext_noop
from msgspec import Meta

from jobs.errors import (
    InvalidJob,
    NotAuthorized,
    NotServed,
    OutcomeUnknown,
    PermanentError,
    Skip,
    TooManyRequests,
    TransientError,
    VersionConflict,
)
from jobs.main_api.model import Campaign
from jobs.registry import WORLD_TIME, Payload, job_type
from jobs.run import Run
from jobs.states import Priority
from jobs.triggers import open_events
from jobs.world.calendars.calendar import Calendar
from jobs.world.clock import WorldTime, in_milliseconds, later, moment_at, ticks_of
from scheduler_project.durations import duration, duration_in_words
from scheduler_project.text import LONGEST_ID

NAME: Final = "ADVANCE_WORLD_TIME"
TRIES: Final = 5  #: within one attempt, while others move the same clock
MOST_MINUTES: Final = 5_000_000_000  #: over 9,500 years
_TIME_OF_DAY: Final = re.compile(r"[0-9]{2}:[0-5][0-9]", re.ASCII)


class Until(StrEnum):
    """Where to stop, in place of a world time."""

    NEXT_DUE = "NEXT_DUE"  #: when a settlement, structure, event or effect is due next, by what is known of them
    NEXT_EVENT = "NEXT_EVENT"  #: when the next event is scheduled
    NEXT_EFFECT = "NEXT_EFFECT"  #: when the next job is due at a world time
    TIME_OF_DAY = "TIME_OF_DAY"  #: when the clocks of the campaign's calendar show it next


class AdvanceWorldTime(Payload, frozen=True, kw_only=True):
    """How far, and why only once."""

    to: Annotated[str, Meta(max_length=40, description=gettext_noop("A world time."), extra_json_schema=WORLD_TIME)] = (
        ""
    )
    by_minutes: (
        Annotated[int, Meta(ge=1, le=MOST_MINUTES, description=gettext_noop("Minutes of world time."))] | None
    ) = None
    by_seconds: (
        Annotated[int, Meta(ge=1, le=60 * MOST_MINUTES, description=gettext_noop("Seconds of world time."))] | None
    ) = None
    until: Until | None = None
    time_of_day: Annotated[str, Meta(max_length=5, description=gettext_noop("With TIME_OF_DAY: the next 18:00."))] = ""
    cause: Annotated[
        str,
        Meta(max_length=LONGEST_ID - 20, description=gettext_noop("What is to move time once, such as a rest's ID.")),
    ] = ""

    def subject(self) -> str:
        return self.cause or self._goal()

    def names_its_work(self) -> bool:
        return bool(self.cause)

    def task(self) -> str:
        return self._sentence().replace("{", "{{").replace("}", "}}")

    def check(self) -> None:
        given = [name for name, value in self._goals().items() if value]
        if len(given) != 1:
            field = f"payload.{given[1]}" if given else "payload"
            raise InvalidJob(field, gettext("exactly one of to, byMinutes, bySeconds and until is required"))
        if self.to:
            self.world_time()
        if self.until is Until.TIME_OF_DAY:
            if not _TIME_OF_DAY.fullmatch(self.time_of_day):
                raise InvalidJob("payload.timeOfDay", gettext("TIME_OF_DAY needs a time such as 18:00"))
        elif self.time_of_day:
            raise InvalidJob("payload.timeOfDay", gettext("is for until TIME_OF_DAY only"))

    def check_in(self, calendar: Callable[[], Calendar]) -> None:
        if self.until is Until.TIME_OF_DAY:
            own = calendar()
            self.next_time_of_day(own, own.epoch)

    def world_time(self) -> WorldTime:
        """`to`. Raises InvalidJob."""
        try:
            return WorldTime.parse(self.to)
        except ValueError as error:
            raise InvalidJob("payload.to", str(error)) from None

    def next_time_of_day(self, calendar: Calendar, clock: WorldTime) -> WorldTime | None:
        """When the calendar's clocks show `time_of_day` next; None past the year 9999. Raises InvalidJob."""
        hour, minute = map(int, self.time_of_day.split(":"))
        try:
            return moment_at(calendar.next_time_of_day(ticks_of(clock), hour, minute), WorldTime)
        except ValueError as error:
            raise InvalidJob(
                "payload.timeOfDay", gettext("calendar %(name)s: %(error)s") % {"name": calendar.name, "error": error}
            ) from None
        except OverflowError:
            return None

    def _goals(self) -> dict[str, object]:
        return {"to": self.to, "byMinutes": self.by_minutes, "bySeconds": self.by_seconds, "until": self.until}

    def length(self) -> timedelta | None:
        """How far, where that is given."""
        if self.by_minutes:
            return timedelta(minutes=self.by_minutes)
        return timedelta(seconds=self.by_seconds) if self.by_seconds else None

    def _goal(self) -> str:
        """Part of the job's identity, so in one language."""
        if length := self.length():
            return f"by {duration(length)}"
        match self.until:
            case Until.NEXT_DUE:
                return "until something is due"
            case Until.NEXT_EVENT:
                return "until the next event"
            case Until.NEXT_EFFECT:
                return "until the next effect"
            case Until.TIME_OF_DAY:
                return f"until {self.time_of_day}"
        return f"to {self.to}"

    def _sentence(self) -> str:
        if length := self.length():
            return gettext("Advance world time by %(duration)s") % {"duration": duration_in_words(length)}
        match self.until:
            case Until.NEXT_DUE:
                return gettext("Advance world time until something is due")
            case Until.NEXT_EVENT:
                return gettext("Advance world time until the next event")
            case Until.NEXT_EFFECT:
                return gettext("Advance world time until the next effect")
            case Until.TIME_OF_DAY:
                return gettext("Advance world time until %(time_of_day)s") % {"time_of_day": self.time_of_day}
        return gettext("Advance world time to %(time)s") % {"time": self.to}


@job_type(
    NAME,
    label=gettext_noop("Advance world time"),
    payload=AdvanceWorldTime,
    priority=Priority.HIGH,
    moves_world_time=True,
)
def advance(payload: AdvanceWorldTime, run: Run) -> dict[str, Any]:
    """Move world time to the payload's goal; then submit the jobs that look for what is due by then.

    The target is recorded before anything is sent, so that an attempt after a crash moves time to the same.
    """
    campaign = _read(run)
    was = _clock_of(campaign)
    target = run.advances.find_target(run.job_id)
    if target is not None:
        target = _within_years(in_milliseconds(target))  # a release before may have recorded it more precisely
    else:
        if run.advances.is_taken_back(run.job_id):
            raise Skip("its world clock was paused or switched off before this step began")
        calendar = partial(run.advances.calendar, run.campaign_id)
        target = target_of(payload, was, calendar, partial(_find_next, run, was))
        if target <= was:
            raise Skip(f"world time is {was.isoformat()} already")
        target = run.advances.begin(run.job_id, run.campaign_id, was, target)
    moved = _move(run, was, target)
    run.advances.finish(run.job_id, moved_from=moved.from_time, moved_to=moved.to_time)
    after = moved.to_time.isoformat()
    if moved.from_time is None:
        return {"entity": campaign.name, "note": f"world time had reached {after}"}
    before = moved.from_time.isoformat()
    return {"entity": campaign.name, "before": {"worldTime": before}, "after": {"worldTime": after}}


def target_of(
    payload: AdvanceWorldTime,
    clock: WorldTime,
    calendar: Callable[[], Calendar],
    find_next: Callable[[Until], WorldTime],
) -> WorldTime:
    """The world time that the payload means, seen from the campaign's clock. Raises Skip and PermanentError.

    In whole milliseconds, as the main API's clock may show no more: one that stands a microsecond before what is due
    would stay there.
    """
    return _within_years(in_milliseconds(_goal_of(payload, clock, calendar, find_next)))


def _goal_of(
    payload: AdvanceWorldTime,
    clock: WorldTime,
    calendar: Callable[[], Calendar],
    find_next: Callable[[Until], WorldTime],
) -> WorldTime:
    if payload.to:
        return payload.world_time()
    if length := payload.length():
        return _within_years(later(clock, length))
    if payload.until is Until.TIME_OF_DAY:
        try:
            return _within_years(payload.next_time_of_day(calendar(), clock))
        except InvalidJob as changed:  # the calendar was another when the job was submitted
            raise PermanentError(str(changed)) from None
    return find_next(payload.until or Until.NEXT_DUE)


def _find_next(run: Run, clock: WorldTime, until: Until) -> WorldTime:
    """When what the payload waits for comes after the clock. Raises Skip if nothing does, and the main API's errors.

    Where the main API lists no events to come, NEXT_DUE leaves them out.
    """
    found: list[WorldTime | None] = []
    if until in (Until.NEXT_EVENT, Until.NEXT_DUE):
        try:
            found.append(open_events.find_next(run.api, run.campaign_id, clock))
        except NotServed:
            if until is Until.NEXT_EVENT:
                raise
    if until in (Until.NEXT_EFFECT, Until.NEXT_DUE):
        found.append(run.advances.next_stop(run.campaign_id, clock))
    if until is Until.NEXT_DUE:
        found.append(run.advances.next_due(run.campaign_id, clock))
    first = min((at for at in found if at is not None), default=None)
    if first is None:
        raise Skip(f"nothing is {'scheduled' if until is Until.NEXT_EVENT else 'due'} after {clock.isoformat()}")
    return first


def _within_years(target: WorldTime | None) -> WorldTime:
    if target is None:
        raise PermanentError("that is past the year 9999, where world time ends")
    return target


class _Moved(NamedTuple):
    """What the clock showed before and after it was moved."""

    from_time: WorldTime | None  #: None if others have moved it
    to_time: WorldTime


def _move(run: Run, clock: WorldTime, target: WorldTime) -> _Moved:
    """Move the clock unless it shows the target or more.

    Where the main API refuses, the clock says why: others have moved it, up to the target or not yet; or it stands
    still, and the refusal is about the request. So it is with an answer by which time has not moved.
    """
    for _ in range(TRIES):
        if clock >= target:
            return _Moved(None, target)
        branch = run.api.main_branch(run.campaign_id)
        key = f"{run.job_id}:{clock.isoformat()}"
        try:
            moved = run.api.advance_world_time(run.campaign_id, target.isoformat(), branch_id=branch.id, key=key)
            shown = _parse(moved.current_world_time) or target
            if shown <= clock:
                raise PermanentError(f"it answers that world time is {shown.isoformat()}")
        except (NotAuthorized, TooManyRequests, OutcomeUnknown):
            raise
        except (TransientError, PermanentError) as refused:  # in production a refusal may have no code
            before, clock = clock, _clock_of(_read(run))
            if clock <= before and not isinstance(refused, VersionConflict | PermanentError):
                raise
            if clock <= before:
                still = f"the main API refuses to move world time, which stands still at {clock.isoformat()}"
                raise PermanentError(f"{still}: {refused}") from refused
        else:
            return _Moved(_parse(moved.previous_world_time) or clock, shown)
    raise VersionConflict(f"others moved world time {TRIES} times between reading and moving it")


def _read(run: Run) -> Campaign:
    campaign = run.api.campaign(run.campaign_id)
    if campaign is None or not campaign.is_active:
        raise Skip(f"campaign {run.campaign_id} is {'gone' if campaign is None else 'inactive'}")
    return campaign


def _clock_of(campaign: Campaign) -> WorldTime:
    if not campaign.current_world_time:
        raise PermanentError(f"campaign {campaign.id} has no world time: it runs on wall-clock time")
    try:
        return WorldTime.parse(campaign.current_world_time)
    except ValueError as error:
        raise PermanentError(f"currentWorldTime: {str(error)[:300]}") from None


def _parse(text: str | None) -> WorldTime | None:
    """A time beside the answer, which is no reason to fail."""
    try:
        return WorldTime.parse(text) if text else None
    except ValueError:
        return None
