"""Campaigns: their clocks, what is due next for their settlements and structures, and what blocks it."""

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Count, IntegerField, Min, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy, ngettext
from redis import RedisError
from unfold.admin import ModelAdmin

from jobs import calendars, pauses
from jobs.errors import InvalidPause, StateConflict
from jobs.models import CampaignClock, Pause, PauseKind, ScheduleRow
from jobs.world.calendars.calendar import Calendar
from jobs.world.clock import WorldTime, ticks_of
from jobs.world_clocks import status
from ops.admin import advances, forecasts, world_clocks
from ops.admin import calendars as calendar_pages
from ops.admin.base import ReadOnly, UntilForm, actor_of, redirect, render_page
from ops.admin.filtered_list import FilteredList
from ops.admin.pauses import change_url, undo_url
from ops.admin.world_time import WorldTimeField
from ops.reads import campaign as campaign_page
from ops.reads import campaign_backlog, campaign_blockers, campaign_clock, campaign_jobs, timeline
from ops.reads.campaign import Row
from ops.reads.campaign_blockers import Blocker
from ops.templatetags import ops

if TYPE_CHECKING:
    CampaignClockAdminBase = admin.ModelAdmin[CampaignClock]
else:
    CampaignClockAdminBase = ModelAdmin


STUCK: Final = 3  #: rows with a dead letter that are listed one by one


