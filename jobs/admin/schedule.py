"""What the service will do: schedule rows, read-only."""

from typing import TYPE_CHECKING

from django.contrib import admin
from unfold.admin import ModelAdmin

from jobs import campaigns
from jobs.admin.read_only import ReadOnly
from jobs.models import ScheduleRow
from jobs.words import span, words

if TYPE_CHECKING:
    ScheduleRowAdminBase = admin.ModelAdmin[ScheduleRow]
else:
    ScheduleRowAdminBase = ModelAdmin


@admin.register(ScheduleRow)
class ScheduleRowAdmin(ReadOnly, ScheduleRowAdminBase):
    """When each settlement and structure is next due; the rows follow from the main API's world."""

    list_display = ("entity_name", "event", "campaign_id", "clock", "due", "last", "every")
    list_filter = ("entity_type", "event_type", "clock")
    search_fields = ("entity_id", "entity_name", "campaign_id")
    show_full_result_count = False

    @admin.display(description="event", ordering="event_type")
    def event(self, row: ScheduleRow) -> str:
        """In words."""
        return words(row.event_type)

    @admin.display(description="next due", ordering="next_due")
    def due(self, row: ScheduleRow) -> str:
        """On the campaign's clock, to the minute."""
        return campaigns.shown_on(row.clock, row.next_due) or "never"

    @admin.display(description="counted from", ordering="anchor")
    def last(self, row: ScheduleRow) -> str:
        """The last due time applied, or when the entity was first seen."""
        return campaigns.shown_on(row.clock, row.anchor)

    @admin.display(description="every")
    def every(self, row: ScheduleRow) -> str:
        """The interval."""
        return span(row.interval)
