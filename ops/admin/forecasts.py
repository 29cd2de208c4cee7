"""Pages that look ahead in a campaign: its forecast, and what an advance of its clock would do, with its button."""

from typing import Any, Final
from urllib.parse import urlencode
from uuid import uuid4

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext

from jobs import calendars, service
from jobs.errors import InvalidForecast, JobError
from jobs.main_api.client import main_api
from jobs.models import CampaignClock
from jobs.schedules import predictions
from jobs.schedules.forecast import Forecast
from jobs.schedules.towns import CampaignWorld, read_world
from jobs.schedules.what_if import WhatIf, read_until, what_if
from jobs.service import Submission
from jobs.types.advance_world_time import NAME as ADVANCE_WORLD_TIME
from jobs.world.calendars.calendar import Calendar
from jobs.world.calendars.text import parse_world_time
from jobs.world.clock import WorldTime
from ops.admin.base import actor_of, read_key, reason_field, redirect, render_page
from ops.reads import forecast as forecast_page
from ops.reads.campaign_clock import format_moment, read_clock
from scheduler_project import request_origin

DAYS: Final = (1, 7, 30, 90, 365)  #: offered; the address may have others up to the last
DEFAULT_DAYS: Final = 7
LENGTHS: Final = ("1h", "8h", "1d", "7d", "30d")
LINES: Final = 100  #: of a page
TOWNS: Final = 25  #: of a page
MOST_FAILED: Final = 5  #: things that could not be read and are named


class AdvanceForm(forms.Form):
    """The advance that a what-if has shown."""

    to = forms.CharField(max_length=40)
    digest = forms.CharField(max_length=32)
    cause = forms.RegexField(r"\A[0-9a-f]{32}\Z")
    reason = reason_field()


def urls(site: Any) -> list[Any]:
    """Below a campaign's own address."""
    return [
        path("<path:pk>/forecast/", site.admin_view(show_forecast), name="jobs_campaignclock_forecast"),
        path("<path:pk>/what-if/advance/", site.admin_view(advance), name="jobs_campaignclock_advance_as_said"),
        path("<path:pk>/what-if/", site.admin_view(show_what_if), name="jobs_campaignclock_what_if"),
    ]


def show_forecast(request: HttpRequest, pk: str) -> HttpResponse:
    clock = _find(request, pk)
    calendar, town = calendars.find(clock.pk).calendar, request.GET.get("town", "").strip()[:255]
    asked = request.GET.get("days") or str(DEFAULT_DAYS)
    wanted = read_key(asked) or 0
    days = wanted if 1 <= wanted <= DAYS[-1] else DEFAULT_DAYS
    context = {
        **_common(clock, calendar, town),
        "title": gettext("Forecast of %(campaign)s") % {"campaign": clock.name or clock.campaign_id},
    }
    context |= {"days": days, "choices": sorted({*DAYS, days})}
    try:
        if days != wanted:
            text = gettext("Days must be a number from 1 to %(most)s: “%(days)s” is not.")
            raise InvalidForecast("", text % {"most": DAYS[-1], "days": asked[:40]})
        world = read_world(main_api(), clock.pk, town=town)
        context |= _describe(Forecast(world, days), request.GET.get("after", ""), calendar)
    except InvalidForecast as wrong:
        context["fault"] = _explain(wrong)
    except JobError as away:
        context["fault"] = gettext("The main API cannot be read now: %(error)s") % {"error": away}
    return render_page(request, "ops/forecast.html", context, opts=CampaignClock._meta)


def _describe(forecast: Forecast, after: str, calendar: Calendar) -> dict[str, Any]:
    periods = forecast.periods()
    lines, following = forecast.page(after, LINES)
    now = forecast.world.now.at
    return {
        **_reading(forecast.world),
        "until": forecast.until,
        "drawing": forecast_page.draw(forecast, periods, calendar),
        "periods": [(p, p.until.at <= now, forecast_page.count_by_event(p.counts)) for p in periods if p.total],
        "total": sum(period.total for period in periods),
        "lines": [(line, forecast_page.describe_line(line), line.at.at <= now) for line in lines],
        "is_later_page": bool(after),
        "following": following,
    }


