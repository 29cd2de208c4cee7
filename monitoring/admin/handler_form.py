"""The form of an alert handler: the fields of its channel, and which alerts it gets."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext, gettext_lazy
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from jobs.registry import all_types
from monitoring.alerting.channels import CHANNELS, Channel, Field
from monitoring.models import AlertHandler, Kind
from ops.admin.guarded_form import GuardedModelForm, Stored
from ops.labels import label
from scheduler_project.moments import read_zone

PREFIX = "channel_"


class Lines(forms.CharField):
    """A list, edited as lines of text."""

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(str, value)) if isinstance(value, list) else value

    def clean(self, value: Any) -> list[str]:
        """Split at line breaks and commas, without empty entries."""
        return _split(super().clean(value) or "")

    def has_changed(self, initial: Any, data: Any) -> bool:
        return list(initial or []) != _split(data or "")


def _split(text: str) -> list[str]:
    return [line.strip() for line in text.replace(",", "\n").splitlines() if line.strip()]


class HandlerForm(GuardedModelForm):
    """The fields of all channels; `for_kind` adds those of one."""

    channel: Channel
    alert_kinds = forms.MultipleChoiceField(
        choices=Kind.choices,
        required=False,
        label=gettext_lazy("Kinds of alerts"),
        help_text=gettext_lazy("Leave empty for all kinds."),
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
    )
    job_types = forms.MultipleChoiceField(
        required=False,
        label=gettext_lazy("Job types"),
        help_text=gettext_lazy("Leave empty for all types. Otherwise only alerts about jobs of these types."),
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
    )
    campaigns = Lines(
        required=False,
        label=gettext_lazy("Campaigns"),
        help_text=gettext_lazy("IDs, one per line. Leave empty for all campaigns."),
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )

    class Meta:
        model = AlertHandler
        fields = (
            "name",
            "enabled",
            "minimum_severity",
            "alert_kinds",
            "job_types",
            "campaigns",
            "quiet_from",
            "quiet_until",
            "time_zone",
            "wake_for_critical",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        types = self.fields["job_types"]
        if isinstance(types, forms.MultipleChoiceField):
            types.choices = [(name, label(name)) for name in sorted(all_types())]
        for field in self.channel.fields:
            shown = self.fields[PREFIX + field.name]
            if field.secret and self.instance.secrets.get(field.name):
                shown.required = False
                shown.help_text = gettext("Saved. Leave blank to keep.")
            elif not field.secret:
                shown.initial = self.instance.config.get(field.name, "")

    @classmethod
    def read_stored(cls, instance: AlertHandler) -> Stored:
        """With the channel's own values."""
        link, values = super().read_stored(instance)
        return Stored(link, {**values, **instance.config, **instance.secrets})

    def _label(self, name: str) -> str:
        return super()._label(PREFIX + name if PREFIX + name in self.fields else name)

    def clean_time_zone(self) -> str:
        try:
            return read_zone(str(self.cleaned_data["time_zone"])).key
        except ValueError:
            text = gettext("There is no time zone “%(zone)s”.")
            raise ValidationError(text % {"zone": self.cleaned_data["time_zone"]}) from None

    def clean(self) -> dict[str, Any]:
        """Check that quiet hours have a beginning and an end, and the channel's own fields.

        A saved secret goes to no other receiver: whoever may change the URL need not know the secret.
        """
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if (cleaned.get("quiet_from") is None) != (cleaned.get("quiet_until") is None):
            self.add_error("quiet_until", gettext("Quiet hours need a start and an end."))
        for field in self.channel.fields:
            value = cleaned.get(PREFIX + field.name)
            if value and field.check:
                try:
                    field.check(value)
                except ValidationError as fault:
                    self.add_error(PREFIX + field.name, fault)
        if any(field.is_receiver and self._has_changed(field) for field in self.channel.fields):
            for field in self.channel.fields:
                if field.secret and self.instance.secrets.get(field.name) and not cleaned.get(PREFIX + field.name):
                    self.add_error(PREFIX + field.name, gettext("The receiver is another one: enter this again."))
        if self.errors:
            self._ask_for_secrets()
        return cleaned

    def _ask_for_secrets(self) -> None:
        """A refused form keeps what was typed, but for secrets: a blank one would keep the stored secret."""
        for field in self.channel.fields:
            if field.secret and self.cleaned_data.get(PREFIX + field.name):
                self.add_error(PREFIX + field.name, gettext("Nothing was saved: enter this again."))

    def _has_changed(self, field: Field) -> bool:
        return bool(self.cleaned_data.get(PREFIX + field.name, "") != self.instance.config.get(field.name, ""))

    def save(self, commit: bool = True) -> Any:
        """Save the channel's own fields, too; an empty secret keeps the stored one."""
        handler = self.instance
        handler.kind = self.channel.name
        for field in self.channel.fields:
            value = self.cleaned_data[PREFIX + field.name]
            if not field.secret:
                handler.config[field.name] = value
            elif value:
                handler.secrets[field.name] = value
        return super().save(commit)


def for_kind(channel: Channel) -> type[HandlerForm]:
    """Make the form class of one channel."""
    fields: Mapping[str, Any] = {PREFIX + field.name: _form_field(field) for field in channel.fields}
    return type("HandlerForm", (HandlerForm,), {"channel": channel, **fields})


def channel_named(name: str) -> Channel | None:
    return CHANNELS.get(name)


def _form_field(field: Field) -> forms.Field:
    attributes = {"autocomplete": "new-password"} if field.secret else {}
    widget = UnfoldAdminPasswordWidget(attrs=attributes) if field.secret else UnfoldAdminTextInputWidget()
    return forms.CharField(
        label=field.label, help_text=field.says, required=field.required, max_length=2000, widget=widget
    )
