"""Jobs: inspect, search, submit, retry, cancel, reschedule, run now."""

from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.urls import path
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy
from unfold.admin import ModelAdmin, checkbox
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from jobs.models import Job
from jobs.registry import all_types
from jobs.states import State
from jobs.waits import wait_in
from ops.admin import bulk_actions, export, job_action, job_types, new_job, upcoming
from ops.admin.changelist import RANGES, JobList, KeyPaginator, search
from ops.admin.filters import (
    AdvanceFilter,
    CampaignFilter,
    DueRange,
    FailureFilter,
    FinishedRange,
    SourceFilter,
    StateFilter,
    TypeFilter,
    WaitsFilter,
    WorkerFilter,
    with_offsets,
)
from ops.humanize import abridge
from ops.labels import waiting_for
from ops.reads.advance import advance_of
from ops.reads.job import find_verbs, read_page
from ops.reads.moves import find_first_due
from ops.templatetags import ops
from ops.verbs import VERBS
from scheduler_project.languages import PerLanguage
from scheduler_project.text import is_job_id, job_id

_FIELDS = Job._meta.get_fields()
_checkbox: Final = PerLanguage[str]()
_PLACE: Final = "ID-OF-JOB"


if TYPE_CHECKING:
    JobAdminBase = admin.ModelAdmin[Job]
else:
    JobAdminBase = ModelAdmin


