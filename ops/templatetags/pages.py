"""Filters and tags for pages of failures, campaigns and cron tasks."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django import template

from ops import humanize
from scheduler_project import durations

register = template.Library()


@register.filter
def label(name: str) -> str:
    return humanize.label(name)


register.filter(humanize.format_count)
register.filter(humanize.limited_count)


@register.filter
def duration(length: timedelta | None) -> str:
    return durations.duration(length) if length is not None else ""


@register.inclusion_tag("ops/sparkline.html")
def sparkline(counts: Sequence[int], label: str) -> dict[str, Any]:
    """One bar a count, scaled to the largest; the numbers are in its label."""
    most = max([1, *counts])
    bars = [
        {"x": 5 * n, "y": 24 - h, "h": h} for n, c in enumerate(counts) if (h := c and max(2, round(24 * c / most)))
    ]
    text = f"{label}: {sum(counts)} in all, most in one hour {max([0, *counts])}"
    return {"bars": bars, "width": 5 * len(counts), "label": text}
