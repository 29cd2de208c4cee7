"""States, times and JSON, rendered the same way on every page."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import template
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext

from jobs import calendars
from jobs.actor import name_of
from jobs.cron.firing import LATE
from jobs.models import Job
from jobs.states import State
from jobs.world.calendars.calendar import Calendar
from jobs.world.clock import Moment
from ops.humanize import duration, milliseconds, naturaltime
from ops.labels import STATES
from ops.reads.campaign_clock import format_moment
from ops.reads.job import TONES

register = template.Library()
register.filter(milliseconds)
register.filter("actor", name_of)


@register.inclusion_tag("ops/state.html")
def state(name: str, applied: bool = False) -> dict[str, Any]:
    """A state with its icon and tone, and whether the job may already have been applied."""
    icon, tone = TONES[State(name)]
    return {"state": STATES[State(name)], "icon": icon, "tone": tone, "applied": applied and name != State.SUCCEEDED}


@register.inclusion_tag("ops/moment.html")
def moment(at: datetime | None) -> dict[str, Any]:
    """A time, relative to now and exact with its time zone."""
    return {"at": at, "relative": naturaltime(at, timezone.now()) if at else ""}


@register.simple_tag
def age(at: datetime) -> str:
    """A time relative to now, without the exact one; a template of its own would end with a space."""
    exact, words = timezone.localtime(at).isoformat(timespec="seconds"), naturaltime(at, timezone.now())
    return format_html('<time class="ops-age" datetime="{}"><span class="ops-relative">{}</span></time>', exact, words)


@register.inclusion_tag("ops/moment.html")
def due(at: datetime | None, waits: bool = True) -> dict[str, Any]:
    """A due time; what `waits` beyond it for more than LATE is overdue, and red."""
    now = timezone.now()
    if at is None or not waits or now - at <= LATE:
        return moment(at)
    return {
        "at": at,
        "relative": gettext("overdue by %(duration)s") % {"duration": duration(now - at)},
        "is_overdue": True,
    }


@register.simple_tag
def job_due(job: Job) -> str:
    """When a job is due; of one that waits for a world time, that time. Needs ops/reads/job.py, name_all."""
    if not job.world_due:
        return render_to_string("ops/moment.html", due(job.due_at, job.is_waiting))
    said = gettext("world time %(time)s") % {"time": job.world_due}
    return format_html('<span class="ops-world-due">{}</span>', said)


@register.simple_tag
def clock_time(at: Moment | None, calendar: Calendar | None = None) -> str:
    """A time of either clock, world time in the campaign's calendar; ISO 8601 in its title. Empty for none."""
    if not at:
        return ""
    written = format_moment(at, calendar or calendars.default_calendar())
    return format_html('<span title="{}">{}</span>', at.isoformat(), written)


@register.filter("naturaltime")
def time_from_now(at: datetime) -> str:
    """As Django's own filter of this name, in the units that every page uses."""
    return naturaltime(at, timezone.now())


@register.filter
def as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


@register.filter
def get(found: Mapping[str, Any], key: str) -> Any:
    """The value of a key that only the template knows; None without one."""
    return found.get(key)


@register.filter
def plain_value(value: Any) -> str:
    """Text without quotes, anything else as JSON; a hyphen for None and empty text."""
    if value is None or value == "":
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


@register.inclusion_tag("ops/as_value.html")
def as_value(value: Any) -> dict[str, Any]:
    """A value of an operator action. Times, which JSON stores as text, are rendered as times."""
    return {"at": _moment_in(value), "text": plain_value(value)}


def _moment_in(value: Any) -> datetime | None:
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return at if at.tzinfo and 1970 <= at.year < 9999 else None  # before is a world's; the last overflows in some zones
