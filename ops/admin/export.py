"""Export the jobs of a filter: streamed by key, so that memory use does not grow with their number."""

import csv
import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone

from jobs import audit, claims
from jobs.models import Job, new_job_id
from jobs.states import Priority
from jobs.stops import AT_WORLD_TIME
from ops.admin.base import actor_of
from scheduler_project.links import page

CHUNK: Final = 1000  #: rows a query
COLUMNS: Final = (
    "id",
    "type",
    "campaign_id",
    "subject",
    "state",
    "may_have_been_applied",
    "priority",
    "attempt",
    "waits",
    "failures",
    "due_at",
    "clock",
    "clock_due",
    "created_at",
    "started_at",
    "finished_at",
    "occurrences",
    "source",
    "request_id",
    "copy_of",
    "error",
    "payload",
    "result",
)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")  #: first characters of what a spreadsheet runs as a formula


def stream(request: HttpRequest, jobs: QuerySet[Job], kind: str) -> StreamingHttpResponse:
    """`jobs` as CSV or JSON, newest first; the export is recorded in the audit trail with its filter."""
    writers: dict[str, tuple[str, Callable[[Iterator[dict[str, Any]]], Iterator[str]]]] = {
        "csv": ("text/csv; charset=utf-8", _csv),
        "json": ("application/json", _json),
    }
    content_type, write = writers[kind]
    audit.record(
        actor=actor_of(request),
        verb="exported",
        target=f"jobs as {kind.upper()}",
        reason=request.META.get("QUERY_STRING", "") and f"filter {request.META['QUERY_STRING']}"[:500],
        link=f"{page('jobs_job_changelist')}?{request.META.get('QUERY_STRING', '')}".rstrip("?"),
    )
    answer = StreamingHttpResponse(_in_pieces(write(_rows(jobs))), content_type=content_type)
    answer["Content-Disposition"] = f'attachment; filename="jobs-{timezone.now():%Y%m%dT%H%M%SZ}.{kind}"'
    return answer


def _rows(jobs: QuerySet[Job]) -> Iterator[dict[str, Any]]:
    """Pages by key, each read in a query of its own, so that no transaction stays open."""
    last = new_job_id()
    while True:
        rows = list(jobs.filter(pk__lt=last).order_by("-pk").values(*COLUMNS)[:CHUNK])
        started = claims.find_started([Job(pk=r["id"], state=r["state"], started_at=r["started_at"]) for r in rows])
        for row in rows:
            due_at = None if row["due_at"] == AT_WORLD_TIME else row["due_at"]  # at clock_due
            priority = Priority(row["priority"]).name
            yield {**row, "priority": priority, "due_at": due_at, "started_at": started[row["id"]]}
        if len(rows) < CHUNK:
            return
        last = rows[-1]["id"]


def _in_pieces(lines: Iterator[str]) -> Iterator[str]:
    """Join lines: each piece is a write to the socket."""
    while piece := "".join(islice(lines, CHUNK)):
        yield piece


def _json(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    before = "[\n"
    for row in rows:
        yield before + json.dumps({name: _plain(value) for name, value in row.items()}, ensure_ascii=False)
        before = ",\n"
    yield "\n]\n" if before != "[\n" else "[]\n"


def _csv(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    line = _Line()
    writer = csv.writer(line)
    writer.writerow(COLUMNS)
    yield "\ufeff" + line.text  # byte order mark: spreadsheets detect UTF-8 by it
    for row in rows:
        writer.writerow([_cell(row[name]) for name in COLUMNS])
        yield line.text


class _Line:
    """A file for csv.writer that keeps only the last line."""

    text = ""

    def write(self, text: str) -> None:
        self.text = text


def _plain(value: Any) -> Any:
    """A JSON value; times with their offset from UTC."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value if value is None or isinstance(value, str | int | float | bool | dict | list) else str(value)


def _cell(value: Any) -> str:
    """A value as a cell; a leading apostrophe keeps spreadsheets from running formulas."""
    plain = _plain(value)
    if plain is None:
        return ""
    text = json.dumps(plain, ensure_ascii=False) if isinstance(plain, dict | list) else str(plain)
    return f"'{text}" if text.startswith(_FORMULA) else text
