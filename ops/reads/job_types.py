"""How the jobs of each type do: today beside yesterday and a week ago, and what a sample of the newest shows.

Rates, outcomes and waits are sums of all attempts (jobs.models.OutcomeMinute). Single run times are not kept there, so
their percentiles are those of a sample, as are the slowest and the most failed jobs.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any, Final

from django.db.models import Max, QuerySet, Sum
from django.utils import timezone
from django.utils.translation import gettext

from jobs.histogram import COLUMNS
from jobs.models import Job, OutcomeMinute
from jobs.outcome import NOT_BEGUN
from jobs.states import ENDED_BY_ATTEMPT, OUTCOMES, State
from ops.reads.job import name_all
from ops.reads.outcomes import WAITS, OutcomePeriod

SAMPLED: Final = 2_000  #: newest jobs of a type
LISTED: Final = 5
HOURS: Final = 24  #: of the sparkline


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time, and the attempts of a type that ended in it."""

    name: str
    since: datetime
    until: datetime
    sums: OutcomePeriod

    @property
    def per_minute(self) -> float:
        return self.sums.jobs / max(1.0, (self.until - self.since) / timedelta(minutes=1))

    @property
    def outcomes(self) -> list[tuple[str, int]]:
        """The most frequent first."""
        return self.sums.outcomes.most_common()

    @property
    def failed(self) -> int:
        return self.sums.outcomes[State.DEAD] + self.sums.outcomes[State.RETRYING]

    @property
    def failed_share(self) -> float | None:
        return 100 * self.failed / self.sums.jobs if self.sums.jobs else None


@dataclass(frozen=True, slots=True)
class Sampled:
    """A job of the sample, with how long its last attempt ran."""

    job: Job
    run_ms: float


@dataclass(frozen=True, slots=True)
class TypeSample:
    """What the newest jobs of a type show."""

    ran: int  #: of them, those whose last attempt ended
    run_ms: tuple[float, float, float] | None  #: p50, p95 and longest; None if none ran
    slowest: list[Sampled]
    most_failed: list[Sampled]


def find_spans(now: datetime) -> dict[str, tuple[datetime, datetime]]:
    """The last hour, today in the user's time zone, and the same hours of yesterday and a week ago."""
    midnight = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    spans = {"hour": (now - timedelta(hours=1), now), "today": (midnight, now)}
    for name, days in (("yesterday", 1), ("week", 7)):
        spans[name] = (midnight - timedelta(days=days), now - timedelta(days=days))
    return spans


def name_of(span: str) -> str:
    """One of `find_spans`, as pages call it."""
    return {
        "hour": gettext("Last hour"),
        "today": gettext("Today"),
        "yesterday": gettext("Yesterday, same hours"),
        "week": gettext("A week ago, same hours"),
    }[span]


def sum_by_type(since: datetime, until: datetime, job_type: str = "") -> dict[str, OutcomePeriod]:
    """The attempts that ended within a stretch of time, by type; one query."""
    rows = OutcomeMinute.objects.filter(minute__gte=since, minute__lt=until)
    rows = rows.filter(type=job_type) if job_type else rows
    sums = (
        rows.order_by()
        .values_list("type", "outcome")
        .annotate(Sum("jobs"), Sum("run_ms"), Max("run_ms_max"), Max("wait_ms_max"), *map(Sum, COLUMNS))
    )
    found: dict[str, OutcomePeriod] = {}
    for name, outcome, jobs, run_ms, run_ms_max, wait_ms_max, *buckets in sums:
        one = OutcomePeriod(
            since, run_ms=run_ms, run_ms_max=run_ms_max, wait_ms_max=wait_ms_max, buckets=[int(b) for b in buckets]
        )
        if outcome == NOT_BEGUN:
            one.handed_back = int(jobs)
        else:
            (one.waits if outcome in WAITS else one.outcomes)[outcome] = int(jobs)
        found.setdefault(name, OutcomePeriod(since)).add(one)
    return found


def is_slower(today: OutcomePeriod | None, yesterday: OutcomePeriod | None) -> bool:
    """Whether a type's mean run is half as long again as in the same hours of yesterday, and 10 ms longer at least."""
    now, before = (one.run_mean_ms if one else None for one in (today, yesterday))
    return now is not None and before is not None and now > before * 1.5 and now > before + 10


def read_periods(job_type: str, now: datetime) -> list[Period]:
    """One query for each."""
    return [
        Period(name_of(name), since, until, sum_by_type(since, until, job_type).get(job_type, OutcomePeriod(since)))
        for name, (since, until) in find_spans(now).items()
    ]


def read_hours(job_type: str, now: datetime) -> list[int]:
    """Attempts that ended in each of the last HOURS hours, the oldest first; one query."""
    begin = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)
    rows = OutcomeMinute.objects.filter(type=job_type, minute__gte=begin, outcome__in=OUTCOMES).order_by()
    counts = [0] * HOURS
    for minute, jobs in rows.values_list("minute").annotate(n=Sum("jobs")):
        counts[min(HOURS - 1, int((minute - begin) / timedelta(hours=1)))] += jobs
    return counts


def newest(job_type: str) -> QuerySet[Job, tuple[Any, ...]]:
    fields = ("pk", "state", "started_at", "finished_at", "failures")
    return Job.objects.filter(type=job_type).order_by("-pk").values_list(*fields)[:SAMPLED]


def read_sample(job_type: str) -> TypeSample:
    """The newest SAMPLED jobs of a type; at most four queries."""
    rows = list(newest(job_type))
    runs = {
        pk: (finished - started) / timedelta(milliseconds=1)
        for pk, state, started, finished, _ in rows
        if state in ENDED_BY_ATTEMPT and started and finished and finished >= started
    }
    failures = Counter({pk: count for pk, _, _, _, count in rows if count})
    slowest = sorted(runs, key=lambda pk: runs[pk], reverse=True)[:LISTED]
    failed = [pk for pk, _ in failures.most_common(LISTED)]
    jobs = Job.objects.defer("traceback").in_bulk({*slowest, *failed})
    name_all(list(jobs.values()))
    lists = ([Sampled(jobs[pk], runs.get(pk, 0.0)) for pk in part if pk in jobs] for part in (slowest, failed))
    times = sorted(runs.values())
    return TypeSample(len(times), (_at(times, 0.5), _at(times, 0.95), times[-1]) if times else None, *lists)


def _at(times: Sequence[float], share: float) -> float:
    """The value that `share` of the sorted times do not exceed.

    >>> _at([1, 2, 3, 4], 0.5), _at([1, 2, 3, 4], 0.95)
    (2, 4)
    """
    return times[ceil(share * len(times)) - 1]
