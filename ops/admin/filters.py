"""The filters of the list of jobs."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import F, QuerySet
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext, gettext_lazy
from unfold.contrib.filters.admin import DropdownFilter

from jobs.models import CampaignClock, FailureGroup, Job, WorldAdvance
from jobs.registry import all_types
from jobs.state_counts import HAVE_TO_WAIT
from jobs.states import State
from jobs.waits import Wait, error_of
from ops.admin.base import read_key
from ops.admin.due_pages import is_by_due
from ops.admin.filtered_list import name_unknown
from ops.admin.payload_form import YEARS, MomentField, moment_field
from ops.admin.tiles import ANY_WAIT, NOT_WAITING, WAITS
from ops.labels import STATES, label
from ops.reads.advance import Advance


def hide_index(queryset: QuerySet[Any], field: str) -> tuple[QuerySet[Any], str]:
    """The query and a name for the field by which it can be filtered without an index of the field."""
    return queryset.alias(**{f"_{field}": Coalesce(F(field), F(field))}), f"_{field}"


class _ByField:
    """Mixin for a filter of one column, `lookup`, by the chosen value."""

    lookup: str
    value: Any

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        lookup = self.lookup
        if lookup in ("type", "campaign_id") and is_by_due(request.GET):
            queryset, lookup = hide_index(queryset, lookup)  # the list is read by due time
        return queryset.filter(**{lookup: self.value()})


class StateFilter(_ByField, admin.SimpleListFilter):
    """Rendered as the tabs above the list."""

    title = gettext_lazy("state")
    parameter_name = lookup = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(s.value, str(STATES[s])) for s in State]


class TypeFilter(_ByField, DropdownFilter):
    """Offers the declared types, so that no query scans all rows; a link may name another."""

    title = gettext_lazy("type")
    parameter_name = lookup = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        known, chosen = [(name, label(name)) for name in sorted(all_types())], self.value()
        return known if chosen in {None, "", *all_types()} else [*known, (str(chosen), name_unknown(str(chosen)))]

    def is_readable(self) -> bool:
        """Jobs of a type that is no longer declared stay until retention."""
        chosen = self.value()
        return chosen in {None, "", *all_types()} or Job.objects.filter(type=chosen).exists()


class WaitsFilter(DropdownFilter):
    """What jobs have to wait for, apart from those that failed."""

    title, parameter_name = gettext_lazy("waiting for"), "waits"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        kinds = [(wait.value, gettext(words)) for wait, words in WAITS.items()]
        return [(NOT_WAITING, gettext("nothing but its time")), (ANY_WAIT, gettext("anything else")), *kinds]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        if chosen in (ANY_WAIT, NOT_WAITING):
            return queryset.filter(HAVE_TO_WAIT if chosen == ANY_WAIT else ~HAVE_TO_WAIT)
        if chosen in list(Wait):
            return queryset.filter(HAVE_TO_WAIT, error__startswith=f"{error_of(Wait(chosen))}:")
        return queryset.none() if chosen else queryset


class _ChosenByLink(_ByField, DropdownFilter):
    """A filter set by a link from another page; shown only while it is set, so that it can be cleared."""

    is_found = False

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        chosen = str(self.value() or "")
        found = self.label(chosen) if chosen else ""
        self.is_found = bool(found)
        return [(chosen, found or name_unknown(chosen))] if chosen else []

    def is_readable(self) -> bool:
        return self.is_found or not self.value()

    def label(self, chosen: str) -> str:
        """The name of the choice; empty if it does not exist."""
        return chosen


class FailureFilter(_ChosenByLink):
    title = gettext_lazy("failure")
    parameter_name = "failure"
    lookup = "failure_key"

    def label(self, chosen: str) -> str:
        group = FailureGroup.objects.filter(pk=chosen).first()
        return str(group) if group else ""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Dead letters only: a job that was retried keeps its key."""
        chosen: Any = super().queryset(request, queryset)
        return chosen.in_state(State.DEAD) if self.value() else chosen  # type: ignore[no-any-return]


class CampaignFilter(_ChosenByLink):
    title = gettext_lazy("campaign")
    parameter_name = "campaign_id__exact"
    lookup = "campaign_id"

    def label(self, chosen: str) -> str:
        clock = CampaignClock.objects.filter(pk=chosen).first()
        return f"{clock.name} ({chosen})" if clock and clock.name else chosen


