"""Quiet hours: times of day, in one time zone, in which a world clock stands still."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

MOST_RANGES: Final = 12
LEAST_OPEN: Final = timedelta(hours=1)  #: of each day, without which a clock would hardly ever go
_DAY_MINUTES: Final = 24 * 60
_SECOND: Final = timedelta(seconds=1)
_RANGE: Final = re.compile(r"\s*([01]?\d|2[0-3]):([0-5]\d)\s*[-\u2013]\s*([01]?\d|2[0-3]):([0-5]\d)\s*", re.ASCII)

Range = tuple[time, time]  #: from the first to before the second; over midnight if the second is not later


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of real time, from `start` to before `end` (UTC), that is quiet throughout, or open throughout."""

    start: datetime
    end: datetime
    quiet: bool


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Times of day are read on the zone's wall clocks: a skipped hour is not there, a repeated one is there twice."""

    zone: ZoneInfo
    ranges: tuple[Range, ...] = ()

    def is_quiet(self, at: datetime) -> bool:
        return self._covers(at.astimezone(self.zone).time())

    def open_time(self, start: datetime, end: datetime) -> timedelta:
        """How much of the time from `start` to `end` is not quiet; nothing if `end` is not later."""
        if not self.ranges:
            return max(end - start, timedelta())
        total = timedelta()
        for span in self._spans(start):
            if span.start >= end:
                return total
            if not span.quiet:
                total += min(span.end, end) - span.start
        raise AssertionError("spans never end")

    def after(self, start: datetime, length: timedelta) -> datetime:
        """The first moment at which `length` of open time has passed since `start`."""
        if not self.ranges:
            return start + length
        left = length
        for span in self._spans(start):
            if not span.quiet:
                if span.end - span.start >= left:
                    return span.start + left
                left -= span.end - span.start
        raise AssertionError("spans never end")

    def next_open(self, at: datetime) -> datetime:
        """`at`, or when the quiet hours end that it lies in."""
        return next(span.start for span in self._spans(at) if not span.quiet) if self.ranges else at

    def day_of(self, at: datetime) -> date:
        return at.astimezone(self.zone).date()

    def next_day(self, at: datetime) -> datetime:
        """When the next day of the zone begins, in UTC."""
        midnight = datetime.combine(self.day_of(at) + timedelta(days=1), time.min, self.zone)
        return midnight.astimezone(UTC)

    def _covers(self, at: time) -> bool:
        return any(first <= at < end if first < end else at >= first or at < end for first, end in self.ranges)

    def _spans(self, start: datetime) -> Iterator[Span]:
        """Endless, in order, from `start` on."""
        at = start.astimezone(UTC)
        while True:
            end = self._next_edge(at)
            yield Span(at, end, self.is_quiet(at))
            at = end

    def _next_edge(self, at: datetime) -> datetime:
        """When a range begins or ends next, or the zone's offset changes, whichever is earlier."""
        local = at.astimezone(self.zone).replace(tzinfo=None)
        edges = (datetime.combine(local.date(), edge) for pair in self.ranges for edge in pair)
        wait = min((edge - local if edge > local else edge - local + timedelta(days=1)) for edge in edges)
        return at + wait if self._offset(at) == self._offset(at + wait) else self._next_change(at, at + wait)

    def _next_change(self, at: datetime, until: datetime) -> datetime:
        """When the offset changes between the two, by bisection: zones do not tell. Changes are at whole seconds."""
        low, high = at.replace(microsecond=0), until.replace(microsecond=0) + _SECOND
        while high - low > _SECOND:
            middle = low + (high - low) // _SECOND // 2 * _SECOND
            if self._offset(middle) == self._offset(at):
                low = middle
            else:
                high = middle
        return high

    def _offset(self, at: datetime) -> timedelta | None:
        return at.astimezone(self.zone).utcoffset()


def parse_ranges(text: str) -> tuple[Range, ...]:
    """Read "22:00-08:00, 12:30-13:30"; empty for none. Raises ValueError with a readable message.

    >>> parse_ranges("22:00-8:00")
    ((datetime.time(22, 0), datetime.time(8, 0)),)
    """
    if not text.strip():
        return ()
    parts = text.split(",")
    if len(parts) > MOST_RANGES:
        raise ValueError(f"at most {MOST_RANGES} ranges")
    ranges = tuple(_parse_range(part) for part in parts)
    if _open_minutes(ranges) * timedelta(minutes=1) < LEAST_OPEN:
        raise ValueError("they leave less than an hour of the day")
    return ranges


def format_ranges(ranges: Sequence[Range]) -> str:
    """As `parse_ranges` reads them.

    >>> format_ranges(parse_ranges("22:00-8:00, 12:30 - 13:30"))
    '22:00-08:00, 12:30-13:30'
    """
    return ", ".join(f"{first:%H:%M}-{end:%H:%M}" for first, end in ranges)


def _parse_range(text: str) -> Range:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text.strip()[:40]!r} is not like 22:00-08:00")
    hour, minute, to_hour, to_minute = map(int, match.groups())
    first, end = time(hour, minute), time(to_hour, to_minute)
    if first == end:
        raise ValueError(f"{text.strip()[:40]!r} begins and ends at the same time")
    return first, end


def _open_minutes(ranges: Sequence[Range]) -> int:
    """Of a day of 24 hours.

    >>> _open_minutes(parse_ranges("22:00-08:00, 07:00-09:00"))
    780
    """
    pairs = [(first.hour * 60 + first.minute, end.hour * 60 + end.minute) for first, end in ranges]
    quiet = {at % _DAY_MINUTES for first, end in pairs for at in range(first, end + _DAY_MINUTES * (end < first))}
    return _DAY_MINUTES - len(quiet)
