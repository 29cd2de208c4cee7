"""The list of alerts and the page of one, with acknowledge and resolve."""

from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy, ngettext
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from jobs.actor import name_of
from jobs.models import CampaignClock, Job
from monitoring.admin.access import MonitorWrites, back, may_acknowledge, may_manage, monitor_runs
from monitoring.alerting import store
from monitoring.alerting.links import PAGES, TITLES, links_of, runbook_of
from monitoring.alerting.unreached import find_unreached
from monitoring.models import Alert, AlertHandler, Kind, Severity
from ops.admin import operator_action
from ops.admin.base import actor_of
from ops.admin.changelist import LimitedPaginator
from ops.admin.filtered_list import FilteredAdmin
from ops.reads.job import name_all
from ops.templatetags import ops
from scheduler_project.text import is_job_id

if TYPE_CHECKING:
    AlertAdminBase = admin.ModelAdmin[Alert]
else:
    AlertAdminBase = ModelAdmin

#: Icon and tone, because colour alone must not carry the meaning.
SEVERITIES: Final = {
    Severity.INFO: ("info", "calm"),
    Severity.WARNING: ("warning", "warn"),
    Severity.CRITICAL: ("error", "bad"),
}
STATUSES: Final = {
    "open": ("notifications_active", "bad"),
    "acknowledged": ("visibility", "busy"),
    "resolved": ("check_circle", "good"),
}
_OWN_CARDS: Final = (
    "jobs",
    "campaigns",
    "failure",
)  #: details with a card of their own, except in alerts raised by code


class StatusFilter(admin.SimpleListFilter):
    """Filters by status; without a choice it hides resolved alerts."""

    title = gettext_lazy("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("all", gettext("All")),
            ("open", gettext("Open")),
            ("acknowledged", gettext("Acknowledged")),
            ("resolved", gettext("Resolved")),
        ]

    def choices(self, changelist: Any) -> Any:
        for number, choice in enumerate(super().choices(changelist)):
            yield {**choice, "display": gettext("Not resolved")} if number == 0 else choice

    def queryset(self, request: HttpRequest, queryset: QuerySet[Alert]) -> QuerySet[Alert]:
        match self.value():
            case "all":
                return queryset
            case "resolved":
                return queryset.filter(resolved_at__isnull=False)
            case "open":
                return queryset.filter(resolved_at=None, acknowledged_at=None)
            case "acknowledged":
                return queryset.filter(resolved_at=None, acknowledged_at__isnull=False)
            case _:
                return queryset.filter(resolved_at=None)


