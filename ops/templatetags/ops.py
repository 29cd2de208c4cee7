"""States, moments and JSON, drawn the same way on every page."""

import json
from datetime import datetime
from typing import Any

from django import template
from django.utils import timezone

from jobs.states import State
from ops.humanize import milliseconds, naturaltime
from ops.reads.job import TONES

register = template.Library()
register.filter(milliseconds)


@register.inclusion_tag("ops/state.html")
def state(name: str, applied: bool = False) -> dict[str, Any]:
    """A state: icon, tone and word; beside it whether the job's work may have been done already."""
    icon, tone = TONES[State(name)]
    return {"state": name.lower(), "icon": icon, "tone": tone, "applied": applied and name != State.SUCCEEDED}


@register.inclusion_tag("ops/moment.html")
def moment(at: datetime | None) -> dict[str, Any]:
    """A moment: how far it is from now, and exactly, with its time zone."""
    return {"at": at, "relative": naturaltime(at, timezone.now()) if at else ""}


@register.filter("naturaltime")
def time_from_now(at: datetime) -> str:
    """As Django's own filter of this name, in the units that every page uses."""
    return naturaltime(at, timezone.now())


@register.filter
def as_json(value: Any) -> str:
    """A value as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


@register.filter
def plain_value(value: Any) -> str:
    """A value as a person reads it: text without quotes, anything else as JSON; nothing as a hyphen."""
    if value is None or value == "":
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


@register.inclusion_tag("ops/as_value.html")
def as_value(value: Any) -> dict[str, Any]:
    """A value of an act as a person reads it: a moment, which JSON holds as text with its offset, like all others."""
    return {"at": _moment_in(value), "text": plain_value(value)}


def _moment_in(value: Any) -> datetime | None:
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return at if at.tzinfo and 1 < at.year < 9999 else None  # at the edges no other time zone has it