def show_what_if(request: HttpRequest, pk: str) -> HttpResponse:
    clock = _find(request, pk)
    calendar, town = calendars.find(clock.pk).calendar, request.GET.get("town", "").strip()[:255]
    to, by = (request.GET.get(name, "").strip()[:100] for name in ("to", "by"))
    context = {
        **_common(clock, calendar, town),
        "title": gettext("What if time passes in %(campaign)s?") % {"campaign": clock.name or clock.campaign_id},
    }
    reading = read_clock(clock, timezone.now())
    may_advance = request.user.has_perm("jobs.add_job") and not town
    context |= {"to": to, "by": by, "lengths": LENGTHS, "example": format_moment(reading, calendar)}
    try:
        if to and by:
            raise InvalidForecast("", gettext("Enter a world time or a duration, not both."))
        if to or by:
            world = read_world(main_api(), clock.pk, town=town)
            is_world = isinstance(world.now, WorldTime)
            until = read_until(world.now, to=_as_iso(to, calendar) if is_world else to, by=by)
            found = what_if(world, until)
            context |= _describe_what_if(found, request.GET.get("after", ""))
            if may_advance and is_world and world.campaign.is_active:
                context |= {"digest": predictions.digest_of(found), "cause": uuid4().hex}
    except InvalidForecast as wrong:
        context["fault"] = _explain(wrong)
    except JobError as away:
        context["fault"] = gettext("The main API cannot be read now: %(error)s") % {"error": away}
    return render_page(request, "ops/what_if.html", context, opts=CampaignClock._meta)


def _explain(wrong: InvalidForecast) -> str:
    """The fault under the name that the form has for the parameter."""
    labels = {"to": gettext("World time"), "by": gettext("Duration")}
    _, _, message = str(wrong).partition(": ")
    return f"{labels[wrong.field]}: {message}" if wrong.field in labels else message


def advance(request: HttpRequest, pk: str) -> HttpResponse:
    """Submit the advance that a what-if has shown, and keep what was said of it.

    If it would say something else by now, nothing is submitted.
    """
    clock = _find(request, pk)
    if request.method != "POST" or not request.user.has_perm("jobs.add_job"):
        raise PermissionDenied
    form = AdvanceForm(request.POST)
    page = reverse("admin:jobs_campaignclock_what_if", args=[quote(clock.pk)])
    if not form.is_valid():
        return redirect(
            request, page, gettext("Not advanced: this form is incomplete. Choose the time again."), messages.ERROR
        )
    values = form.cleaned_data
    page = f"{page}?{urlencode({'to': values['to']})}"
    try:
        world = read_world(main_api(), clock.pk)
        found = what_if(world, read_until(world.now, to=values["to"]))
    except (InvalidForecast, JobError) as error:
        return redirect(request, page, gettext("Not advanced: %(error)s") % {"error": error}, messages.ERROR)
    if predictions.digest_of(found) != values["digest"]:
        changed = gettext("Not advanced: the campaign has changed since. This is what the advance would do now.")
        return redirect(request, page, changed, messages.WARNING)
    return _submit(request, found, values)


def _submit(request: HttpRequest, found: WhatIf, values: dict[str, Any]) -> HttpResponse:
    submission = Submission(
        type=ADVANCE_WORLD_TIME,
        campaign_id=found.world.campaign.id,
        payload={"to": found.until.isoformat(), "cause": f"what-if:{values['cause']}"},
        request_id=request_origin.current().request_id or values["cause"],
    )
    reason = values["reason"].strip()
    with transaction.atomic():
        job, new = service.submit(submission, actor=actor_of(request), reason=reason)
        if new:
            predictions.keep(job.pk, found)
    url = reverse("admin:jobs_job_change", args=[job.pk])
    if new:
        return redirect(request, url, gettext("Advance submitted. Its page compares what comes out with the what-if."))
    return redirect(request, url, gettext("This advance was already submitted."), messages.WARNING)


def _describe_what_if(found: WhatIf, after: str) -> dict[str, Any]:
    start = int(after) if after.isascii() and after.isdigit() and len(after) < 8 else 0
    towns = found.towns[start : start + TOWNS]
    return {
        **_reading(found.world),
        "found": found,
        "totals": forecast_page.count_by_event(found.totals),
        "rows": forecast_page.rows_of(towns),
        "first": start + 1,
        "last": start + len(towns),
        "following": start + TOWNS if len(found.towns) > start + TOWNS else None,
        "is_later_page": start > 0,
    }


def _as_iso(text: str, calendar: Calendar) -> str:
    """A world time in the campaign's calendar or in ISO 8601, as ISO 8601."""
    try:
        return parse_world_time(calendar, text).isoformat() if text else ""
    except ValueError as error:
        raise InvalidForecast("to", str(error)) from None


def _find(request: HttpRequest, quoted: str) -> CampaignClock:
    if not request.user.has_perms(("jobs.view_campaignclock", "jobs.view_schedulerow")):
        raise PermissionDenied
    return get_object_or_404(CampaignClock, pk=unquote(quoted))


def _common(clock: CampaignClock, calendar: Calendar, town: str) -> dict[str, Any]:
    return {"clock": clock, "calendar": calendar, "town": town}


def _reading(world: CampaignWorld) -> dict[str, Any]:
    return {
        "world": world,
        "failed": [(name, str(error)[:200]) for name, error in list(world.failed.items())[:MOST_FAILED]],
        "failed_more": max(0, len(world.failed) - MOST_FAILED),
    }
