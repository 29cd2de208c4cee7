"""A field in which somebody types a world time: in the campaign's calendar, or as ISO 8601."""

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminTextInputWidget

from jobs.world.calendars.calendar import Calendar
from jobs.world.calendars.text import format_world_time, parse_world_time
from jobs.world.clock import WorldTime


class WorldTimeField(forms.Field):
    """Its value is a WorldTime, or None if it is empty."""

    def __init__(self, *, calendar: Calendar, **more: Any) -> None:
        widget = more.pop("widget", None) or UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"})
        super().__init__(widget=widget, **more)
        self.calendar = calendar

    def to_python(self, value: Any) -> Any:
        if not str(value or "").strip():
            return None
        try:
            return parse_world_time(self.calendar, str(value))
        except ValueError as error:
            raise forms.ValidationError(str(error), code="invalid") from None

    def prepare_value(self, value: Any) -> Any:
        return format_world_time(self.calendar, value) if isinstance(value, WorldTime) else value