@admin.register(Alert)
class AlertAdmin(FilteredAdmin, MonitorWrites, AlertAdminBase):
    list_display = ("title", "severity_badge", "status_badge", "count", "opened", "last", "who")
    list_display_links = ("title",)
    list_filter = (StatusFilter, ("severity", ChoicesDropdownFilter), ("kind", ChoicesDropdownFilter))
    show_facets = admin.ShowFacets.NEVER
    search_fields = ("title", "job_type")
    sortable_by = ()
    show_full_result_count = False
    paginator = LimitedPaginator
    actions = ("acknowledge", "resolve")
    change_form_template = "monitoring/alert.html"
    list_before_template = "monitoring/monitor_note.html"
    list_after_template = "monitoring/no_alerts.html"
    says_when_empty = True  # its own template does
    list_fullwidth = True

    @admin.display(description=gettext_lazy("severity"))
    def severity_badge(self, alert: Alert) -> str:
        return badge(str(Severity(alert.severity).label), *SEVERITIES[Severity(alert.severity)])

    @admin.display(description=gettext_lazy("status"))
    def status_badge(self, alert: Alert) -> str:
        return badge(alert.status_text, *STATUSES[alert.status])

    @admin.display(description=gettext_lazy("opened"))
    def opened(self, alert: Alert) -> str:
        return render_to_string("ops/moment.html", ops.moment(alert.opened_at))

    @admin.display(description=gettext_lazy("last"))
    def last(self, alert: Alert) -> str:
        return render_to_string("ops/moment.html", ops.moment(alert.last_at))

    @admin.display(description=gettext_lazy("by"))
    def who(self, alert: Alert) -> str:
        return name_of(alert.resolved_by or alert.acknowledged_by) or "-"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Show the list, with a note while no monitor is running."""
        return super().changelist_view(
            request, {"monitor_runs": monitor_runs(), "unreached": find_unreached(), **(extra_context or {})}
        )

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        alert = self.get_object(request, object_id)
        if alert is not None:
            of_code = alert.kind == Kind.CODE
            extra_context = {
                "alert": alert,
                "severity": badge(str(Severity(alert.severity).label), *SEVERITIES[Severity(alert.severity)]),
                "status": badge(alert.status_text, *STATUSES[alert.status]),
                "jobs": [] if of_code else _jobs(alert),
                "campaigns": [] if of_code else _campaigns(alert),
                "details": {k: v for k, v in alert.details.items() if of_code or k not in _OWN_CARDS},
                "deliveries": alert.deliveries.order_by("-id")[:50],
                "place": _page_of(alert),
                "place_title": gettext(TITLES[PAGES[alert.kind]]) if alert.kind in PAGES else "",
                "anybody_told": AlertHandler.objects.filter(enabled=True).exists(),
                "may_manage": may_manage(request),
                "links": links_of(alert),
                "runbook": runbook_of(alert.kind),
                "may_acknowledge": may_acknowledge(request),
                **(extra_context or {}),
            }
        return super().change_view(request, object_id, form_url, extra_context)

    @admin.action(description=gettext_lazy("Acknowledge"), permissions=["acknowledge"])
    def acknowledge(self, request: HttpRequest, alerts: QuerySet[Alert]) -> HttpResponse | None:
        chosen, selected = alerts[0] if alerts else None, alerts.count()
        done = store.acknowledge(alerts, actor=actor_of(request))
        text = ngettext("%(count)s alert acknowledged.", "%(count)s alerts acknowledged.", done)
        self._report(request, text, done, selected, self._offer_undo(request, chosen))
        return back(request)

    @admin.action(description=gettext_lazy("Resolve"), permissions=["acknowledge"])
    def resolve(self, request: HttpRequest, alerts: QuerySet[Alert]) -> HttpResponse | None:
        chosen, selected = alerts[0] if alerts else None, alerts.count()
        done = store.resolve(alerts, actor=actor_of(request))
        text = ngettext("%(count)s alert resolved.", "%(count)s alerts resolved.", done)
        self._report(request, text, done, selected, self._offer_undo(request, chosen))
        return back(request)

    def _offer_undo(self, request: HttpRequest, alert: Alert | None) -> str:
        return operator_action.offer(request, store.undo_of(alert)) if alert else ""

    def _report(self, request: HttpRequest, text: str, done: int, selected: int, undo: str) -> None:
        """With an Undo for one alert; the audit trail has one for each of several."""
        said, left = text % {"count": done}, selected - done
        if not left:
            self.message_user(request, said, messages.SUCCESS, extra_tags=undo if selected == 1 else "")
            return
        rest = ngettext("%(count)s was not changed.", "%(count)s were not changed.", left) % {"count": left}
        self.message_user(request, f"{said} {rest}", messages.WARNING)


def _page_of(alert: Alert) -> str:
    """Return the URL of the page for the alert's kind, or an empty string."""
    name = PAGES.get(alert.kind)
    return reverse(f"admin:{name}") if name else ""


def _jobs(alert: Alert) -> list[tuple[str, Job | None]]:
    """Return the alert's latest jobs by ID, latest first; None for those that retention has removed."""
    ids = list(map(str, reversed(alert.details.get("jobs", []))))
    found = {str(pk): job for pk, job in Job.objects.defer("traceback").in_bulk(list(filter(is_job_id, ids))).items()}
    name_all(list(found.values()))
    return [(pk, found.get(pk)) for pk in ids]


def _campaigns(alert: Alert) -> list[tuple[str, str, int]]:
    """Return the most affected campaigns: ID, name if known, and occurrences."""
    hit = alert.details.get("campaigns", {})
    names = dict(CampaignClock.objects.filter(pk__in=hit).values_list("pk", "name"))
    return [(pk, names.get(pk, ""), number) for pk, number in hit.items()]


def badge(text: str, icon: str, tone: str) -> str:
    return render_to_string("ops/state.html", {"state": text, "icon": icon, "tone": tone})
