"""The schedules, read-only."""

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext, gettext_lazy
from unfold.admin import ModelAdmin

from jobs import calendars
from jobs.models import CampaignClock, ScheduleRow
from jobs.registry import all_types
from ops.admin.base import ReadOnly
from ops.admin.filtered_list import FilteredAdmin
from ops.humanize import duration
from ops.labels import label, name_event
from ops.reads import campaign_clock
from ops.templatetags import ops

if TYPE_CHECKING:
    ScheduleRowAdminBase = admin.ModelAdmin[ScheduleRow]
else:
    ScheduleRowAdminBase = ModelAdmin


@admin.register(ScheduleRow)
class ScheduleRowAdmin(FilteredAdmin, ReadOnly, ScheduleRowAdminBase):
    """When each settlement and structure is next due, computed from the main API's data."""

    list_display = ("entity_name", "event", "campaign", "clock", "due", "last", "every")
    list_filter = ("entity_type", "event_type", "clock")
    fields = ("entity_name", "entity_id", "event", "campaign", "clock", "due", "last", "every", "fires", "jobs")
    show_facets = admin.ShowFacets.NEVER
    search_fields = ("entity_id", "entity_name", "campaign_id")
    show_full_result_count = False
    when_empty = gettext_lazy(
        "Recalculation jobs create schedules; to run one now, use Recalculate now on a campaign's page."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ScheduleRow]:
        name = CampaignClock.objects.filter(pk=OuterRef("campaign_id")).values("name")
        found = super().get_queryset(request).annotate(campaign_name=Subquery(name))
        return found.annotate(**calendars.annotations("campaign_id"))

    @admin.display(description=gettext_lazy("campaign"), ordering="campaign_id")
    def campaign(self, row: Any) -> str:
        """A link to the campaign's page, which shows what blocks this row."""
        page = reverse("admin:jobs_campaignclock_change", args=[quote(row.campaign_id)])
        name = row.campaign_name or row.campaign_id
        return format_html('<a href="{}?{}">{}</a>', page, urlencode({"q": row.entity_id}), name)

    @admin.display(description=gettext_lazy("event"), ordering="event_type")
    def event(self, row: ScheduleRow) -> str:
        return label(row.event_type)

    @admin.display(description=gettext_lazy("next due"), ordering="next_due")
    def due(self, row: Any) -> str:
        return _format(row, row.next_due) or gettext("never")

    @admin.display(description=gettext_lazy("last applied"), ordering="anchor")
    def last(self, row: Any) -> str:
        """The last due time that was applied, or when the entity was first seen."""
        return _format(row, row.anchor)

    @admin.display(description=gettext_lazy("fires at"))
    def fires(self, row: Any) -> str:
        """When the next job is submitted."""
        return _format(row, row.fire_at) or "-"

    @admin.display(description=gettext_lazy("every"))
    def every(self, row: ScheduleRow) -> str:
        return duration(row.interval)

    @admin.display(description=gettext_lazy("job type"))
    def jobs(self, row: ScheduleRow) -> str:
        """A link to the type's page, if it is still declared."""
        if row.job_type not in all_types():
            return row.job_type
        return format_html('<a href="{}">{}</a>', reverse("admin:jobs_type", args=[row.job_type]), label(row.job_type))

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        """The window's title has the event's name."""
        return super().render_change_form(
            request, {**context, "subtitle": name_event(context["original"])}, *args, **kwargs
        )


def _format(row: Any, text: str) -> str:
    """A time of the row, in its campaign's calendar."""
    calendar = calendars.choose(row.own_calendar, row.served_calendar).calendar
    return ops.clock_time(campaign_clock.read_due(row.clock, text), calendar)
