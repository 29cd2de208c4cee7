"""The page of what will run in the next hours: a strip of the whole window, its minutes, and the items of one."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from django.db import connection
from django.db.models import Value
from django.utils.translation import gettext_lazy, ngettext_lazy

from jobs import pauses
from jobs.models import Pause, PauseKind
from ops.humanize import format_count
from ops.labels import label
from ops.reads.upcoming_sources import (
    MOST,
    STATES,
    FoundRuns,
    PlannedRun,
    RunQuery,
    RunSource,
    bound_scan,
    find,
    waiting_jobs,
)
from scheduler_project.text import StrOrPromise

MINUTES: Final = 60  #: rows of a page
MINUTE: Final = timedelta(minutes=1)
LEVELS: Final = 4  #: of the strip's colours, but that for nothing
ICONS: Final = {
    RunSource.JOB: "event",
    RunSource.RETRY: "replay",
    RunSource.CRON: "schedule",
    RunSource.SCHEDULE: "event_repeat",
    RunSource.CLOCK: "more_time",
    RunSource.QUESTION: "contact_support",
}
NAMES: Final[Mapping[RunSource, StrOrPromise]] = {
    RunSource.JOB: gettext_lazy("delayed jobs"),
    RunSource.RETRY: gettext_lazy("retries"),
    RunSource.CRON: gettext_lazy("cron runs"),
    RunSource.SCHEDULE: gettext_lazy("schedules"),
    RunSource.CLOCK: gettext_lazy("world clock steps"),
    RunSource.QUESTION: gettext_lazy("deadlines of questions"),
}
_COUNTED: Final[Mapping[RunSource, StrOrPromise]] = {
    RunSource.JOB: ngettext_lazy("%(count)s delayed job", "%(count)s delayed jobs", "n"),
    RunSource.RETRY: ngettext_lazy("%(count)s retry", "%(count)s retries", "n"),
    RunSource.CRON: ngettext_lazy("%(count)s cron run", "%(count)s cron runs", "n"),
    RunSource.SCHEDULE: ngettext_lazy("%(count)s schedule", "%(count)s schedules", "n"),
    RunSource.CLOCK: ngettext_lazy("%(count)s world clock step", "%(count)s world clock steps", "n"),
    RunSource.QUESTION: ngettext_lazy("%(count)s deadline of a question", "%(count)s deadlines of questions", "n"),
}


#: Stand for the bounds of each start in a statement that is written once.
_SINCE, _UNTIL = datetime(1, 1, 2, tzinfo=UTC), datetime(1, 1, 3, tzinfo=UTC)


class LookAhead(NamedTuple):
    """How far the page looks ahead, and the length of one part of its strip."""

    hours: int
    step: timedelta


WINDOWS: Final = {
    "1": LookAhead(1, timedelta(minutes=1)),
    "6": LookAhead(6, timedelta(minutes=5)),
    "24": LookAhead(24, timedelta(minutes=30)),
    "72": LookAhead(72, timedelta(hours=1)),
}
DEFAULT: Final = "6"


class RunCount(NamedTuple):
    """How many runs of one source are planned within a minute."""

    source: RunSource
    number: int
    is_capped: bool

    def __str__(self) -> str:
        count = f"{format_count(self.number)}{'+' if self.is_capped else ''}"
        return _COUNTED[self.source] % {"n": self.number, "count": count}

    @property
    def icon(self) -> str:
        return ICONS[self.source]


@dataclass(slots=True)
class Minute:
    """What is planned within one minute, or is overdue."""

    at: datetime
    is_overdue: bool
    planned: list[PlannedRun] = field(default_factory=list)
    held: int = 0  #: by pauses
    is_capped: bool = False

    @property
    def counts(self) -> list[RunCount]:
        numbers = Counter(one.source for one in self.planned)
        capped = {source for source, number in numbers.items() if self.is_capped and number >= MOST}
        return [RunCount(source, numbers[source], source in capped) for source in RunSource if numbers[source]]

    @property
    def total(self) -> str:
        return f"{format_count(len(self.planned))}{'+' if self.is_capped else ''}"

    @property
    def holds_all(self) -> bool:
        return self.held == len(self.planned)

    @property
    def types(self) -> list[tuple[str, int]]:
        """The most frequent types, and how often each is planned."""
        return [(label(name), number) for name, number in Counter(one.type for one in self.planned).most_common(3)]


class Bar(NamedTuple):
    """One part of the strip."""

    since: datetime
    number: int
    is_capped: bool  #: there may be more
    level: int  #: 0 for none, up to LEVELS

    @property
    def text(self) -> str:
        return f"{format_count(self.number)}{'+' if self.is_capped else ''}"


@dataclass(frozen=True, slots=True)
class Upcoming:
    """What the page shows."""

    minutes: list[Minute]
    later: datetime | None  #: where the next page starts
    bars: list[Bar]
    busiest: Bar | None
    scanned_until: datetime | None  #: where the search for a type or a campaign stopped


def read_upcoming(wanted: RunQuery, window: LookAhead, now: datetime, start: datetime | None = None) -> Upcoming:
    """Read the page whose first minute is `start`, or what is overdue; the strip always spans the whole window."""
    whole = {source: find(source, wanted, now) for source in RunSource}
    bars = _draw(whole, wanted, window, now)
    found: Iterable[FoundRuns] = whole.values()
    if start is not None:
        rest = replace(wanted, since=start)
        found = [one if one.is_complete else find(source, rest, now) for source, one in whole.items()]
    parts = list(found)
    planned = sorted(one for part in parts for one in part.planned if start is None or one.at >= start)
    minutes, later = _cut(_group(planned, now, pauses.active()), parts, start or now)
    return Upcoming(
        minutes=minutes,
        later=later if later and later < wanted.until else None,
        bars=bars,
        busiest=max((bar for bar in bars if bar.number), key=lambda bar: bar.number, default=None),
        scanned_until=min((one.scanned_until for one in parts if one.scanned_until), default=None),
    )


def _cut(
    minutes: Sequence[Minute], parts: Sequence[FoundRuns], start: datetime
) -> tuple[list[Minute], datetime | None]:
    """The minutes of one page that were read to their ends, and where the next page starts.

    A minute with more than can be read is shown alone, its counts capped.
    """
    is_complete, known_until = all(part.is_complete for part in parts), min(part.until for part in parts)
    whole = [minute for minute in minutes if is_complete or minute.at + MINUTE <= known_until]
    if minutes and not whole:
        minutes[0].is_capped = True
        whole = [minutes[0]]
    shown = whole[:MINUTES]
    after = _minute_of(shown[-1].at if shown else start) + MINUTE
    if len(whole) > MINUTES:
        return shown, after
    return shown, None if is_complete else max(after, _minute_of(known_until))


def _minute_of(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


def _group(planned: Iterable[PlannedRun], now: datetime, active: Sequence[Pause]) -> list[Minute]:
    current = _minute_of(now)
    minutes: dict[datetime, Minute] = {}
    for one in planned:
        overdue = one.at < now
        at = current - MINUTE if overdue else _minute_of(one.at)
        minute = minutes.get(at) or minutes.setdefault(at, Minute(at, overdue))
        minute.planned.append(one)
        minute.held += bool(active and find_pause(one, active))
    return [minutes[at] for at in sorted(minutes)]


def find_pause(planned: PlannedRun, active: Sequence[Pause]) -> Pause | None:
    """The pause that holds a run back when it is due, if there is one."""
    of = {(PauseKind.QUEUE, planned.queue), (PauseKind.TYPE, planned.type), (PauseKind.CAMPAIGN, planned.campaign_id)}
    return next((p for p in active if (p.kind, p.name) in of and (p.until is None or p.until > planned.at)), None)


def _draw(whole: dict[RunSource, FoundRuns], wanted: RunQuery, window: LookAhead, now: datetime) -> list[Bar]:
    """The strip: exact where all was read, and counts up to MOST of each part where a source has more."""
    begin = _minute_of(now)
    size = int(timedelta(hours=window.hours) / window.step)
    starts = [begin + window.step * n for n in range(size)]
    numbers, capped = [0] * size, [False] * size
    for source, found in whole.items():
        if source in STATES and not found.is_complete and not found.scanned_until:
            for n, number in enumerate(count_jobs(source, wanted, starts, window.step)):
                numbers[n] += min(number, MOST)
                capped[n] = capped[n] or number > MOST
            continue
        for one in found.planned:
            numbers[min(size - 1, max(0, (one.at - begin) // window.step))] += 1
        if not found.is_complete:
            capped = [is_capped or at + window.step > found.until for is_capped, at in zip(capped, starts, strict=True)]
    return [Bar(*part) for part in zip(starts, numbers, capped, find_levels(numbers), strict=True)]


def find_levels(numbers: Sequence[int]) -> list[int]:
    """The colours for numbers: 0 for none, 1 for the smallest, LEVELS for the largest.

    Half by magnitude, so that a few beside thousands look few; half by rank, so that numbers that lie close together
    are told apart, also beside one that is far larger.

    >>> find_levels([0, 1, 10, 100, 1000]), find_levels([12, 17, 23, 30]), find_levels([12, 17, 23, 30, 5000])
    ([0, 1, 2, 3, 4], [1, 2, 3, 4], [1, 1, 2, 2, 4])
    """
    ordered = sorted({number for number in numbers if number > 0})
    ranks = {number: rank for rank, number in enumerate(ordered)}
    span = math.log(ordered[-1] / ordered[0]) if len(ordered) > 1 else 1.0
    return [
        1 + round((LEVELS - 1) * (math.log(number / ordered[0]) / span + ranks[number] / max(1, len(ordered) - 1)) / 2)
        if number > 0
        else 0
        for number in numbers
    ]


def count_jobs(source: RunSource, wanted: RunQuery, starts: Sequence[datetime], step: timedelta) -> list[int]:
    """The waiting jobs due within `step` of each start, up to MOST + 1; overdue ones in the first. One query that reads
    an index only, and one more for a search.
    """
    scanned = bound_scan(source, wanted)
    first, later = (_count_sql(source, replace(scanned, since=since, until=_UNTIL)) for since in (None, _SINCE))
    as_value = connection.ops.adapt_datetimefield_value
    parts, values = [], list[Any]()
    for n, start in enumerate(starts):
        sql, given = later if n else first
        bounds = {as_value(_SINCE): as_value(start), as_value(_UNTIL): as_value(min(start + step, scanned.until))}
        parts.append(f"SELECT {n}, ({sql})")
        values += [bounds.get(value, value) for value in given]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts), values)
        counts = dict(cursor.fetchall())
    return [counts[n] for n in range(len(starts))]


def _count_sql(source: RunSource, wanted: RunQuery) -> tuple[str, Sequence[Any]]:
    """Django takes 2 ms to write it, so it is written once for all starts."""
    jobs = waiting_jobs(source, wanted).order_by().values(one=Value(1))[: MOST + 1]
    sql, given = jobs.query.sql_with_params()
    return f"SELECT COUNT(*) FROM ({sql}) AS counted", given  # noqa: S608 - Django's own SQL


def read_start(text: str, window: LookAhead, now: datetime) -> datetime | None:
    """A minute of an address; None for the beginning, and for anything outside the window."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    if at.tzinfo is None or not now - MINUTE * 2 <= at <= now + timedelta(hours=window.hours):
        return None
    return _minute_of(at.astimezone(UTC))
