"""The filters of the list of jobs; each keeps its choice in the address."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter

from jobs.models import CampaignClock, FailureGroup
from jobs.registry import all_types
from jobs.states import State
from ops.admin.payload_form import MomentField, moment_field


class StateFilter(admin.SimpleListFilter):
    """The state; shown as the tabs above the list."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Every state."""
        return [(s.value, s.value) for s in State]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Only jobs in the chosen state."""
        return queryset.filter(state=self.value()) if self.value() else queryset


class TypeFilter(DropdownFilter):
    """The job type; its choices are what is declared, never a walk over all rows."""

    title = "type"
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Every declared type."""
        return [(name, name) for name in sorted(all_types())]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Only jobs of the chosen type."""
        return queryset.filter(type=self.value()) if self.value() else queryset


class _ChosenByLink(DropdownFilter):
    """What a link from another page chose: shown while it is chosen, so that it is seen and can be taken away."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The one that is chosen."""
        chosen = request.GET.get(str(self.parameter_name), "")
        label = self.label(chosen) if chosen else ""
        return [(chosen, label)] if label else []

    def has_output(self) -> bool:
        """Shown while it is chosen."""
        return bool(self.lookup_choices)

    def label(self, chosen: str) -> str:
        """What the choice is called; empty: there is no such thing."""
        return chosen


class FailureFilter(_ChosenByLink):
    """Dead letters of one failure."""

    title = "failure"
    parameter_name = "failure"

    def label(self, chosen: str) -> str:
        """The failure."""
        group = FailureGroup.objects.filter(pk=chosen).first()
        return str(group) if group else ""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Only these, found by their index."""
        return queryset.in_state(State.DEAD).filter(failure_key=self.value()) if self.value() else queryset  # type: ignore[attr-defined]


class CampaignFilter(_ChosenByLink):
    """Jobs of one campaign."""

    title = "campaign"
    parameter_name = "campaign_id__exact"

    def label(self, chosen: str) -> str:
        """Its name, where it is known."""
        clock = CampaignClock.objects.filter(pk=chosen).first()
        return f"{clock.name} ({chosen})" if clock and clock.name else chosen

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Only these, found by their index."""
        return queryset.filter(campaign_id=self.value()) if self.value() else queryset


class WorkerFilter(_ChosenByLink):
    """Jobs that one worker runs, or was the last to run."""

    title = "worker"
    parameter_name = "worker__exact"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Only these."""
        return queryset.filter(worker=self.value()) if self.value() else queryset


class SourceFilter(DropdownFilter):
    """Who or what submitted it."""

    title = "source"
    parameter_name = "from"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The kinds of actors, see jobs/actor.py."""
        return [
            ("user:", "a person"), ("token:", "the HTTP API"), ("cron:", "a cron task"), ("listener", "a message"),
            ("job:", "another job"), ("scheduler", "a schedule row"),
        ]  # fmt: skip

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Only jobs of that source."""
        return queryset.filter(source__startswith=self.value()) if self.value() else queryset


def read_moment(text: str) -> datetime | None:
    """A moment as a range has it, in the time zone of the person who asks; None: there is none."""
    try:
        moment: datetime | None = MomentField(required=False).clean(text)
    except forms.ValidationError:
        return None
    return moment


class _Range(admin.ListFilter):
    """From one moment to another, either of them open; typed and read in the person's own time zone."""

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
            f"{self.field}_from": moment_field(required=False, label="From"),
            f"{self.field}_to": moment_field(required=False, label="To"),
        }

    def expected_parameters(self) -> list[str | None]:
        """Both ends."""
        return [f"{self.field}_from", f"{self.field}_to"]

    def has_output(self) -> bool:
        """Always offered."""
        return True

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        """The form is drawn by the template."""
        yield {"form": self.form}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Jobs between the two.

        Past any index on the moment: the list goes on by key, and sorting what an index finds would cost more.
        """
        since, until = (
            read_moment(str(self.used_parameters.get(str(name), ""))) for name in self.expected_parameters()
        )
        if not (since or until):
            return queryset
        within = (Q(_within__gte=since) if since else Q()) & (Q(_within__lte=until) if until else Q())
        found: QuerySet[Any] = queryset.alias(_within=Coalesce(F(self.field), F(self.field))).filter(within)
        return found


class DueRange(_Range):
    """When it is or was due."""

    title, field = "due", "due_at"


class FinishedRange(_Range):
    """When it ended."""

    title, field = "ended", "finished_at"
