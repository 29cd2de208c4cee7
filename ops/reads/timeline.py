"""The timeline of a campaign's page: due times within the next hours."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from jobs.models import CampaignClock
from jobs.world.calendars.calendar import Calendar
from jobs.world.calendars.examples import GREGORIAN
from jobs.world.calendars.text import format_date
from jobs.world.clock import Moment, WorldTime, ticks_of
from ops.humanize import label
from ops.reads.campaign import Row, format_moment, read_clock

WINDOWS: Final = {"6": 6, "24": 24, "72": 72}  #: hours of the timeline
LANES: Final = 14
MARKS: Final = 60  #: marks of a lane


@dataclass(frozen=True, slots=True)
class Lane:
    """One line of the timeline; marks are the due times, in hundredths of its width."""

    label: str
    blocked: bool
    marks: list[float]


def draw_timeline(described: Sequence[Row], hours: int) -> list[Lane]:
    """The due times within the next hours, on each row's own clock; the first LANES rows."""
    window = timedelta(hours=hours)
    lanes: list[Lane] = []
    for one in described:
        if one.due_in is None or one.due_in > window or len(lanes) == LANES:
            continue
        marks: list[float] = []
        at = max(one.due_in, timedelta(0))
        while at <= window and len(marks) < MARKS:
            marks.append(round(100 * (at / window), 2))
            at += max(one.row.interval, timedelta(minutes=1))
        title = f"{one.row.entity_name or one.row.entity_id}: {label(one.row.event_type).lower()}"
        lanes.append(Lane(title, bool(one.blockers), marks))
    return lanes


class Tick(NamedTuple):
    """A place on the axis, in hundredths of its width."""

    place: int
    text: str  #: the time there, without the year
    title: str  #: the time there in ISO 8601


def draw_ticks(clock: CampaignClock, hours: int, now: datetime, calendar: Calendar = GREGORIAN) -> list[Tick]:
    """The axis of the timeline."""
    read = read_clock(clock, now)
    found = []
    for part in range(4):
        try:
            at = type(read)(read.at + timedelta(hours=hours) * part / 4)
        except OverflowError:  # past the year 9999 nothing is due
            break
        found.append(Tick(25 * part, _format_tick(at, calendar), at.isoformat()))
    return found


def _format_tick(at: Moment, calendar: Calendar) -> str:
    if isinstance(at, WorldTime):
        return format_date(calendar, ticks_of(at), with_year=False)
    return format_moment(at)[5:16]
