"""Convert the declaration of a payload to form fields, and their values to a payload."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import msgspec
from django import forms
from django.utils import timezone
from django.utils.translation import gettext
from msgspec import inspect
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from jobs.registry import WORLD_TIME, JobType
from jobs.slices import Slice
from jobs.world.calendars.calendar import Calendar
from jobs.world.calendars.text import LONGEST, parse_world_time
from ops.labels import label
from scheduler_project.moments import read_moment
from scheduler_project.text import clean, flaw_of

YEARS: Final = (1970, 9998)  #: the first and last year of a time that a user may enter


class MomentInput(UnfoldAdminTextInputWidget):
    """The browser's own date and time picker, to the second."""

    input_type = "datetime-local"

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"step": "1", **(attrs or {})})

    def format_value(self, value: Any) -> str | None:
        """In the browser's format and the current time zone."""
        if isinstance(value, str):  # from an address
            with suppress(ValueError):
                value = read_moment(value)
        if not isinstance(value, datetime) or not YEARS[0] <= value.year <= YEARS[1]:
            return str(value) if value else None
        local = timezone.localtime(value) if timezone.is_aware(value) else value
        return local.replace(tzinfo=None).isoformat(timespec="seconds")


class MomentField(forms.DateTimeField):
    """A time that stays valid in every time zone and database, even some minutes later."""

    def to_python(self, value: Any) -> datetime | None:
        return _check_year(super().to_python(value))


class SplitMomentField(forms.SplitDateTimeField):
    """As MomentField, with a field for the date and one for the time of day."""

    def compress(self, data_list: Any) -> datetime | None:
        return _check_year(super().compress(data_list))


def _check_year(moment: datetime | None) -> datetime | None:
    if moment and not YEARS[0] <= moment.year <= YEARS[1]:
        raise forms.ValidationError(forms.DateTimeField.default_error_messages["invalid"], code="invalid")
    return moment


def moment_field(**more: Any) -> forms.DateTimeField:
    """A time in the user's time zone."""
    zone = gettext("Time zone: %(zone)s.") % {"zone": timezone.get_current_timezone_name()}
    help_text = f"{zone} {more.pop('help_text', '')}".strip()
    return MomentField(widget=MomentInput(), help_text=help_text, **more)


class WorldTimeText(forms.CharField):
    """A world time of a payload; the form reads it once it knows the campaign, whose calendar counts."""

    widget = UnfoldAdminTextInputWidget

    def __init__(self, *, help_text: str = "", **more: Any) -> None:
        how = gettext("In the campaign's calendar, or ISO 8601.")
        help_text = f"{help_text} {how}".strip()
        super().__init__(max_length=LONGEST, help_text=help_text, **more)


def read_world_times(
    fields: Mapping[str, forms.Field], values: Mapping[str, Any], calendar: Calendar
) -> tuple[dict[str, Any], dict[str, str]]:
    """The values with their world times as ISO 8601, and what is wrong by field."""
    read, faults = dict(values), {}
    for name, field in fields.items():
        if isinstance(field, WorldTimeText) and values.get(name):
            try:
                read[name] = parse_world_time(calendar, values[name]).isoformat()
            except ValueError as error:
                faults[name] = str(error)
    return read, faults


def fields_of(declared: JobType) -> dict[str, forms.Field]:
    """The form fields by their names in JSON."""
    described = inspect.type_info(declared.payload)
    assert isinstance(described, inspect.StructType)  # noqa: S101 - a payload is a struct
    return {field.encode_name: _field(field) for field in described.fields if not _is_ours(field)}


def _is_ours(field: inspect.Field) -> bool:
    """Whether only jobs that continue in slices fill it in."""
    kinds = field.type.types if isinstance(field.type, inspect.UnionType) else (field.type,)
    return any(isinstance(kind, inspect.StructType) and kind.cls is Slice for kind in kinds)


def _field(field: inspect.Field) -> forms.Field:
    kind, optional = field.type, not field.required
    if isinstance(kind, inspect.UnionType):
        some = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
        optional = optional or len(some) < len(kind.types)
        kind = some[0] if len(some) == 1 else kind
    common: dict[str, Any] = {"label": label(field.name), "required": not optional}
    if field.default is not inspect.NODEFAULT:
        common["initial"] = field.default
    if isinstance(kind, inspect.Metadata):
        schema = kind.extra_json_schema or {}
        common["help_text"] = gettext(about) if (about := schema.get("description", "")) else ""
        common["label"] = gettext(title) if (title := schema.get("title", "")) else common["label"]
        if schema.get("format") == WORLD_TIME["format"]:
            return WorldTimeText(**common)
        kind = kind.type
    return _field_of_kind(kind, common)


def _field_of_kind(kind: inspect.Type, common: dict[str, Any]) -> forms.Field:
    match kind:
        case inspect.EnumType():
            values = [member.value for member in kind.cls]
            choices = [(str(value), label(str(value))) for value in values]
            empty = [] if common["required"] else [("", "-")]
            return forms.ChoiceField(choices=[*empty, *choices], widget=UnfoldAdminSelectWidget(), **common)
        case inspect.DateTimeType():
            return moment_field(**common)
        case inspect.BoolType():
            return forms.BooleanField(widget=UnfoldBooleanSwitchWidget(), **{**common, "required": False})
        case inspect.IntType():
            return forms.IntegerField(
                min_value=kind.ge, max_value=kind.le, widget=UnfoldAdminIntegerFieldWidget(), **common
            )
        case inspect.FloatType():
            return forms.FloatField(widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"}), **common)
        case inspect.StrType():
            return forms.CharField(
                min_length=kind.min_length, max_length=kind.max_length, widget=UnfoldAdminTextInputWidget(), **common
            )
    return JSONField(widget=UnfoldAdminTextareaWidget(), **{"help_text": "JSON", **common})


class JSONField(forms.JSONField):
    """JSON that can be stored. A refused value is shown again without the characters that no page can contain."""

    def to_python(self, value: Any) -> Any:
        found = super().to_python(value)
        if flaw := flaw_of(found):
            raise forms.ValidationError(flaw)
        return found

    def bound_data(self, data: Any, initial: Any) -> Any:
        return clean(super().bound_data(data, initial))


def as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """The payload, without empty fields."""
    plain: dict[str, Any] = msgspec.to_builtins({name: v for name, v in values.items() if v not in (None, "")})
    return plain


def as_initial(declared: JobType, payload: Any) -> dict[str, Any]:
    """Initial values from a payload; a time that cannot be parsed is left empty."""
    if not isinstance(payload, dict):
        return {}
    initial = dict(payload)
    for name, field in fields_of(declared).items():
        if isinstance(field, forms.DateTimeField) and isinstance(initial.get(name), str):
            try:
                initial[name] = datetime.fromisoformat(initial[name])
            except ValueError:
                del initial[name]
    return initial
