"""Pages of the list of jobs in order of their due times: of those that wait for a time, the next one comes first."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import Q, QuerySet

from jobs.models import Job
from jobs.states import WAITING, State
from scheduler_project.text import job_id

EARLIEST: Final = 1970
Cursor = tuple[datetime, UUID]  #: a job's place in this order


def is_by_due(params: Mapping[str, Any]) -> bool:
    """Whether the list's parameters ask for jobs in order of their due times: a search reads the newest first."""
    state = params.get("state", "")
    return (state[-1] if isinstance(state, list) else state) in WAITING and not str(params.get("q", "")).strip()


def write_cursor(at: datetime, pk: UUID) -> str:
    return f"{at.isoformat()}~{pk}"


def read_cursor(text: str) -> Cursor | None:
    """None for anything that `write_cursor` did not write."""
    due, _, pk = text.partition("~")
    try:
        at, found = datetime.fromisoformat(due).astimezone(UTC), job_id(pk)
    except (ValueError, OverflowError):
        return None
    return (at, found) if at.year >= EARLIEST and found else None


@dataclass(frozen=True, slots=True)
class DuePage:
    """One page, and what is beside it."""

    rows: list[Job]
    counted: QuerySet[Job]  #: the jobs of the filter, or of the stretch that was scanned
    has_earlier: bool
    has_later: bool
    stop: Cursor | None = None  #: the last job that was scanned; None: all were


@dataclass(frozen=True, slots=True)
class DueOrder:
    """How to read the jobs of a filter in this order."""

    state: State
    jobs: QuerySet[Job]
    size: int
    scan_limit: int | None  #: jobs to scan for a filter without an index; None without one

    def read_after(self, start: Cursor | None) -> DuePage:
        """The page that begins after the cursor, or with the first job."""
        jobs = self.jobs.filter(_is_after(start)) if start else self.jobs
        stop = self._find_stop(start)
        within = jobs.filter(_is_up_to(stop)) if stop else jobs
        rows = list(within.order_by("due_at", "pk")[: self.size + 1])
        return DuePage(
            rows=rows[: self.size],
            counted=within if self.scan_limit else self.jobs,
            has_earlier=bool(start),
            has_later=len(rows) > self.size,
            stop=stop,
        )

    def read_before(self, end: Cursor) -> DuePage:
        """The page that ends before the cursor."""
        jobs = self.jobs.filter(_is_before(end))
        if self.scan_limit:
            earlier = Job.objects.in_state(self.state).filter(_is_before(end)).order_by("-due_at", "-pk")
            first = earlier.values_list("due_at", "pk")[self.scan_limit : self.scan_limit + 1].first()
            jobs = jobs.filter(_is_after(first)) if first else jobs
        rows = list(jobs.order_by("-due_at", "-pk")[: self.size + 1])
        return DuePage(
            rows=rows[: self.size][::-1],
            counted=jobs if self.scan_limit else self.jobs,
            has_earlier=len(rows) > self.size,
            has_later=True,
        )

    def _find_stop(self, start: Cursor | None) -> Cursor | None:
        """The last job that is scanned, unless it is the last of all."""
        if not self.scan_limit:
            return None
        every = Job.objects.in_state(self.state)
        every = every.filter(_is_after(start)) if start else every
        ahead = every.order_by("due_at", "pk").values_list("due_at", "pk")
        last = list(ahead[self.scan_limit - 1 : self.scan_limit + 1])
        return last[0] if len(last) > 1 else None


def _is_after(cursor: Cursor) -> Q:
    at, pk = cursor
    return Q(due_at__gte=at) & ~Q(due_at=at, pk__lte=pk)


def _is_before(cursor: Cursor) -> Q:
    at, pk = cursor
    return Q(due_at__lte=at) & ~Q(due_at=at, pk__gte=pk)


def _is_up_to(cursor: Cursor) -> Q:
    at, pk = cursor
    return Q(due_at__lte=at) & ~Q(due_at=at, pk__gt=pk)
