"""Pages that look ahead in a campaign: its forecast, and what an advance of its clock would do. They change nothing."""

from typing import Any, Final

from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils import timezone

from jobs import calendars
from jobs.errors import InvalidForecast, JobError
from jobs.main_api.client import main_api
from jobs.models import CampaignClock
from jobs.schedules.forecast import Forecast
from jobs.schedules.towns import CampaignWorld, read_world
from jobs.schedules.what_if import WhatIf, read_until, what_if
from jobs.world.calendars.calendar import Calendar
from jobs.world.calendars.text import parse_world_time
from jobs.world.clock import WorldTime
from ops.admin.base import render_page
from ops.reads import forecast as forecast_page
from ops.reads.campaign import format_moment, read_clock

DAYS: Final = (1, 7, 30, 90, 365)
LENGTHS: Final = ("1h", "8h", "1d", "7d", "30d")
LINES: Final = 100  #: of a page
TOWNS: Final = 25  #: of a page
MOST_FAILED: Final = 5  #: things that could not be read and are named


def urls(site: Any) -> list[Any]:
    """Below a campaign's own address."""
    return [
        path("<path:pk>/forecast/", site.admin_view(show_forecast), name="jobs_campaignclock_forecast"),
        path("<path:pk>/what-if/", site.admin_view(show_what_if), name="jobs_campaignclock_what_if"),
    ]


def show_forecast(request: HttpRequest, pk: str) -> HttpResponse:
    clock = _find(request, pk)
    calendar, town = calendars.find(clock.pk).calendar, request.GET.get("town", "").strip()[:255]
    days = next((n for n in DAYS if str(n) == request.GET.get("days")), 7)
    context = {**_common(clock, calendar, town), "title": f"Forecast of {clock.name or clock.campaign_id}"}
    context |= {"days": days, "choices": DAYS}
    try:
        world = read_world(main_api(), clock.pk, town=town)
        context |= _describe(Forecast(world, days), request.GET.get("after", ""), calendar)
    except InvalidForecast as wrong:
        context["error"] = str(wrong)
    except JobError as away:
        context["error"] = f"The main API cannot be read now: {away}"
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
    context = {**_common(clock, calendar, town), "title": f"What if time passes in {clock.name or clock.campaign_id}?"}
    reading = read_clock(clock, timezone.now())
    context |= {"to": to, "by": by, "lengths": LENGTHS, "example": format_moment(reading, calendar)}
    try:
        if to or by:
            world = read_world(main_api(), clock.pk, town=town)
            is_world = isinstance(world.now, WorldTime)
            until = read_until(world.now, to=_as_iso(to, calendar) if is_world else to, by=by)
            context |= _describe_what_if(what_if(world, until), request.GET.get("after", ""))
    except InvalidForecast as wrong:
        context["error"] = str(wrong)
    except JobError as away:
        context["error"] = f"The main API cannot be read now: {away}"
    return render_page(request, "ops/what_if.html", context, opts=CampaignClock._meta)


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
