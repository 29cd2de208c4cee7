"""The form of a calendar."""

from collections.abc import Callable
from typing import Any, Final

from django import forms
from django.utils.translation import gettext, gettext_lazy
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from jobs.world.calendars.calendar import Calendar
from jobs.world.calendars.checks import LONGEST_NAME, MOST_HOURS, MOST_YEARS, InvalidCalendar
from jobs.world.calendars.examples import GREGORIAN
from jobs.world.calendars.lines import LONGEST, parse_leap_rules, parse_months, parse_weekdays, to_lines
from jobs.world.calendars.text import parse_world_time
from ops.admin.base import reason_field
from ops.admin.guarded_form import GuardedForm, Stored
from scheduler_project.text import StrOrPromise

_MONTHS_HELP: Final = gettext_lazy(
    "One per line, in order: name, colon, number of days. Use “festival” for days between months, and “no weekday” for "
    "days outside the week. A month that has days only in leap years has 0."
)
_RULES_HELP: Final = gettext_lazy(
    "One per line: February: +1 every 4, except every 100, unless every 400. Add “from year 3” to shift."
)


def _name(
    label: StrOrPromise, help_text: StrOrPromise, *, required: bool = False, longest: int = LONGEST_NAME
) -> forms.CharField:
    widget = UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "spellcheck": "false"})
    return forms.CharField(label=label, required=required, max_length=longest, widget=widget, help_text=help_text)


def _lines(label: StrOrPromise, help_text: StrOrPromise, *, rows: int, required: bool = False) -> forms.CharField:
    widget = UnfoldAdminTextareaWidget(attrs={"rows": rows, "spellcheck": "false"})
    return forms.CharField(label=label, required=required, max_length=LONGEST, widget=widget, help_text=help_text)


def _number(label: StrOrPromise, help_text: StrOrPromise, least: int, most: int) -> forms.IntegerField:
    widget = UnfoldAdminIntegerFieldWidget()
    return forms.IntegerField(label=label, min_value=least, max_value=most, widget=widget, help_text=help_text)


class CalendarForm(GuardedForm):
    """Its fields are those of Calendar, as lines; what a calendar refuses stands under its field."""

    name = _name(gettext_lazy("Name"), "", required=True)
    months = _lines(gettext_lazy("Months"), _MONTHS_HELP, rows=14, required=True)
    leap_rules = _lines(gettext_lazy("Leap rules"), _RULES_HELP, rows=2)
    weekdays = _lines(
        gettext_lazy("Weekdays"), gettext_lazy("In order, separated by commas. Leave empty for no week."), rows=2
    )
    first_weekday = _name(
        gettext_lazy("First weekday"),
        gettext_lazy("Weekday of the first day that has one. Leave empty for the first of the week."),
    )
    hours_per_day = _number(gettext_lazy("Hours a day"), gettext_lazy("Hours of world time."), 1, MOST_HOURS)
    epoch = _name(
        gettext_lazy("Begins at"),
        gettext_lazy("World time at which the year below begins, in the Gregorian calendar or ISO 8601."),
        required=True,
    )
    epoch_year = _number(gettext_lazy("With the year"), "", -MOST_YEARS, MOST_YEARS)
    era = _name(gettext_lazy("Era"), gettext_lazy("Shown after the year."))
    era_before = _name(
        gettext_lazy("Era before"),
        gettext_lazy("Shown after years before 1, which count backwards. Leave empty for negative years."),
    )
    reason = reason_field()

    calendar: Calendar  #: once the form is valid

    @classmethod
    def of(cls, calendar: Calendar, stored: Stored, posted: Any = None) -> "CalendarForm":
        """Filled in from a calendar; or with what was posted, instead of what is `stored`."""
        return cls(posted, initial=to_lines(calendar), stored=stored)

    def clean_months(self) -> Any:
        return self._read("months", parse_months)

    def clean_leap_rules(self) -> Any:
        return self._read("leap_rules", parse_leap_rules)

    def clean_weekdays(self) -> Any:
        return self._read("weekdays", parse_weekdays)

    def clean_epoch(self) -> Any:
        return self._read("epoch", lambda text: parse_world_time(GREGORIAN, text))

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if not self.errors:
            try:
                self.calendar = self._build(values)
            except InvalidCalendar as bad:
                self.add_error(bad.field if bad.field in self.fields else None, _as_sentence(bad.fault))
        return values

    def _read(self, field: str, parse: Callable[[str], Any]) -> Any:
        try:
            return parse(self.cleaned_data[field])
        except ValueError as error:
            raise forms.ValidationError(_as_sentence(str(error))) from None

    @staticmethod
    def _build(values: dict[str, Any]) -> Calendar:
        week = [name.casefold() for name in values["weekdays"]]
        first = " ".join(values["first_weekday"].split()).casefold()
        if first and first not in week:
            raise InvalidCalendar(
                "first_weekday",
                gettext("%(weekday)s is not one of the weekdays") % {"weekday": f"{values['first_weekday']!r}"},
            )
        texts = {name: " ".join(values[name].split()) for name in ("name", "era", "era_before")}
        others = ("months", "leap_rules", "weekdays", "hours_per_day", "epoch", "epoch_year")
        fields: dict[str, Any] = texts | {name: values[name] for name in others}
        return Calendar(**fields, first_weekday=week.index(first) if first else 0)


def _as_sentence(fault: str) -> str:
    return fault[:1].upper() + fault[1:]