class CampaignList(FilteredList):
    """Campaigns with what waits in them."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        clocks = list(self.result_list)
        counts = campaign_backlog.read(clocks, pauses.active(), timezone.now())
        for clock in clocks:
            clock.counts = counts[clock.pk]
        self.result_list = clocks


@admin.register(CampaignClock)
class CampaignClockAdmin(ReadOnly, CampaignClockAdminBase):
    list_display = ("campaign_name", "active", "clock", "processed", "backlog", "row_count", "next_row", "seen")
    list_display_links = ("campaign_name",)
    list_filter = ("is_active",)
    show_facets = admin.ShowFacets.NEVER
    list_before_template = "ops/list_style.html"
    when_empty = gettext_lazy(
        "The listener reads all campaigns from the main API when it starts. Check under Processes that one is running."
    )
    list_per_page = 50
    show_full_result_count = False
    sortable_by = ()
    search_fields = ("campaign_id", "name")

    def get_urls(self) -> list[Any]:
        site = self.admin_site.admin_view
        verbs = (("pause", self.pause), ("resume", self.resume), ("recalculate", self.recalculate))
        own = [path(f"<path:pk>/{name}/", site(view), name=f"jobs_campaignclock_{name}") for name, view in verbs]
        pages = (calendar_pages, advances, forecasts, world_clocks)
        below = [one for page in pages for one in page.urls(self.admin_site)]
        return [*own, *below, *super().get_urls()]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return CampaignList

    def get_queryset(self, request: HttpRequest) -> QuerySet[CampaignClock]:
        own = ScheduleRow.objects.filter(campaign_id=OuterRef("pk"), next_due__gt="").order_by().values("campaign_id")
        return (
            super()
            .get_queryset(request)
            .annotate(
                rows=Subquery(own.annotate(n=Count("id")).values("n"), output_field=IntegerField()),
                next_due=Subquery(own.annotate(first=Min("next_due")).values("first")),
                **calendars.annotations("pk"),
            )
        )

    @admin.display(description=gettext_lazy("campaign"))
    def campaign_name(self, clock: CampaignClock) -> str:
        return render_to_string("ops/two.html", {"one": clock.name or clock.campaign_id, "other": clock.campaign_id})

    @admin.display(description=gettext_lazy("active"), boolean=True)
    def active(self, clock: CampaignClock) -> bool:
        return clock.is_active

    @admin.display(description=gettext_lazy("clock"))
    def clock(self, clock: CampaignClock) -> str:
        if not clock.world_time:
            return gettext("wall clock")
        return render_to_string(
            "ops/two.html",
            {
                "one": ops.clock_time(campaign_clock.read_clock(clock, timezone.now()), _calendar_of(clock)),
                "other": gettext("world time"),
            },
        )

    @admin.display(description=gettext_lazy("processed"))
    def processed(self, clock: CampaignClock) -> str:
        return render_to_string(
            "ops/campaign_processed.html", {"clock": clock, "behind": campaign_clock.is_behind(clock)}
        )

    @admin.display(description=gettext_lazy("open jobs"))
    def backlog(self, clock: Any) -> str:
        return render_to_string("ops/campaign_backlog.html", {"clock": clock, "counts": clock.counts})

    @admin.display(description=gettext_lazy("schedules"))
    def row_count(self, clock: Any) -> int:
        return clock.rows or 0

    @admin.display(description=gettext_lazy("next due"))
    def next_row(self, clock: Any) -> str:
        due = campaign_clock.read_due("world" if clock.world_time else "wall", clock.next_due or "")
        return ops.clock_time(due, _calendar_of(clock)) or "-"

    @admin.display(description=gettext_lazy("seen"))
    def seen(self, clock: CampaignClock) -> str:
        return render_to_string("ops/moment.html", ops.moment(clock.seen_at))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not (self.has_view_permission(request) and request.user.has_perm("jobs.view_schedulerow")):
            raise PermissionDenied
        clock, now = self._get(object_id), timezone.now()
        calendar = calendars.of(clock.pk)
        paused = pauses.active()
        jobs = campaign_jobs.find_newest(clock.campaign_id)
        recalculations = campaign_blockers.find_stuck_recalculations(clock, jobs, now)
        due = campaign_jobs.find_due(clock.campaign_id)
        blockers = campaign_blockers.find_campaign_blockers(clock, paused, now, calendar, due) + recalculations
        form = SearchForm(request.GET, calendar=calendar)
        search, since = form.read()
        rows_of = campaign_page.find_rows(clock, search=search, since=since, after=_read_after(request))
        found = list(rows_of[: campaign_page.PAGE + 1])
        rows = campaign_page.describe(clock, found[: campaign_page.PAGE], blockers, jobs, now, calendar)
        with suppress(RedisError):  # the blockers say so
            campaign_backlog.find_places(rows, jobs, now)
        context = {
            "title": clock.name or clock.campaign_id,
            **_describe_clock(clock, now, calendar),
            "recalculations": recalculations,
            "blockers": blockers,
            "rows": rows,
            **_explain(blockers, rows),
            "counts": campaign_backlog.read([clock], paused, now)[clock.pk],
            "more": found[campaign_page.PAGE - 1] if len(found) > campaign_page.PAGE else None,
            "search": search,
            "since": request.GET.get("since", "").strip(),
            "since_fault": form.errors.get("since", ""),
            "narrowed": urlencode({name: request.GET[name] for name in form.fields if request.GET.get(name)}),
            **_draw(request, clock, rows, now, calendar),
            "at_world_times": due,
            "pause": _find_pause(clock, paused),
            "may_pause": request.user.has_perm("jobs.pause_jobs"),
            "may_submit": request.user.has_perm("jobs.add_job"),
        }
        return render_page(request, "ops/campaign.html", context, opts=self.opts)

    def pause(self, request: HttpRequest, pk: str) -> HttpResponse:
        clock, form = self._get_posted(request, pk, "jobs.pause_jobs"), UntilForm(request.POST)
        if not form.is_valid():
            return self._redirect(request, clock, gettext("Not paused: the end time is not valid."), messages.ERROR)
        try:
            given = form.cleaned_data
            pause = pauses.pause(PauseKind.CAMPAIGN, clock.pk, actor=actor_of(request), replaces=None, **given)
        except StateConflict as conflict:
            text = gettext("Not paused again: %(pause)s. Change that pause here.") % {"pause": conflict}
            until = given["until"] and given["until"].isoformat()
            url = change_url(PauseKind.CAMPAIGN, clock.pk, until=until, reason=given["reason"])
            return redirect(request, url, text, messages.WARNING)
        except InvalidPause as bad:
            return self._redirect(request, clock, gettext("Not paused: %(reason)s") % {"reason": bad}, messages.ERROR)
        text = gettext("Paused. Running jobs finish; due jobs catch up after the pause.")
        return self._redirect(request, clock, text, undo=undo_url(pauses.undo_of(pause)))

    def resume(self, request: HttpRequest, pk: str) -> HttpResponse:
        clock = self._get_posted(request, pk, "jobs.pause_jobs")
        reason = request.POST.get("reason", "")
        there = pauses.resume(PauseKind.CAMPAIGN, clock.pk, actor=actor_of(request), reason=reason)
        if there is None:
            return self._redirect(request, clock, gettext("The campaign is not paused."))
        return self._redirect(request, clock, gettext("Resumed."), undo=undo_url(pauses.undo_of(there)))

    def recalculate(self, request: HttpRequest, pk: str) -> HttpResponse:
        clock = self._get_posted(request, pk, "jobs.add_job")
        reason = request.POST.get("reason", "").strip()[:500] or "recalculate now"
        jobs = campaign_jobs.recalculate(clock, actor=actor_of(request), reason=reason, now=timezone.now())
        text = ngettext(
            "Submitted %(count)s job that recalculates its schedules.",
            "Submitted %(count)s jobs that recalculate its schedules.",
            len(jobs),
        )
        return self._redirect(request, clock, text % {"count": len(jobs)})

    def _get_posted(self, request: HttpRequest, pk: str, permission: str) -> CampaignClock:
        if request.method != "POST" or not request.user.has_perm(permission):
            raise PermissionDenied
        return self._get(pk)

    def _get(self, quoted: str) -> CampaignClock:
        """By its quoted id: ids may contain any character."""
        return get_object_or_404(CampaignClock, pk=unquote(quoted))

    def _redirect(
        self, request: HttpRequest, clock: CampaignClock, text: str, level: int = messages.SUCCESS, undo: str = ""
    ) -> HttpResponse:
        url = reverse("admin:jobs_campaignclock_change", args=[quote(clock.pk)])
        return redirect(request, url, text, level, undo=undo)


class SearchForm(forms.Form):
    """Which schedule rows the page shows."""

    q = forms.CharField(required=False)

    def __init__(self, *args: Any, calendar: Calendar, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["since"] = WorldTimeField(calendar=calendar, required=False)

    def read(self) -> tuple[str, WorldTime | None]:
        """The text to search for, and the first due time; None if it is empty or cannot be read."""
        values: dict[str, Any] = self.cleaned_data if self.is_valid() else self.cleaned_data | {"since": None}
        return values.get("q", ""), values["since"]


def _calendar_of(clock: Any) -> Calendar:
    """Of a row of the list."""
    return calendars.choose(clock.own_calendar, clock.served_calendar).calendar


def _describe_clock(clock: CampaignClock, now: datetime, calendar: Calendar) -> dict[str, Any]:
    reading = campaign_clock.read_clock(clock, now)
    return {
        "clock": clock,
        "calendar": calendar,
        "world_clock": status.read_one(clock, now, calendar.hours_per_day),
        "reading": reading,
        "reading_text": campaign_clock.format_moment(reading, calendar),
        "weekday": calendar.weekday(calendar.to_date(ticks_of(reading))) if clock.world_time else "",
        "behind": campaign_clock.is_behind(clock),
        "processed": campaign_clock.read_due("world", clock.processed_world_time),
        "now": now,
    }


def _draw(
    request: HttpRequest, clock: CampaignClock, rows: Sequence[Row], now: datetime, calendar: Calendar
) -> dict[str, Any]:
    hours = timeline.WINDOWS.get(request.GET.get("hours", ""), timeline.WINDOWS["6"])
    return {
        "hours": hours,
        "windows": timeline.WINDOWS.items(),
        "timeline": timeline.draw_timeline(rows, hours),
        "ticks": timeline.draw_ticks(clock, hours, now, calendar),
    }


def _explain(blockers: list[Blocker], rows: list[Row]) -> dict[str, Any]:
    """Whether the whole campaign is blocked, the first row that is not (with a queued job, if any), dead letters."""
    stuck, free = [row for row in rows if row.dead], [row for row in rows if not row.blockers]
    plain = next((row for row in free if row.queued), next(iter(free), None))
    whole = any(blocker.job_types is None and not blocker.overdue_of and not blocker.after for blocker in blockers)
    recalculation = any(blocker.overdue_of for blocker in blockers) and bool(rows) and plain is None
    return {
        "all_blocked": whole or recalculation,
        "plain": plain,
        "queued": next((row for row in rows if row.queued), None),
        "stuck": stuck[:STUCK],
        "stuck_more": len(stuck[STUCK:]),
    }


def _find_pause(clock: CampaignClock, paused: list[Pause]) -> Pause | None:
    own = [p for p in paused if p.kind == PauseKind.CAMPAIGN and p.name == clock.campaign_id]
    return own[0] if own else None


def _read_after(request: HttpRequest) -> tuple[str, int, int] | None:
    """The (next_due, rank, id) after which the page starts."""
    found = re.fullmatch(r"([^~]+)~([0-9]{1,2})~([0-9]{1,18})", request.GET.get("after", ""))
    return (found[1], int(found[2]), int(found[3])) if found else None
