"""Filters and tags for pages of failures, campaigns and cron tasks."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django import template
from django.utils.translation import gettext

from ops import humanize, labels

register = template.Library()


@register.filter
def label(name: str) -> str:
    return labels.label(name)


register.filter(labels.label_of_kind)
register.filter(labels.label_of_left)
register.filter(labels.label_of_role)
register.filter(labels.label_of_state)
register.filter(labels.label_within)
register.filter(humanize.format_count)
register.filter(humanize.limited_count)


@register.filter
def duration(length: timedelta | None) -> str:
    return humanize.duration(length) if length is not None else ""


@register.inclusion_tag("ops/sparkline.html")
def sparkline(counts: Sequence[int], label: str) -> dict[str, Any]:
    """One bar a count, scaled to the largest; the numbers are in its label."""
    most = max([1, *counts])
    bars = [
        {"x": 5 * n, "y": 24 - h, "h": h} for n, c in enumerate(counts) if (h := c and max(2, round(24 * c / most)))
    ]
    said = {"label": label, "total": sum(counts), "most": max([0, *counts])}
    text = gettext("%(label)s: %(total)s in total, at most %(most)s in one hour") % said
    return {"bars": bars, "width": 5 * len(counts), "label": text}
