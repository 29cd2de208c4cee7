"""The form of a world clock."""

from decimal import Decimal
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext, gettext_lazy
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from jobs.models import WorldClock
from jobs.world_clocks.sentences import CATCH_UP
from jobs.world_clocks.settings import Settings
from ops.admin.base import reason_field
from ops.admin.guarded_form import GuardedForm, Stored
from scheduler_project.durations import parse_duration
from scheduler_project.text import StrOrPromise


class DurationField(forms.CharField):
    """A length of time as people write it: "90 min", "12 h"; seconds in Python."""

    def __init__(self, label: StrOrPromise, help_text: StrOrPromise) -> None:
        widget = UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "spellcheck": "false"})
        super().__init__(label=label, help_text=help_text, widget=widget, max_length=60)

    def clean(self, value: Any) -> Any:
        """Raises ValidationError."""
        text = super().clean(value)
        try:
            return parse_duration(text)
        except ValueError:
            text = gettext("“%(length)s” is not a duration such as 10 s, 90 min, 12 h or 7 d.")
            raise forms.ValidationError(text % {"length": str(value).strip()[:40]}) from None


class WorldClockForm(GuardedForm):
    """Its fields are those of Settings; what settings refuse stands under its field."""

    rate = forms.DecimalField(
        label=gettext_lazy("Rate"),
        max_digits=20,
        widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "any", "min": "0", "inputmode": "decimal"}),
        help_text=gettext_lazy(
            "World seconds in a second of real time. 1: as in the real world; 60: an hour in a minute."
        ),
    )
    step = DurationField(
        gettext_lazy("Step"), gettext_lazy("Real time from one step to the next: 10 s to 1 d. Each step is a job.")
    )
    most_per_step = DurationField(
        gettext_lazy("Limit per step"), gettext_lazy("Most world time that one step moves. A day (d) is 24 hours.")
    )
    most_per_day = DurationField(
        gettext_lazy("Limit per day"),
        gettext_lazy("Most world time in a real day; after that the clock stops until midnight."),
    )
    quiet_hours = forms.CharField(
        label=gettext_lazy("Quiet hours"),
        required=False,
        max_length=200,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "22:00-08:00", "autocomplete": "off"}),
        help_text=gettext_lazy(
            "The clock stops during these hours. Separate several with commas. Leave empty for none."
        ),
    )
    time_zone = forms.CharField(
        label=gettext_lazy("Time zone"),
        max_length=64,
        widget=UnfoldAdminTextInputWidget(attrs={"list": "time-zones", "autocomplete": "off", "spellcheck": "false"}),
        help_text=gettext_lazy("The group's time zone, such as Europe/Berlin, for quiet hours and midnight."),
    )
    catch_up = forms.ChoiceField(
        label=gettext_lazy("After an outage"),
        choices=[(mode.value, capfirst(gettext_lazy(text))) for mode, text in CATCH_UP.items()],
        widget=UnfoldAdminSelectWidget(),
        help_text=gettext_lazy("Also applies after a pause of the campaign, and while a step waits or has failed."),
    )
    reason = reason_field()

    settings: Settings  #: once the form is valid

    @classmethod
    def of(cls, clock: WorldClock | None, link: str, posted: Any = None) -> "WorldClockForm":
        """Filled in from a clock, or from the defaults; or with what was posted, instead of what is stored."""
        shown = clock or WorldClock(time_zone=timezone.get_default_timezone_name())
        stored = Stored(link, Settings.of(clock).as_json() if clock else {})
        values = Settings.of(shown).as_json()
        return cls(posted, initial=values | {"rate": Decimal(values["rate"])}, stored=stored)

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if not self.errors:
            settings = Settings(**{name: value for name, value in values.items() if name != "reason"})
            for field, fault in settings.faults().items():
                self.add_error(field, f"{fault[:1].upper()}{fault[1:]}.")
            self.settings = settings
        return values