class WorkerFilter(_ChosenByLink):
    """Jobs whose current or latest attempt ran on one worker."""

    title = gettext_lazy("worker")
    lookup = "worker"
    parameter_name = "worker__exact"


class AdvanceFilter(_ChosenByLink):
    """The jobs that an advance of world time brought."""

    title = gettext_lazy("advance")
    parameter_name = "advance"

    def label(self, chosen: str) -> str:
        advance = _find_advance(chosen)
        return str(advance) if advance else ""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        advance = _find_advance(str(self.value()))
        return queryset.filter(Advance(advance).condition) if advance else queryset.none()


def _find_advance(chosen: str) -> WorldAdvance | None:
    key = read_key(chosen)
    return WorldAdvance.objects.filter(pk=key).first() if key else None


class SourceFilter(_ByField, DropdownFilter):
    """By the kind of actor that submitted the job; jobs/actor.py lists them."""

    title = gettext_lazy("source")
    parameter_name = "from"
    lookup = "source__startswith"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("user:", gettext("a person")),
            ("token:", gettext("the HTTP API")),
            ("cron:", gettext("a cron task")),
            ("listener", gettext("a message")),
            ("job:", gettext("another job")),
            ("scheduler", gettext("a schedule row")),
        ]


def read_moment(text: str, *, ends: bool = False) -> datetime | None:
    """A time that begins or `ends` a range, in the user's time zone; None if it is empty or invalid.

    A time that the clock shows twice, or never, widens the range.
    """
    text = text.strip()
    try:
        moment: datetime | None = MomentField(required=False).clean(text)
    except forms.ValidationError:
        return _read_by_fold(text, ends=ends)
    return moment


def _read_by_fold(text: str, *, ends: bool) -> datetime | None:
    try:
        local = parse_datetime(text)
    except ValueError:
        return None
    if local is None or timezone.is_aware(local) or not YEARS[0] <= local.year <= YEARS[1]:
        return None
    zone = timezone.get_current_timezone()
    both = [local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    return max(both) if ends else min(both)


def _is_end(name: str) -> bool:
    """Whether a parameter is the end of a range."""
    return name.endswith(("_to", "until"))


def with_offsets(request: HttpRequest, *names: str) -> HttpResponse | None:
    """Redirect to the same address with offsets in its times, so that everybody reads the same; None if it has them."""
    query = request.GET.copy()
    for name in names:
        text = request.GET.get(name, "")
        moment = read_moment(text, ends=_is_end(name))
        if moment and parse_datetime(text.strip()) != moment:
            query[name] = timezone.localtime(moment).isoformat()
    return None if query == request.GET else HttpResponseRedirect(f"?{query.urlencode()}")


class _Range(admin.ListFilter):
    """A time range, open at either end, in the user's time zone."""

    template = "ops/range_filter.html"
    field = ""

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        for name in self.expected_parameters():
            if name in params:
                value = params.pop(name)
                self.used_parameters[name] = value[-1] if isinstance(value, list) else value
        self.form = forms.Form(self.used_parameters or None)
        self.form.fields = {
            f"{self.field}_from": moment_field(required=False, label=gettext("From")),
            f"{self.field}_to": moment_field(required=False, label=gettext("To")),
        }

    def expected_parameters(self) -> list[str | None]:
        return [f"{self.field}_from", f"{self.field}_to"]

    def has_output(self) -> bool:
        return True

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        yield {"form": self.form}

    def _read(self) -> Iterator[tuple[str, datetime | None]]:
        """The text and the time of either end."""
        for name in map(str, self.expected_parameters()):
            text = str(self.used_parameters.get(name, "")).strip()
            yield text, read_moment(text, ends=_is_end(name))

    def is_readable(self) -> bool:
        return all(moment or not text for text, moment in self._read())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Jobs within the range.

        An index on the time is not used unless the list is read by due time: sorting by key is slower.
        """
        since, until = (moment for _, moment in self._read())
        if not (since or until):
            return queryset
        by_due = self.field == "due_at" and is_by_due(request.GET)
        found, name = (queryset, self.field) if by_due else hide_index(queryset, self.field)
        found = found.filter(**{f"{name}__gte": since}) if since else found
        return found.filter(**{f"{name}__lte": until}) if until else found


class DueRange(_Range):
    title, field = gettext_lazy("due"), "due_at"


class FinishedRange(_Range):
    title, field = gettext_lazy("ended"), "finished_at"
