"""Attempts by outcome, their start delays and run times over a range of time.

The database sums them from jobs.models.OutcomeMinute, never from jobs.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db.models import Max, Q, Sum
from django.utils.translation import gettext_lazy

from jobs.histogram import BOUNDS_MS, COLUMNS, OBJECTIVE_MS, percentile, within
from jobs.models import OutcomeMinute
from jobs.outcome import NOT_BEGUN
from jobs.states import OUTCOMES
from jobs.waits import Wait
from scheduler_project.text import StrOrPromise


@dataclass(frozen=True, slots=True)
class Range:
    """The length of a chart and of one of its steps."""

    key: str
    label: StrOrPromise  #: on a button
    within: StrOrPromise  #: in a sentence, after "in"
    length: timedelta
    step: timedelta
    refresh_s: int  #: the refresh interval of pages that show it


RANGES: Final = {
    r.key: r
    for r in (
        Range(
            "15m",
            gettext_lazy("15 min"),
            gettext_lazy("the last 15 minutes"),
            timedelta(minutes=15),
            timedelta(minutes=1),
            5,
        ),
        Range("1h", gettext_lazy("1 h"), gettext_lazy("the last hour"), timedelta(hours=1), timedelta(minutes=1), 5),
        Range(
            "6h", gettext_lazy("6 h"), gettext_lazy("the last 6 hours"), timedelta(hours=6), timedelta(minutes=5), 15
        ),
        Range(
            "24h",
            gettext_lazy("24 h"),
            gettext_lazy("the last 24 hours"),
            timedelta(hours=24),
            timedelta(minutes=15),
            30,
        ),
        Range("7d", gettext_lazy("7 d"), gettext_lazy("the last 7 days"), timedelta(days=7), timedelta(hours=2), 60),
    )
}
DEFAULT: Final = "1h"
WAITS: Final = tuple(wait.value for wait in Wait)  #: `outcome` of attempts that had to wait


@dataclass(slots=True)
class OutcomePeriod:
    """The attempts that ended within one step, or the sum of several.

    `waits`, and claims that were handed back before they began, are in no other figure.
    """

    at: datetime
    outcomes: Counter[str] = field(default_factory=Counter)
    run_ms: float = 0.0
    run_ms_max: float = 0.0
    wait_ms_max: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * len(BOUNDS_MS))
    waits: Counter[str] = field(default_factory=Counter)
    handed_back: int = 0

    @property
    def jobs(self) -> int:
        return self.outcomes.total()

    @property
    def run_mean_ms(self) -> float | None:
        """None if no attempt ended."""
        return self.run_ms / self.jobs if self.jobs else None

    @property
    def p50_ms(self) -> float | None:
        return percentile(0.5, self.buckets, jobs=self.jobs, longest_ms=self.wait_ms_max)

    @property
    def p95_ms(self) -> float | None:
        return percentile(0.95, self.buckets, jobs=self.jobs, longest_ms=self.wait_ms_max)

    @property
    def max_ms(self) -> float | None:
        return self.wait_ms_max if self.jobs else None

    @property
    def on_time_share(self) -> float | None:
        """The share of attempts that started within the objective."""
        return within(OBJECTIVE_MS, self.buckets) / self.jobs if self.jobs else None

    def add(self, other: "OutcomePeriod") -> None:
        self.outcomes += other.outcomes
        self.waits += other.waits
        self.handed_back += other.handed_back
        self.run_ms += other.run_ms
        self.run_ms_max = max(self.run_ms_max, other.run_ms_max)
        self.wait_ms_max = max(self.wait_ms_max, other.wait_ms_max)
        self.buckets = [a + b for a, b in zip(self.buckets, other.buckets, strict=True)]


def read_periods(wanted: Range, now: datetime) -> list[OutcomePeriod]:
    """One period for each step of the range up to `now`, oldest first, including empty ones; one query."""
    step = int(wanted.step.total_seconds())
    last = int(now.timestamp()) // step
    first = last - int(wanted.length / wanted.step) + 1
    periods = [OutcomePeriod(datetime.fromtimestamp(n * step, tz=UTC)) for n in range(first, last + 1)]
    for minute, *sums in _minutes(periods[0].at):
        position = int(minute.timestamp()) // step - first
        if position < len(periods):  # a worker's clock may be slightly ahead
            _add(periods[position], sums)
    return periods


def sum_up(periods: Sequence[OutcomePeriod]) -> OutcomePeriod:
    every = OutcomePeriod(periods[0].at)
    for period in periods:
        every.add(period)
    return every


def _add(period: OutcomePeriod, sums: Sequence[Any]) -> None:
    """Add the sums of one minute, in the order of `_minutes`."""
    for counter, names, counts in ((period.outcomes, OUTCOMES, sums), (period.waits, WAITS, sums[len(OUTCOMES) :])):
        for name, jobs in zip(names, counts, strict=False):
            if jobs:
                counter[name] += int(jobs)
    handed_back, run, run_max, wait_max, *buckets = sums[len(OUTCOMES) + len(WAITS) :]
    period.handed_back += int(handed_back)
    period.run_ms += run
    period.run_ms_max = max(period.run_ms_max, run_max)
    period.wait_ms_max = max(period.wait_ms_max, wait_max)
    period.buckets = [a + int(b) for a, b in zip(period.buckets, buckets, strict=True)]


def _minutes(since: datetime) -> list[Any]:
    """The sums of each minute since then.

    In index order, so that no database sorts wide rows: grouping by step in the database takes four times as long.
    """
    rows = OutcomeMinute.objects.filter(minute__gte=since).order_by("minute").values_list("minute")
    ends = {f"n_{end.lower()}": Sum("jobs", filter=Q(outcome=end), default=0) for end in (*OUTCOMES, *WAITS, NOT_BEGUN)}
    tops = {"run": Sum("run_ms"), "run_top": Max("run_ms_max"), "wait_top": Max("wait_ms_max")}
    return list(rows.annotate(**ends, **tops, **{f"n_{c}": Sum(c) for c in COLUMNS}))
