"""A campaign's calendar: seen by all who see the campaign, set by administrators, with a preview while they type."""

from typing import Any, Final

from django.contrib import messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext

from jobs import calendars
from jobs.models import CampaignClock
from jobs.world.calendars.examples import EXAMPLES
from jobs.world.calendars.lines import to_lines
from jobs.world.clock import WorldTime
from ops.admin.base import ReasonForm, actor_of, redirect, render_page
from ops.admin.calendar_form import CalendarForm
from ops.admin.guarded_form import Stored
from ops.reads import calendar as calendar_page
from ops.reads.campaign_clock import read_clock

PERMISSION: Final = "jobs.change_campaigncalendar"


def urls(site: Any) -> list[Any]:
    """Below a campaign's own address."""
    views = (("", show, ""), ("preview/", preview, "_preview"), ("remove/", remove, "_remove"))
    return [
        path(f"<path:pk>/calendar/{end}", site.admin_view(view), name=f"jobs_campaignclock_calendar{name}")
        for end, view, name in views
    ]


def show(request: HttpRequest, pk: str) -> HttpResponse:
    """The calendar, and for administrators the form; a POST saves it."""
    clock, found = _find(request, pk), calendars.find(unquote(pk))
    may_change = request.user.has_perm(PERMISSION) and found.name != "main API"
    if request.method == "POST" and not may_change:
        raise PermissionDenied
    chosen = EXAMPLES.get(request.GET.get("from", ""), found.calendar) if may_change else found.calendar
    stored = Stored(_page(clock), to_lines(found.calendar))
    posted = request.POST if request.method == "POST" else None
    form = CalendarForm.of(chosen if posted is None else found.calendar, stored, posted)
    if form.is_bound and form.is_valid():
        return _save(request, clock, form)
    context = {
        "title": gettext("Calendar of %(campaign)s") % {"campaign": clock.name or clock.campaign_id},
        "clock": clock,
        "found": found,
        "form": form,
        "may_change": may_change,
        "preview": None if form.errors else calendar_page.preview(chosen, _moment(clock)),
        "examples": [(key, one.name) for key, one in EXAMPLES.items()],
    }
    status = 400 if form.errors else 200
    return render_page(request, "ops/calendar.html", context, opts=CampaignClock._meta, status=status)


def preview(request: HttpRequest, pk: str) -> HttpResponse:
    """The fragment that htmx loads while somebody types."""
    clock = _find(request, pk)
    _require_change(request)
    form = CalendarForm(request.POST)
    found = calendar_page.preview(form.calendar, _moment(clock)) if form.is_valid() else None
    return TemplateResponse(request, "ops/calendar_preview.html", {"preview": found, "form": form})


def remove(request: HttpRequest, pk: str) -> HttpResponse:
    clock = _find(request, pk)
    _require_change(request)
    form = ReasonForm(request.POST)
    reason = form.cleaned_data["reason"] if form.is_valid() else ""
    there = calendars.remove_own(clock.pk, actor=actor_of(request), reason=reason, link=_page(clock))
    text = gettext("Calendar removed: the Gregorian calendar applies.") if there else gettext("No calendar was set.")
    return redirect(request, _page(clock), text, messages.SUCCESS if there else messages.INFO)


def _save(request: HttpRequest, clock: CampaignClock, form: CalendarForm) -> HttpResponse:
    reason = form.cleaned_data["reason"]
    changed = calendars.set_own(clock.pk, form.calendar, actor=actor_of(request), reason=reason, link=_page(clock))
    text = (
        gettext("Calendar saved: world times of this campaign are shown in it.")
        if changed
        else gettext("Nothing changed.")
    )
    return redirect(request, _page(clock), text)


def _find(request: HttpRequest, quoted: str) -> CampaignClock:
    if not request.user.has_perms(("jobs.view_campaignclock", "jobs.view_schedulerow")):
        raise PermissionDenied
    return get_object_or_404(CampaignClock, pk=unquote(quoted))


def _require_change(request: HttpRequest) -> None:
    if request.method != "POST" or not request.user.has_perm(PERMISSION):
        raise PermissionDenied


def _moment(clock: CampaignClock) -> WorldTime:
    """The campaign's world time; the time of day now, if it has none."""
    return WorldTime(read_clock(clock, timezone.now()).at)


def _page(clock: CampaignClock) -> str:
    return reverse("admin:jobs_campaignclock_calendar", args=[quote(clock.pk)])
