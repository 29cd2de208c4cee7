"""The forms of a cron task."""

from typing import Any, Final

from django import forms
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy
from unfold.widgets import UnfoldAdminSplitDateTimeWidget

from jobs.cron import tasks as cron_tasks
from jobs.models import CronTask
from ops.admin.base import UntilForm, reason_field
from ops.admin.guarded_form import GuardedModelForm
from ops.admin.payload_form import SplitMomentField

#: The form asks for the reason of any change, and not for that of disabling apart.
FIELDS: Final = tuple(name for name in cron_tasks.SETTINGS if name != "disabled_reason")


class CronTaskForm(GuardedModelForm):
    disabled_until = SplitMomentField(
        required=False,
        label=gettext_lazy("Re-enable at"),
        widget=UnfoldAdminSplitDateTimeWidget(),
    )
    reason = reason_field(max_length=cron_tasks.LONGEST_REASON, label=gettext_lazy("Reason for change"))

    class Meta:
        model = CronTask
        fields = FIELDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        live = {
            "hx-get": reverse("admin:jobs_crontask_preview"),
            "hx-trigger": "input changed delay:250ms",
            "hx-target": "#cron-preview",
            "hx-include": "[name=expression], [name=time_zone]",
        }
        for name in ("expression", "time_zone"):
            if name in self.fields:
                self.fields[name].widget.attrs |= live | {"autocomplete": "off", "spellcheck": "false"}
        if "time_zone" in self.fields:
            self.fields["time_zone"].widget.attrs["list"] = "time-zones"
        if "disabled_until" in self.fields:
            zone = timezone.get_current_timezone_name()
            self.fields["disabled_until"].help_text = gettext(
                "Time zone: %(zone)s. Leave empty to re-enable it manually."
            ) % {"zone": zone}

    def _post_clean(self) -> None:
        """Report an expression, time zone, type or payload that can never fire under its field."""
        super()._post_clean()  # type: ignore[misc]  # of the form it is mixed into
        try:
            cron_tasks.validate(self.instance)
        except forms.ValidationError as bad:
            self._update_errors(bad)  # type: ignore[attr-defined]  # the same

    def clean_disabled_until(self) -> Any:
        """Only a new value must be in the future."""
        until = self.cleaned_data["disabled_until"]
        if until and "disabled_until" in self.changed_data:
            try:
                cron_tasks.check_until(until)
            except ValueError as bad:
                raise forms.ValidationError(gettext("Not saved: %(reason)s.") % {"reason": bad}) from None
        return until


class DisableForm(UntilForm):
    """The task keeps its reason, in a shorter column."""

    reason = reason_field(max_length=cron_tasks.LONGEST_REASON)
