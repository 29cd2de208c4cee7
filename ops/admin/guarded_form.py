"""Forms of what there is already: one that was opened before somebody else saved is refused, and says who and what.

What was typed stays in the form, which is then about what is there now: the next press saves it.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django import forms
from django.db import transaction
from django.db.models import Manager, Model
from django.forms.models import model_to_dict
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.text import capfirst
from django.utils.translation import gettext

from jobs.actor import name_of
from jobs.models import OperatorAction
from ops.admin.base import read_key
from ops.labels import label_of_verb
from scheduler_project.links import page
from scheduler_project.text import shorten

MOST_NAMED: Final = 3  #: changes by others, the latest
MOST_READ: Final = 50  #: actions on the same page; some change no field of the form
LONGEST_SHOWN: Final = 100  #: characters of a value
_NO_VALUES: Final = {"opened", "reason"}  #: fields that say something about the change


class Stored(NamedTuple):
    """What a form edits, as it is stored now."""

    link: str  #: its page, by which the audit trail finds its changes
    values: Mapping[str, Any]  #: all that the form would overwrite


class _StampField(forms.CharField):
    """What was stored when the form was opened; no change of its own."""

    def __init__(self) -> None:
        super().__init__(required=False, max_length=100, widget=forms.HiddenInput, label="")

    def has_changed(self, initial: Any, data: Any) -> bool:
        return False


class GuardedForm(forms.Form):
    """Mixin of forms that are filled in from what is stored; without `stored` nothing is checked."""

    opened = _StampField()

    def __init__(self, *args: Any, stored: Stored | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stored = stored
        if stored:
            self.initial["opened"] = _stamp(stored)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        opened = str(cleaned.pop("opened", ""))
        since, _, digest = opened.partition(".")
        if self.stored and digest and digest != _digest(self.stored.values) and self.overwrites(self.stored):
            self.data = self.data.copy()  # type: ignore[attr-defined]  # of the class it is mixed into
            self.data["opened"] = self.initial["opened"]  # type: ignore[index]  # a copy is a QueryDict that takes values
            self.add_error(None, self._explain(self.stored, read_key(since) or 0))
        return cleaned

    def overwrites(self, stored: Stored) -> bool:
        """Whether what was entered differs from what is stored: the second press of a double click does not.

        Where a button resets all fields, what they contain does not count.
        """
        if "reset" in self.data:
            return any(value not in (None, "") for value in stored.values.values())
        return bool(set(self.changed_data) - _NO_VALUES)

    def _explain(self, stored: Stored, since: int) -> list[str]:
        later = OperatorAction.objects.filter(pk__gt=since, link=stored.link).order_by("-pk")[:MOST_READ]
        named = [action for action in later if (action.changes or {}).keys() & stored.values.keys()][:MOST_NAMED]
        said = [self._describe(action) for action in reversed(named)]
        return [
            *(said or [gettext("This was changed after you opened the form.")]),
            gettext("Nothing was saved. What you entered is kept: check it, and save again to overwrite the change."),
        ]

    def _describe(self, action: OperatorAction) -> str:
        changes = action.changes or {}
        text = gettext("%(who)s %(did)s %(target)s at %(time)s, after you opened the form: %(changes)s.")
        return text % {
            "who": capfirst(name_of(action.actor)),
            "did": label_of_verb(action.verb),
            "target": action.target,
            "time": f"{timezone.localtime(action.at):%Y-%m-%d %H:%M:%S}",
            "changes": "; ".join(f"{self._label(name)} {_describe_pair(*pair)}" for name, pair in changes.items()),
        }

    def _label(self, name: str) -> str:
        field = self.fields.get(name)
        return str(field.label or name) if field else name


if TYPE_CHECKING:
    _ModelForm = forms.ModelForm[Any]
else:
    _ModelForm = forms.ModelForm


class GuardedModelForm(GuardedForm, _ModelForm):
    """As GuardedForm, for an object that exists; for GuardedAdmin."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        instance = kwargs.get("instance")
        known = instance is not None and instance.pk is not None
        super().__init__(*args, stored=self.read_stored(instance) if known else None, **kwargs)

    @classmethod
    def read_stored(cls, instance: Any) -> Stored:
        opts = instance._meta
        link = page(f"{opts.app_label}_{opts.model_name}_change", instance.pk)
        own = [name for name, field in cls.base_fields.items() if not field.disabled]
        return Stored(link, model_to_dict(instance, own))


class GuardedAdmin:
    """Mixin for a model whose form is a GuardedModelForm."""

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.guard(request, obj, super().get_fieldsets(request, obj))  # type: ignore[misc]  # of the class it is mixed into

    def guard(self, request: HttpRequest, obj: Any, plain: Any) -> Any:
        """Add the hidden field to fieldsets, for those who may save."""
        fieldsets = [(name, dict(options)) for name, options in plain]
        if obj is not None and self.has_change_permission(request, obj):  # type: ignore[attr-defined]  # of the class it is mixed into
            options = fieldsets[-1][1]
            options["fields"] = [*options["fields"], "opened"]
        return fieldsets

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Locked while a form is saved: of two at the same time, the second sees what the first has saved."""
        found = super().get_object(request, object_id, from_field)  # type: ignore[misc]  # of the class it is mixed into
        if found is None or request.method != "POST" or not transaction.get_connection().in_atomic_block:
            return found
        manager: Manager[Model] = type(found).objects
        list(manager.select_for_update().filter(pk=found.pk).values_list("pk"))
        return super().get_object(request, object_id, from_field)  # type: ignore[misc]  # of the class it is mixed into


def _stamp(stored: Stored) -> str:
    """The newest action of the trail, after which others' changes are to be found, and a digest of the values."""
    newest = OperatorAction.objects.order_by("-pk").values_list("pk", flat=True).first()
    return f"{newest or 0}.{_digest(stored.values)}"


def _digest(values: Mapping[str, Any]) -> str:
    """With a key: some values are secrets."""
    plain = json.dumps({name: _in_order(value) for name, value in values.items()}, default=str, sort_keys=True)
    return salted_hmac(__name__, plain, algorithm="sha256").hexdigest()[:24]


def _in_order(value: Any) -> Any:
    """Objects that a value names are read in any order."""
    if isinstance(value, list) and all(isinstance(one, Model) for one in value):
        return sorted(str(one.pk) for one in value)
    return value


def _describe_pair(before: Any, after: Any) -> str:
    was, now = _describe_value(before), _describe_value(after)
    return f"{was} → {now}" if before not in ("", None) else now


def _describe_value(value: Any) -> str:
    if value in ("", None):
        return gettext("none")
    return shorten(str(value), LONGEST_SHOWN)
