"""Times on a campaign's clock, as pages write them."""

from datetime import datetime

from django.utils import timezone

from jobs.models import CampaignClock
from jobs.world.calendars.calendar import Calendar
from jobs.world.calendars.examples import GREGORIAN
from jobs.world.calendars.text import format_world_time
from jobs.world.clock import Moment, WallTime, WorldTime, parse_moment


def read_clock(clock: CampaignClock, now: datetime) -> Moment:
    """The last known world time, or the current time for a campaign on the wall clock."""
    return WorldTime.parse(clock.world_time) if clock.world_time else WallTime(now)


def format_moment(moment: Moment, calendar: Calendar = GREGORIAN) -> str:
    """To the minute; world time in the campaign's calendar (jobs/calendars.py), wall-clock time in the user's zone."""
    if isinstance(moment, WallTime):
        return format_time(moment.at)
    return format_world_time(calendar, moment)


def read_due(clock: str, text: str) -> Moment | None:
    """A time that a row or a job keeps as text, on its clock ("wall" or "world"); None for never."""
    return parse_moment(clock, text) if text else None


def is_behind(clock: CampaignClock) -> bool:
    """Whether an active campaign's world time has not been processed yet."""
    return clock.is_active and bool(clock.world_time) and clock.world_time != clock.processed_world_time


def format_time(at: datetime) -> str:
    """A wall-clock time in the user's zone, to the minute."""
    return f"{timezone.localtime(at):%Y-%m-%d %H:%M %Z}"