@admin.register(Job)
class JobAdmin(JobAdminBase):
    list_display = ("task", "state_badge", "campaign", "due", "finished", "attempts", "error_line")
    list_display_links = ("task",)
    list_filter = (
        StateFilter,
        TypeFilter,
        WaitsFilter,
        ("priority", ChoicesDropdownFilter),
        SourceFilter,
        CampaignFilter,
        WorkerFilter,
        FailureFilter,
        AdvanceFilter,
        DueRange,
        FinishedRange,
    )
    list_filter_submit = True
    show_facets = admin.ShowFacets.NEVER  # counting each choice of each filter is too slow with a million jobs
    list_fullwidth = True
    list_before_template = "ops/tabs.html"
    list_after_template = "ops/no_jobs.html"
    says_when_empty = True  # ops/no_jobs.html does
    search_fields = ("id",)  # shows the search box; changelist.search does the search
    search_help_text = gettext_lazy("ID, campaign, entity, payload or error")
    ordering = ("-id",)
    sortable_by = ()
    show_full_result_count = False
    list_per_page = 25  # rendering a row costs more than finding it
    paginator = KeyPaginator
    change_form_template = "ops/job.html"
    actions = ["retry", "run_now", "reschedule", "cancel", "discard", "restore"]
    readonly_fields = tuple(f.name for f in _FIELDS if not f.auto_created and f.name != "unique_key")

    @admin.display(description=SafeString(checkbox.render("action_toggle_all", 1)))
    def action_checkbox(self, job: Job) -> SafeString:
        """As unfold's, but the widget's templates, which take as long as the rest of a row, are rendered once."""
        shown = _checkbox.get(lambda: checkbox.render(ACTION_CHECKBOX_NAME, _PLACE))
        return SafeString(shown.replace(_PLACE, str(job.pk)))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return JobList

    def get_urls(self) -> Any:
        wrap = self.admin_site.admin_view
        return [
            path("export/<slug:kind>/", wrap(self.export_view), name="jobs_job_export"),
            path("upcoming/", wrap(upcoming.show), name="jobs_upcoming"),
            path("types/", wrap(job_types.show_all), name="jobs_types"),
            path("types/<str:name>/", wrap(job_types.show), name="jobs_type"),
            path("add/known/", wrap(self.known_view), name="jobs_job_known"),
            *super().get_urls(),
        ]

    def known_view(self, request: HttpRequest) -> HttpResponse:
        return new_job.known_view(self, request)

    def export_view(self, request: HttpRequest, kind: str) -> HttpResponseBase:
        if not (self.has_view_permission(request) and request.user.has_perm("jobs.export_jobs")):
            raise PermissionDenied
        if kind not in ("csv", "json"):
            raise Http404
        if request.method != "GET":
            return HttpResponseNotAllowed(["GET"])
        try:
            changelist: Any = self.get_changelist_instance(request)
        except IncorrectLookupParameters:
            raise BadRequest(gettext("The list cannot be filtered by these parameters.")) from None
        changelist.require_readable()
        return export.stream(request, changelist.queryset, kind)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Times in the address get their offsets; a step of an action hears in JSON why it is refused."""
        elsewhere = with_offsets(request, *RANGES) if request.method == "GET" else None
        try:
            return elsewhere or super().changelist_view(request, extra_context)
        except BadRequest as bad:
            if "step" not in request.POST:
                raise
            return JsonResponse({"error": str(bad)}, status=400)

    def response_action(self, request: HttpRequest, queryset: QuerySet[Job], *more: Any) -> Any:
        """Refuse selected ids that cannot be a job's."""
        chosen = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if request.POST.get("select_across") != "1" and not all(map(is_job_id, chosen)):
            raise BadRequest(gettext("No job has this ID."))
        return super().response_action(request, queryset, *more)

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Job], search_term: str) -> Any:
        """As `changelist.search`; the confirmation of an action carries where the search of its dry run ended."""
        found, floor = search(queryset, search_term, job_id(request.POST.get("floor", "")))
        request.__dict__["_floor"] = floor
        return found, False

    @admin.display(description=gettext_lazy("job"))
    def task(self, job: Job) -> str:
        return job.task

    @admin.display(description=gettext_lazy("campaign"))
    def campaign(self, job: Job) -> str:
        return job.campaign_name or "all"

    @admin.display(description=gettext_lazy("attempts"))
    def attempts(self, job: Job) -> int:
        return job.attempts

    @admin.display(description=gettext_lazy("state"))
    def state_badge(self, job: Job) -> str:
        waits = waiting_for(job.error) if job.state == State.RETRYING else ""
        return render_to_string("ops/state.html", {**ops.state(job.state, job.may_have_been_applied), "waits": waits})

    @admin.display(description=gettext_lazy("due"))
    def due(self, job: Job) -> str:
        return ops.job_due(job)

    @admin.display(description=gettext_lazy("ended"))
    def finished(self, job: Job) -> str:
        return render_to_string("ops/moment.html", ops.moment(job.finished_at))

    @admin.display(description=gettext_lazy("error"))
    def error_line(self, job: Job) -> str:
        """How its last attempt failed; a wait is no error."""
        return "" if wait_in(job.error) else abridge(job.error, 80)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None) -> Any:
        return new_job.view(self, request)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Job | None:
        """Cached for the request: Django's change view asks for it again."""
        read: dict[str, Job | None] = request.__dict__.setdefault("_jobs_read", {})
        if object_id not in read:
            read[object_id] = super().get_object(request, object_id, from_field)
        return read[object_id]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        """A job's page, with the verbs that its state and the user's permissions allow."""
        job = self.get_object(request, object_id)
        if job is not None:
            verbs = [verb for verb in find_verbs(job) if bulk_actions.is_allowed(request, verb)]
            declared = all_types().get(job.type)
            page = read_page(job, timezone.now())
            extra_context = {
                "job_page": page,
                "first_due": find_first_due(job),
                **job_action.offer_for_one(request, job, page["last"]),
                "verbs": verbs,
                "advance": advance_of(job),
                "is_declared": declared is not None,
                "batch": declared.batch if declared else 1,
                **(extra_context or {}),
            }
        return super().change_view(request, object_id, form_url, extra_context)

    def has_change_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        """Nobody edits a job; it changes by actions only."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        """Only retention deletes jobs."""
        return False

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return bulk_actions.is_allowed(request, VERBS["retry"])

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return bulk_actions.is_allowed(request, VERBS["cancel"])

    def has_discard_permission(self, request: HttpRequest) -> bool:
        return bulk_actions.is_allowed(request, VERBS["discard"])

    def has_run_now_permission(self, request: HttpRequest) -> bool:
        return bulk_actions.is_allowed(request, VERBS["run_now"])

    def has_reschedule_permission(self, request: HttpRequest) -> bool:
        return bulk_actions.is_allowed(request, VERBS["reschedule"])

    def has_restore_permission(self, request: HttpRequest) -> bool:
        return bulk_actions.is_allowed(request, VERBS["restore"])

    @admin.action(description=gettext_lazy("Retry…"), permissions=["retry"])
    def retry(self, request: HttpRequest, jobs: QuerySet[Job]) -> HttpResponse:
        return bulk_actions.confirm_or_run(self, request, "retry", jobs)

    @admin.action(description=gettext_lazy("Discard…"), permissions=["discard"])
    def discard(self, request: HttpRequest, jobs: QuerySet[Job]) -> HttpResponse:
        return bulk_actions.confirm_or_run(self, request, "discard", jobs)

    @admin.action(description=gettext_lazy("Cancel…"), permissions=["cancel"])
    def cancel(self, request: HttpRequest, jobs: QuerySet[Job]) -> HttpResponse:
        return bulk_actions.confirm_or_run(self, request, "cancel", jobs)

    @admin.action(description=gettext_lazy("Restore…"), permissions=["restore"])
    def restore(self, request: HttpRequest, jobs: QuerySet[Job]) -> HttpResponse:
        return bulk_actions.confirm_or_run(self, request, "restore", jobs)

    @admin.action(description=gettext_lazy("Run now…"), permissions=["run_now"])
    def run_now(self, request: HttpRequest, jobs: QuerySet[Job]) -> HttpResponse:
        return bulk_actions.confirm_or_run(self, request, "run_now", jobs)

    @admin.action(description=gettext_lazy("Reschedule…"), permissions=["reschedule"])
    def reschedule(self, request: HttpRequest, jobs: QuerySet[Job]) -> HttpResponse:
        return bulk_actions.confirm_or_run(self, request, "reschedule", jobs)
