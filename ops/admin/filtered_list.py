"""Lists whose filters fail closed: one that cannot be read, or whose object is gone, matches nothing.

Django leaves out a filter that has nothing to offer, and a filter may ignore a value that it does not know. The list
would then have everything, and so would an action on all of it.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import BadRequest
from django.db.models import QuerySet
from django.forms import ChoiceField
from django.http import HttpRequest
from django.utils.translation import gettext
from unfold.views import ChangeList


class FilteredList(ChangeList):
    """A list that is empty while one of its filters cannot be read. Then a POST to it is refused."""

    def get_filters(self, request: HttpRequest) -> Any:
        specs, has_filters, rest, may_repeat, is_active = super().get_filters(request)
        kept = {name for spec in specs for name in spec.expected_parameters()} | set(rest)
        asked = self.get_filters_params()
        self.unreadable = [f"{name}: {v[-1]}" for name, v in asked.items() if name not in kept and any(v)]
        if self.unreadable:
            self.root_queryset = self.root_queryset.none()
        spec: Any
        for spec in specs:
            if not is_readable(spec):
                self.unreadable.append(f"{spec.title}: {', '.join(_read_chosen(spec))}")
                spec.queryset = _match_nothing
                _offer_unknown(spec)
        return specs, has_filters, rest, may_repeat, is_active

    def get_queryset(self, request: HttpRequest, exclude_parameters: list[str | None] | None = None) -> QuerySet[Any]:
        try:
            found: QuerySet[Any] = super().get_queryset(request, exclude_parameters)
        except IncorrectLookupParameters:
            if request.method != "POST":
                raise  # Django shows the list without any filter
            raise BadRequest(gettext("The list cannot be filtered by these parameters.")) from None
        if request.method == "POST":
            self.require_readable()
        return found

    def require_readable(self) -> None:
        """Raise BadRequest, naming the filters that cannot be read."""
        if self.unreadable:
            text = gettext("A filter cannot be read, or what it names is gone (%(filters)s).")
            raise BadRequest(text % {"filters": "; ".join(self.unreadable)})


class FilteredAdmin:
    """Mixin for a model with a list that has filters."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return FilteredList


def name_unknown(value: str) -> str:
    """The choice of a filter that does not offer it, or whose object is gone."""
    return gettext("%(value)s (unknown)") % {"value": value}


def is_readable(spec: admin.ListFilter) -> bool:
    """Whether a filter knows what was chosen; one that has its own `is_readable` is asked."""
    chosen = _read_chosen(spec)
    if hasattr(spec, "is_readable"):
        return bool(spec.is_readable())
    match spec:
        case admin.SimpleListFilter():
            offered = {str(value) for value, _ in spec.lookup_choices}
        case admin.BooleanFieldListFilter():
            offered = {str(value) for value in (0, 1, False, True)}
        case admin.ChoicesFieldListFilter():
            offered = {str(value) for value, _ in spec.field.flatchoices}
        case admin.RelatedFieldListFilter():
            offered = {str(value) for value, _ in spec.lookup_choices}
        case admin.AllValuesFieldListFilter():
            offered = {str(value) for value in spec.lookup_choices} if chosen else set()
        case _:  # by a column, whatever the value
            return True
    return offered.issuperset(chosen)


def _read_chosen(spec: admin.ListFilter) -> list[str]:
    every = [value if isinstance(value, list) else [value] for value in spec.used_parameters.values()]
    return [str(one) for values in every for one in values if one not in ("", None)]


def _offer_unknown(spec: Any) -> None:
    """Offer what was chosen, so that the page shows it and it can be cleared."""
    choices = getattr(spec, "lookup_choices", None)
    if isinstance(choices, list):
        offered = {str(value) for value, _ in choices}
        choices += [(one, name_unknown(one)) for one in _read_chosen(spec) if one not in offered]
    else:
        spec.choices = partial(_add_unknown, spec.choices, _read_chosen(spec))


def _add_unknown(choices: Callable[[Any], Iterator[dict[str, Any]]], chosen: list[str], changelist: Any) -> Any:
    """The choices of a filter that makes them itself: a field of a form, or links."""
    found = list(choices(changelist))
    forms = [choice["form"] for choice in found if "form" in choice]
    for field in (field for form in forms for field in form.fields.values()):
        if isinstance(field, ChoiceField):  # a time that cannot be read stays in its field, with the fault
            offered: Any = field.choices
            field.choices = [*offered, *((one, name_unknown(one)) for one in chosen)]
    query = changelist.get_query_string()
    links = [] if forms else [{"selected": True, "query_string": query, "display": name_unknown(one)} for one in chosen]
    return iter([*found, *links])


def _match_nothing(request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
    return queryset.none()
