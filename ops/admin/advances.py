"""A campaign's advances of world time, and the page of one of them: the parent of all that it brought."""

from typing import Any

from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils import timezone
from django.utils.translation import gettext

from jobs import calendars
from jobs.models import CampaignClock, WorldAdvance
from jobs.types.advance_world_time import NAME as ADVANCE_WORLD_TIME
from ops.admin.base import read_key, render_page
from ops.reads import advance as read
from ops.reads.advance_list import list_latest
from ops.reads.advance_report import LISTED
from ops.reads.advance_towns import PAGE as TOWNS
from ops.reads.campaign_clock import read_clock
from scheduler_project.text import LONGEST_ID, job_id

_LARGEST = 2**63 - 1


def urls(site: Any) -> list[Any]:
    """Of all campaigns, and below a campaign's own address."""
    return [
        path("advances/", site.admin_view(show_everything), name="jobs_advances"),
        path("<path:pk>/advances/", site.admin_view(show_all), name="jobs_campaignclock_advances"),
        path("<path:pk>/advances/<int:number>/", site.admin_view(show), name="jobs_campaignclock_advance"),
    ]


def show_everything(request: HttpRequest) -> HttpResponse:
    _check(request)
    found, more = list_latest(None, read_key(request.GET.get("before", "")))
    context = {"title": gettext("Advances of world time"), "advances": found, "more": more}
    return render_page(request, "ops/advances.html", context, opts=CampaignClock._meta)


def show_all(request: HttpRequest, pk: str) -> HttpResponse:
    clock = _find(request, pk)
    found, more = list_latest(clock.pk, read_key(request.GET.get("before", "")))
    context = {
        "title": gettext("World time of %(campaign)s") % {"campaign": clock.name or clock.campaign_id},
        "clock": clock,
        "calendar": calendars.of(clock.pk),
        "reading": read_clock(clock, timezone.now()),
        "advances": found,
        "more": more,
        "may_submit": request.user.has_perm("jobs.add_job"),
        "job_type": ADVANCE_WORLD_TIME,
    }
    return render_page(request, "ops/advances.html", context, opts=CampaignClock._meta)


def show(request: HttpRequest, pk: str, number: int) -> HttpResponse:
    clock = _find(request, pk)
    if number > _LARGEST:
        raise Http404
    advance = read.Advance(get_object_or_404(WorldAdvance, pk=number, campaign_id=clock.pk))
    group = request.GET.get("show", "")
    group = group if group in read.GROUPS else ""
    due, _, last = request.GET.get("after", "").rpartition("~")
    last_id = job_id(last)
    town = request.GET.get("town", "")[:LONGEST_ID]
    steps, more = advance.steps(group, town, (due, last_id) if last_id else None)
    start = _read_start(request)
    context = {
        "title": gettext("Advance of %(campaign)s") % {"campaign": clock.name or clock.campaign_id},
        "clock": clock,
        "calendar": calendars.of(clock.pk),
        "advance": advance,
        "steps": steps,
        "more": more,
        "group": group,
        "groups": [
            ("", gettext("All"), advance.total),
            ("live", gettext("Live"), advance.live),
            ("failed", gettext("Failed"), advance.failed),
        ],
        "town": town,
        "town_name": next((one.name for one in advance.towns.all if one.id == town), town),
        "towns": advance.towns.page(start),
        "first_town": start + 1,
        "last_town": min(start + TOWNS, len(advance.towns.all)),
        "more_towns": start + TOWNS if len(advance.towns.all) > start + TOWNS else None,
        "differences": advance.report.differences[:LISTED] if advance.report else [],
        "most_jobs": read.MOST_JOBS,
        "most_rows": read.MOST_ROWS,
    }
    return render_page(request, "ops/advance.html", context, opts=CampaignClock._meta)


def _read_start(request: HttpRequest) -> int:
    """The place of the first town that is shown."""
    text = request.GET.get("towns", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else 0


def _find(request: HttpRequest, pk: str) -> CampaignClock:
    _check(request)
    return get_object_or_404(CampaignClock, pk=unquote(pk))


def _check(request: HttpRequest) -> None:
    if not all(request.user.has_perm(f"jobs.{name}") for name in ("view_campaignclock", "view_job")):
        raise PermissionDenied
