"""The timeline of a campaign's page: due times within the next hours."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final, NamedTuple

from django.utils.translation import gettext

from jobs.models import CampaignClock
from jobs.world.calendars.calendar import Calendar
from jobs.world.calendars.examples import GREGORIAN
from jobs.world.calendars.text import format_date
from jobs.world.clock import Moment, WorldTime, ticks_of
from ops.labels import label_within
from ops.reads.campaign import Row
from ops.reads.campaign_clock import format_moment, read_clock

WINDOWS: Final = {"6": 6, "24": 24, "72": 72}  #: hours of the timeline
LANES: Final = 14
MARKS: Final = 60  #: of a lane; more of them are drawn as BARS
BARS: Final = 48
SHORTEST: Final = timedelta(minutes=1)  #: interval that is drawn


class Mark(NamedTuple):
    """A due time, or a bar for those of a period; numbers are hundredths of the lane's width and height."""

    place: float
    title: str = ""
    width: float = 0.0
    height: float = 0


@dataclass(frozen=True, slots=True)
class Lane:
    """One line of the timeline."""

    label: str
    blocked: bool
    overdue: bool
    marks: list[Mark]
    is_aggregated: bool


class Timeline(NamedTuple):
    lanes: list[Lane]
    left_out: int  #: rows of the page that fall due in the window, too


def draw_timeline(described: Sequence[Row], hours: int) -> Timeline:
    """The due times within the next hours, on each row's own clock; the first LANES rows."""
    window = timedelta(hours=hours)
    due = [one for one in described if one.due_in is not None and one.due_in <= window]
    return Timeline([_draw(one, window) for one in due[:LANES]], max(0, len(due) - LANES))


def _draw(one: Row, window: timedelta) -> Lane:
    """An overdue row has a mark at the beginning; its later ones keep their own times."""
    first, interval = one.due_in or timedelta(0), max(one.row.interval, SHORTEST)
    overdue = first < timedelta(0)
    if overdue:
        first += interval * -(first // interval)
    count = (window - first) // interval + 1 if first <= window else 0
    title = f"{one.row.entity_name or one.row.entity_id}: {label_within(one.row.event_type)}"
    if count > MARKS:
        marks = _draw_bars(first, interval, window)
    else:
        marks = [Mark(round(100 * ((first + interval * n) / window), 2)) for n in range(count)]
    marks = [*([Mark(0.0, gettext("overdue"))] if overdue and count <= MARKS else []), *marks]
    return Lane(title, bool(one.blockers), overdue, marks, count > MARKS)


def _draw_bars(first: timedelta, interval: timedelta, window: timedelta) -> list[Mark]:
    part = window / BARS
    ends = [0, *(max(0, (part * n - first) // interval + 1) for n in range(1, BARS + 1))]  # due by the end of each part
    counts = [after - before for before, after in pairwise(ends)]
    most = max(counts)
    return [
        Mark(
            round(100 * n / BARS, 2),
            gettext("%(count)s due") % {"count": count},
            round(100 / BARS, 2),
            round(100 * count / most),
        )
        for n, count in enumerate(counts)
        if count
    ]


class AxisTick(NamedTuple):
    """A place on the axis, in hundredths of its width."""

    place: int
    text: str  #: the time there, without the year
    title: str  #: the time there in ISO 8601


def draw_ticks(clock: CampaignClock, hours: int, now: datetime, calendar: Calendar = GREGORIAN) -> list[AxisTick]:
    """The axis of the timeline."""
    read = read_clock(clock, now)
    found = []
    for part in range(4):
        try:
            at = type(read)(read.at + timedelta(hours=hours) * part / 4)
        except OverflowError:  # past the year 9999 nothing is due
            break
        found.append(AxisTick(25 * part, _format_tick(at, calendar), at.isoformat()))
    return found


def _format_tick(at: Moment, calendar: Calendar) -> str:
    if isinstance(at, WorldTime):
        return format_date(calendar, ticks_of(at), with_year=False)
    return format_moment(at)[5:16]
