"""What the ledger's minutes say of a range of time: attempts by outcome, how late they started, how long they ran.

Everything is summed up by the database from jobs.models.OutcomeMinute, never from jobs.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db.models import Max, Q, Sum

from jobs.histogram import BOUNDS_MS, COLUMNS, OBJECTIVE_MS, percentile, within
from jobs.models import OutcomeMinute
from jobs.states import MOVES, State


@dataclass(frozen=True, slots=True)
class Range:
    """How far back a graph looks, and how much one of its points holds."""

    key: str
    label: str
    length: timedelta
    step: timedelta
    refresh_s: int  #: how often a page that shows it asks again


RANGES: Final = {
    r.key: r
    for r in (
        Range("15m", "15 min", timedelta(minutes=15), timedelta(minutes=1), 5),
        Range("1h", "1 h", timedelta(hours=1), timedelta(minutes=1), 5),
        Range("6h", "6 h", timedelta(hours=6), timedelta(minutes=5), 15),
        Range("24h", "24 h", timedelta(hours=24), timedelta(minutes=15), 30),
        Range("7d", "7 d", timedelta(days=7), timedelta(hours=2), 60),
    )
}
DEFAULT: Final = "1h"
_ENDS: Final = tuple(state.value for state in State if state in MOVES[State.RUNNING])  # how an attempt may end


@dataclass(slots=True)
class Slot:
    """What ended within one step, or within several summed up."""

    at: datetime
    outcomes: Counter[str] = field(default_factory=Counter)
    run_ms: float = 0.0
    run_ms_max: float = 0.0
    wait_ms_max: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * len(BOUNDS_MS))

    @property
    def jobs(self) -> int:
        """Attempts that ended."""
        return self.outcomes.total()

    @property
    def run_mean_ms(self) -> float | None:
        """Of one attempt; None where none ended."""
        return self.run_ms / self.jobs if self.jobs else None

    @property
    def p50_ms(self) -> float | None:
        """Half of the attempts started within this time after they were due."""
        return percentile(0.5, self.buckets, jobs=self.jobs, longest_ms=self.wait_ms_max)

    @property
    def p95_ms(self) -> float | None:
        """95 of 100 did."""
        return percentile(0.95, self.buckets, jobs=self.jobs, longest_ms=self.wait_ms_max)

    @property
    def max_ms(self) -> float | None:
        """All did."""
        return self.wait_ms_max if self.jobs else None

    @property
    def on_time_share(self) -> float | None:
        """Which share started within the objective."""
        return within(OBJECTIVE_MS, self.buckets) / self.jobs if self.jobs else None

    def add(self, other: "Slot") -> None:
        """Add what another holds."""
        self.outcomes += other.outcomes
        self.run_ms += other.run_ms
        self.run_ms_max = max(self.run_ms_max, other.run_ms_max)
        self.wait_ms_max = max(self.wait_ms_max, other.wait_ms_max)
        self.buckets = [a + b for a, b in zip(self.buckets, other.buckets, strict=True)]


def read_slots(wanted: Range, now: datetime) -> list[Slot]:
    """One slot for each step of the range up to `now`, oldest first, empty ones too; one query."""
    step = int(wanted.step.total_seconds())
    last = int(now.timestamp()) // step
    first = last - int(wanted.length / wanted.step) + 1
    slots = [Slot(datetime.fromtimestamp(n * step, tz=UTC)) for n in range(first, last + 1)]
    for minute, *sums in _minutes(slots[0].at):
        position = int(minute.timestamp()) // step - first
        if position < len(slots):  # a worker's clock may be a little ahead
            _add(slots[position], sums)
    return slots


def sum_up(slots: Sequence[Slot]) -> Slot:
    """All of them summed up."""
    every = Slot(slots[0].at)
    for slot in slots:
        every.add(slot)
    return every


def _add(slot: Slot, sums: Sequence[Any]) -> None:
    """Add the sums of one minute, in the order of _SUMS."""
    for outcome, jobs in zip(_ENDS, sums, strict=False):
        if jobs:
            slot.outcomes[outcome] += int(jobs)
    run, run_max, wait_max, *buckets = sums[len(_ENDS) :]
    slot.run_ms += run
    slot.run_ms_max = max(slot.run_ms_max, run_max)
    slot.wait_ms_max = max(slot.wait_ms_max, wait_max)
    slot.buckets = [a + int(b) for a, b in zip(slot.buckets, buckets, strict=True)]


def _minutes(since: datetime) -> list[Any]:
    """The sums of each minute since then.

    In the order of the index, so that no database sorts wide rows: grouping by step there takes four times as long.
    """
    rows = OutcomeMinute.objects.filter(minute__gte=since).order_by("minute").values_list("minute")
    ends = {f"n_{end.lower()}": Sum("jobs", filter=Q(outcome=end), default=0) for end in _ENDS}
    tops = {"run": Sum("run_ms"), "run_top": Max("run_ms_max"), "wait_top": Max("wait_ms_max")}
    return list(rows.annotate(**ends, **tops, **{f"n_{c}": Sum(c) for c in COLUMNS}))
