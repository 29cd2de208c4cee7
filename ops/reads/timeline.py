"""The timeline of a campaign's page: due times within the next hours."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from jobs.models import CampaignClock
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


def draw_ticks(clock: CampaignClock, hours: int, now: datetime) -> list[tuple[int, str]]:
    """The axis of the timeline: a position in hundredths of its width, and the time there."""
    read = read_clock(clock, now)
    found = []
    for part in range(4):
        try:
            at = read.at + timedelta(hours=hours) * part / 4
        except OverflowError:  # past the year 9999 nothing is due
            break
        found.append((25 * part, format_moment(type(read)(at))[5:16]))
    return found
