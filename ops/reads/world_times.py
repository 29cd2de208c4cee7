"""World times in what a job's payload says of itself."""

from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from jobs.registry import WORLD_TIME, Payload
from jobs.world.calendars.calendar import Calendar
from jobs.world.calendars.text import format_world_time
from jobs.world.clock import WorldTime


def write_in_calendar(task: str, payload: Payload, calendar: Callable[[], Calendar]) -> str:
    """A payload's task, a format string, with its world times in a calendar, which is asked for only if it has some."""
    for name in _fields(type(payload)):
        if iso := getattr(payload, name):
            try:
                moment = WorldTime.parse(iso)
            except ValueError:
                continue
            written = format_world_time(calendar(), moment)
            task = task.replace(iso, written.replace("{", "{{").replace("}", "}}"))
    return task


@cache
def _fields(payload: type[msgspec.Struct]) -> tuple[str, ...]:
    """The fields that are marked as world times."""
    described = inspect.type_info(payload)
    assert isinstance(described, inspect.StructType)  # noqa: S101 - a payload is a struct
    return tuple(field.name for field in described.fields if any(map(_is_marked, _kinds(field.type))))


def _kinds(kind: inspect.Type) -> tuple[Any, ...]:
    return kind.types if isinstance(kind, inspect.UnionType) else (kind,)


def _is_marked(kind: inspect.Type) -> bool:
    schema = (kind.extra_json_schema if isinstance(kind, inspect.Metadata) else None) or {}
    return schema.get("format") == WORLD_TIME["format"]
