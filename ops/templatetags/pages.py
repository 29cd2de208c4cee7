"""Filters and tags for pages of failures, campaigns and cron tasks."""

from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from typing import Any

from django import template
from django.apps import apps
from django.contrib.admin import ModelAdmin, site
from django.http import HttpRequest
from django.urls import reverse
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


@register.filter
def may_open(link: str, request: HttpRequest) -> bool:
    """Whether the audit trail's link leads this reader to a page: users and alert handlers are for administrators."""
    return all(admin.has_view_permission(request) for below, admin in _admins() if link.startswith(below))


@cache
def _admins() -> list[tuple[str, ModelAdmin[Any]]]:
    """The pages of each model, by the address that all of them begin with."""
    admins = [site.get_model_admin(model) for model in apps.get_models() if site.is_registered(model)]
    return [(reverse(f"admin:{one.opts.app_label}_{one.opts.model_name}_changelist"), one) for one in admins]
