"""The audit trail: who did what, when, why and from where; moves of jobs and actions on everything else in one list."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.text import format_lazy
from django.utils.translation import gettext, gettext_lazy
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminTextInputWidget

from jobs import pauses
from jobs.models import AuditEntry
from jobs.states import State
from ops import undo
from ops.admin import job_action, operator_action
from ops.admin import pauses as pause_pages
from ops.admin.base import ReadOnly, read_key, render_page
from ops.admin.filters import with_offsets
from ops.admin.payload_form import moment_field
from ops.reads import audit_trail
from ops.reads.audit_trail import Cursor, TrailFilters, TrailLine
from ops.reads.job import name_all
from ops.reads.job_actions import named_jobs
from scheduler_project.text import StrOrPromise

if TYPE_CHECKING:
    AuditAdminBase = admin.ModelAdmin[AuditEntry]
else:
    AuditAdminBase = ModelAdmin

SCOPES = (("people", gettext_lazy("Operators")), ("all", gettext_lazy("All activity")))


def _text(label: StrOrPromise, placeholder: StrOrPromise) -> forms.CharField:
    widget = UnfoldAdminTextInputWidget(attrs={"placeholder": placeholder})
    return forms.CharField(label=label, required=False, max_length=200, widget=widget)


class TrailForm(forms.Form):
    who = _text(gettext_lazy("Who"), gettext_lazy("ann, cron:nightly"))
    what = _text(gettext_lazy("What"), format_lazy("{}, {}", State.DEAD.value, gettext_lazy("paused, a job's ID")))
    why = _text(gettext_lazy("Why"), gettext_lazy("In the reason or error"))
    origin = _text(gettext_lazy("Source"), gettext_lazy("IP address or request ID"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        labels = {"since": gettext("Since"), "until": gettext("Until")}
        for name, label in labels.items():  # created here: their help text names the request's time zone
            self.fields[name] = moment_field(required=False, label=label)


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnly, AuditAdminBase):
    def get_urls(self) -> Any:
        return [*job_action.urls(self.admin_site), *operator_action.urls(self.admin_site), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if elsewhere := with_offsets(request, "since", "until"):
            return elsewhere
        form = TrailForm(request.GET)
        filters: dict[str, Any] = form.cleaned_data if form.is_valid() else {}
        scope = request.GET.get("scope", "")
        scope = scope if scope in dict(SCOPES) else "people"
        actions = request.user.has_perm("jobs.view_operatoraction")
        question = TrailFilters(**filters, people_only=scope != "all", actions=actions)
        found = (
            audit_trail.read_page(question, _read_cursor(request)) if form.is_valid() else audit_trail.Page([], None)
        )
        statuses = [line.status for line in found.lines if line.status]
        name_all([*(line.job for line in found.lines if line.job), *named_jobs(statuses)])
        context = {
            "title": gettext("Audit trail"),
            "form": form,
            "page": found,
            "narrowed": any(filters.values()) or not form.is_valid(),
            "later": "before" in request.GET,
            "scope": scope,
            "tabs": [
                {"name": name, "query": _build_query(request, scope=key), "active": scope == key}
                for key, name in SCOPES
            ],
            "newest": _build_query(request),
            "older": _build_query(request, before=_write_cursor(found.older)) if found.older else "",
            "undo_urls": _find_undo_urls(request, found.lines),
        }
        return render_page(request, "ops/trail.html", {**context, **(extra_context or {})}, opts=self.opts)


def _build_query(request: HttpRequest, **changes: str) -> str:
    """The current query with changes, from the newest line."""
    query = request.GET.copy()
    query.pop("before", None)
    for name, value in changes.items():
        query[name] = value
    return f"?{query.urlencode()}"


def _read_cursor(request: HttpRequest) -> Cursor:
    entry, action, job_action, *_ = [*request.GET.get("before", "").split("."), "", "", ""]
    return Cursor(read_key(entry), read_key(action), read_key(job_action))


def _write_cursor(cursor: Cursor) -> str:
    return ".".join(str(key or "") for key in cursor)


def _find_undo_urls(request: HttpRequest, lines: Sequence[TrailLine]) -> dict[str, str]:
    """Where to post to, by line, to take back what can be taken back and the user may."""
    may = request.user.has_perm
    urls = {
        line.key: job_action.undo_url(line.job_action)
        for line in lines
        if line.job_action and line.status and line.status.is_open and undo.is_permitted(line.job_action, may)
    }
    acts = {line.key: line.action for line in lines if line.action and line.action.undo}
    found = operator_action.find_undo_urls(request, acts.values())
    urls |= {key: found[action.pk] for key, action in acts.items() if action.pk in found}
    if may("jobs.pause_jobs"):
        undoable = pauses.find_undoable(action.undo for action in acts.values()) if acts else set()
        urls |= {key: pause_pages.undo_url(act.undo) for key, act in acts.items() if act.undo in undoable}
    return urls
