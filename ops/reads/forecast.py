"""What the pages of a forecast and of a what-if show: a drawn time line, and changes in words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.utils.translation import gettext

from jobs.schedules.forecast import EVENT_EXPIRED, Forecast, Line, Period
from jobs.schedules.what_if import TownChange
from jobs.world.calendars.calendar import Calendar
from jobs.world.clock import Moment, moment_at, ticks_of
from jobs.world.occurrences import ORDER
from ops.humanize import format_count
from ops.labels import label, label_of_kind, label_within
from ops.reads.campaign_clock import format_moment
from ops.reads.timeline import Mark

MOST_MARKS: Final = 240  #: with more occurrences, the time line shows how many there are per period
TICKS: Final = 4


@dataclass(frozen=True, slots=True)
class Lane:
    """The occurrences of one event."""

    label: str
    count: int
    marks: Sequence[Mark]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A time line."""

    lanes: Sequence[Lane]
    ticks: Sequence[tuple[int, Moment]]
    is_aggregated: bool


class Value(NamedTuple):
    """A variable that changes."""

    name: str
    before: Any
    after: Any


class WhatIfRow(NamedTuple):
    """A settlement or structure in the table of a what-if."""

    name: str
    id: str
    kind: str
    town: str
    occurrences: str
    values: Sequence[Value]


def draw(forecast: Forecast, periods: Sequence[Period], calendar: Calendar) -> Drawing:
    """A lane for each kind of event; what is overdue stands at the beginning."""
    start, end = ticks_of(forecast.world.now), ticks_of(forecast.until)
    span = max(1, end - start)
    events = dict.fromkeys((*ORDER, EVENT_EXPIRED, *(event for p in periods for event in p.counts)))
    counts = {event: sum(p.counts.get(event, 0) for p in periods) for event in events}
    is_aggregated = sum(counts.values()) > MOST_MARKS

    def place(at: Moment) -> float:
        return round(100 * max(0, ticks_of(at) - start) / span, 2)

    marks: dict[str, list[Mark]] = {event: [] for event in counts}
    if is_aggregated:
        for event, period, height in _bars(periods):
            left = place(period.after)
            title = gettext("%(event)s, until %(time)s: %(count)s") % {
                "event": label(event),
                "time": format_moment(period.until, calendar),
                "count": format_count(period.counts[event]),
            }
            marks[event].append(Mark(left, title, max(0.3, place(period.until) - left), height))
    else:
        for line in forecast.lines():
            title = gettext("%(time)s: %(event)s of %(entity)s") % {
                "time": format_moment(line.at, calendar),
                "event": label_within(line.event),
                "entity": line.entity_name,
            }
            marks[line.event].append(Mark(place(line.at), title))
    lanes = [Lane(label(event), count, marks[event]) for event, count in counts.items() if count]
    ticks = [(100 * n // TICKS, moment_at(start + span * n // TICKS, type(forecast.world.now))) for n in range(TICKS)]
    return Drawing(lanes, ticks, is_aggregated)


def _bars(periods: Sequence[Period]) -> Iterator[tuple[str, Period, float]]:
    """Each event's periods, as high as they have occurrences."""
    most: dict[str, int] = {}
    for period in periods:
        for event, count in period.counts.items():
            most[event] = max(most.get(event, 0), count)
    for period in periods:
        for event, count in period.counts.items():
            yield event, period, max(12.0, round(100 * count / most[event], 1))


def count_by_event(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """In the order of things."""
    return [(label(event), counts[event]) for event in _in_order(counts)]


def _in_order(counts: Mapping[str, int]) -> list[str]:
    events = dict.fromkeys((*ORDER, EVENT_EXPIRED, *counts))
    return [event for event in events if counts.get(event)]


def values_of(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Value]:
    """The variables that change, maps by their keys."""
    found: list[Value] = []
    for name in {**before, **after}:
        was, now = before.get(name), after.get(name)
        if isinstance(now, dict) and isinstance(was, dict | None):
            was = was or {}
            found += [
                Value(f"{name}.{key}", was.get(key), now.get(key))
                for key in {**was, **now}
                if was.get(key) != now.get(key)
            ]
        else:
            found.append(Value(name, was, now))
    return found


def describe_line(line: Line) -> Sequence[Value]:
    return values_of(line.before, line.after)


def rows_of(towns: Sequence[TownChange]) -> list[WhatIfRow]:
    """The settlements, each with its structures after it."""
    return [
        WhatIfRow(
            name=change.entity_name,
            id=change.entity_id,
            kind=label_of_kind(change.entity_type),
            town=one.town.settlement.name,
            occurrences=", ".join(
                f"{format_count(change.occurrences[event])} {label_within(event)}"
                for event in _in_order(change.occurrences)
            ),
            values=values_of(change.before, change.after),
        )
        for one in towns
        for change in one.changes
    ]
