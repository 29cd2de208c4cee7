"""Cron tasks: edit with a preview, enable, disable, run now, and the history of firings."""

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy, ngettext
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminSelectWidget

from jobs.cron import tasks as cron_tasks
from jobs.errors import InvalidJob, StateConflict
from jobs.models import CronFiring, CronTask, Job
from jobs.registry import all_types
from ops.admin import operator_action
from ops.admin.base import actor_of, read_key, redirect
from ops.admin.cron_form import FIELDS, CronTaskForm, DisableForm
from ops.admin.filtered_list import FilteredAdmin
from ops.admin.guarded_form import GuardedAdmin
from ops.admin.payload_form import JSONField
from ops.labels import label
from ops.reads import cron as cron_page
from scheduler_project.cron_sentence import sentence

if TYPE_CHECKING:
    CronTaskAdminBase = admin.ModelAdmin[CronTask]
else:
    CronTaskAdminBase = ModelAdmin

_UNDO: Final = "ops.undo"  #: of the request: from save_model to the message about it, which Django writes


@admin.register(CronTask)
class CronTaskAdmin(FilteredAdmin, GuardedAdmin, CronTaskAdminBase):
    form = CronTaskForm
    list_display = ("task_name", "means", "fires_next", "is_on", "last", "misfire")
    list_display_links = ("task_name",)
    list_filter = ("enabled",)
    show_facets = admin.ShowFacets.NEVER
    list_before_template = "ops/list_style.html"
    search_fields = ("name", "type", "campaign_id")
    sortable_by = ()
    actions = ["run_now", "enable", "disable"]
    change_form_before_template = "ops/cron_preview_box.html"
    change_form_outer_before_template = "ops/cron_head.html"
    change_form_outer_after_template = "ops/cron_history.html"

    def get_urls(self) -> list[Any]:
        site = self.admin_site.admin_view
        verbs = (("run-now", self.run_one), ("enable", self.enable_one), ("disable", self.disable_one))
        own = [path(f"<int:pk>/{name}/", site(view), name=f"jobs_crontask_{name}") for name, view in verbs]
        return [path("preview/", site(self.preview), name="jobs_crontask_preview"), *own, *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[CronTask]:
        last = CronFiring.objects.filter(task=OuterRef("pk"), job_id__isnull=False).order_by("-id")
        job = Job.objects.filter(pk=OuterRef("last_job_id"))
        return (
            super()
            .get_queryset(request)
            .annotate(last_job_id=Subquery(last.values("job_id")[:1]))
            .annotate(
                last_state=Subquery(job.values("state")[:1]),
                last_started=Subquery(job.values("started_at")[:1]),
                last_finished=Subquery(job.values("finished_at")[:1]),
            )
        )

    @admin.display(description=gettext_lazy("task"))
    def task_name(self, task: CronTask) -> str:
        return render_to_string("ops/cron_name.html", {"task": task})

    @admin.display(description=gettext_lazy("fires"))
    def means(self, task: CronTask) -> str:
        return render_to_string("ops/cron_means.html", {"task": task, "sentence": sentence(task.expression)})

    @admin.display(description=gettext_lazy("next"))
    def fires_next(self, task: CronTask) -> str:
        return render_to_string(
            "ops/cron_next.html", {"task": task, "overdue": cron_page.is_overdue(task, timezone.now())}
        )

    @admin.display(description=gettext_lazy("enabled"))
    def is_on(self, task: CronTask) -> str:
        return render_to_string("ops/cron_on.html", {"task": task})

    @admin.display(description=gettext_lazy("last result"))
    def last(self, task: Any) -> str:
        ran = cron_page.duration_of(task.last_state, task.last_started, task.last_finished)
        return render_to_string("ops/cron_last.html", {"task": task, "ran": ran})

    def get_fields(self, request: HttpRequest, obj: CronTask | None = None) -> Any:
        """The reason only for users who may change the task."""
        return (*FIELDS, "reason") if self.has_change_permission(request, obj) else FIELDS

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Hundreds of runs are counted and not listed, which hid the buttons below them."""
        listed, *rest = super().get_deleted_objects(objs, request)
        return [one for one in listed if not isinstance(one, list)], *rest

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "type":
            return forms.ChoiceField(
                label=gettext("Type"),
                choices=[("", gettext("Choose…")), *((name, label(name)) for name in sorted(all_types()))],
                widget=UnfoldAdminSelectWidget(),
            )
        if db_field.name == "payload":
            kwargs["form_class"] = JSONField
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Add the preview, the buttons and the firings to the form."""
        task = self.get_object(request, object_id) if object_id else None
        expression = request.POST.get("expression", task.expression if task else "")
        zone = request.POST.get("time_zone", task.time_zone if task else "UTC")
        extra = {
            "task": task,
            "preview": cron_page.preview(expression, zone, timezone.now()),
            "overdue": task is not None and cron_page.is_overdue(task, timezone.now()),
            "history": cron_page.read_history(task, read_key(request.GET.get("before", ""))) if task else None,
            "may_act": self.has_change_permission(request),
        }
        return super().changeform_view(request, object_id, form_url, {**extra, **(extra_context or {})})

    def preview(self, request: HttpRequest) -> HttpResponse:
        """The fragment that htmx loads while the user types."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = cron_page.preview(request.GET.get("expression", ""), request.GET.get("time_zone", ""), timezone.now())
        return TemplateResponse(request, "ops/cron_preview.html", {"preview": found})

    def save_model(self, request: HttpRequest, obj: CronTask, form: Any, change: bool) -> None:
        """Record who changed what, and why, in the same transaction."""
        reason = form.cleaned_data.get("reason", "")
        if not obj.enabled:
            obj.disabled_reason = reason or obj.disabled_reason
        with transaction.atomic():
            before = CronTask.objects.select_for_update().filter(pk=obj.pk).first() if change else None
            if before:  # it may have fired since the form was read
                obj.last_fired_at = before.last_fired_at
            super().save_model(request, obj, form, change)
            names = cron_tasks.SETTINGS if change else [name for name in form.changed_data if name in FIELDS]
            pairs = {name: (getattr(before, name, None), getattr(obj, name)) for name in names}
            changes = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
            if changes:
                cron_tasks.record_change(obj, changes, new=not change, actor=actor_of(request), reason=reason)
                request.META[_UNDO] = self._offer_undo(request, obj)

    def delete_model(self, request: HttpRequest, obj: CronTask) -> None:
        with transaction.atomic():
            cron_tasks.record_deletion(obj, actor=actor_of(request))
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[CronTask]) -> None:
        for task in queryset:
            self.delete_model(request, task)

    @admin.action(description=gettext_lazy("Run now"), permissions=["change"])
    def run_now(self, request: HttpRequest, tasks: QuerySet[CronTask]) -> None:
        """Report each refused task by name; the others are still submitted."""
        jobs = []
        for task in tasks:
            try:
                jobs.append(cron_tasks.run_now(task, actor=actor_of(request)))
            except InvalidJob as bad:
                self.message_user(
                    request,
                    gettext("%(name)s is not submitted: %(reason)s") % {"name": task.name, "reason": bad},
                    messages.ERROR,
                )
        if jobs:
            self.message_user(
                request,
                ngettext("Submitted %(count)s job.", "Submitted %(count)s jobs.", len(jobs)) % {"count": len(jobs)},
                messages.SUCCESS,
            )

    @admin.action(description=gettext_lazy("Enable"), permissions=["change"])
    def enable(self, request: HttpRequest, tasks: QuerySet[CronTask]) -> None:
        asleep = [task for task in tasks if cron_tasks.enable(task, actor=actor_of(request))]
        self.message_user(
            request,
            ngettext("Enabled %(count)s task.", "Enabled %(count)s tasks.", len(asleep)) % {"count": len(asleep)},
            messages.SUCCESS,
        )

    @admin.action(description=gettext_lazy("Disable"), permissions=["change"])
    def disable(self, request: HttpRequest, tasks: QuerySet[CronTask]) -> None:
        awake = []
        for task in tasks.filter(enabled=True):
            with suppress(StateConflict):  # somebody else has, until another time
                awake += [task] if cron_tasks.disable(task, until=None, actor=actor_of(request)) else []
        self.message_user(
            request,
            ngettext("Disabled %(count)s task.", "Disabled %(count)s tasks.", len(awake)) % {"count": len(awake)},
            messages.SUCCESS,
        )

    def run_one(self, request: HttpRequest, pk: int) -> HttpResponse:
        task = self._get_posted(request, pk)
        try:
            job = cron_tasks.run_now(task, actor=actor_of(request), reason=request.POST.get("reason", "")[:500])
        except InvalidJob as bad:
            return self._redirect(request, task, gettext("Not submitted: %(reason)s") % {"reason": bad}, messages.ERROR)
        text = gettext("Job submitted: %(type)s. Its run is listed below.")
        return self._redirect(request, task, text % {"type": label(job.type)})

    def enable_one(self, request: HttpRequest, pk: int) -> HttpResponse:
        task = self._get_posted(request, pk)
        if not cron_tasks.enable(task, actor=actor_of(request), reason=request.POST.get("reason", "")[:500]):
            return self._redirect(request, task, gettext("Nothing changed: it is enabled already."), messages.WARNING)
        text = gettext("Enabled: it fires from now on; missed runs are not caught up.")
        return self._redirect(request, task, text, undo=self._offer_undo(request, task))

    def disable_one(self, request: HttpRequest, pk: int) -> HttpResponse:
        task, form = self._get_posted(request, pk), DisableForm(request.POST)
        if not form.is_valid():
            return self._redirect(request, task, gettext("Not disabled: the time is not valid."), messages.ERROR)
        try:
            changed = cron_tasks.disable(task, actor=actor_of(request), **form.cleaned_data)
        except StateConflict as conflict:
            text = gettext("Not disabled again: %(reason)s. Change that in the form.")
            return self._redirect(request, task, text % {"reason": conflict}, messages.WARNING)
        except ValueError as bad:
            return self._redirect(request, task, gettext("Not disabled: %(reason)s.") % {"reason": bad}, messages.ERROR)
        if not changed:
            return self._redirect(request, task, gettext("Nothing changed: it is disabled already."), messages.WARNING)
        return self._redirect(request, task, gettext("Disabled."), undo=self._offer_undo(request, task))

    def _get_posted(self, request: HttpRequest, pk: int) -> CronTask:
        if request.method != "POST" or not self.has_change_permission(request):
            raise PermissionDenied
        return get_object_or_404(CronTask, pk=pk)

    def message_user(self, request: HttpRequest, message: Any, *args: Any, **kwargs: Any) -> None:
        """With an Undo where the form has changed a task."""
        if undo := request.META.get(_UNDO):
            kwargs["extra_tags"] = undo
        super().message_user(request, message, *args, **kwargs)

    def _offer_undo(self, request: HttpRequest, task: CronTask) -> str:
        return operator_action.offer(request, cron_tasks.undo_of(task))

    def _redirect(
        self, request: HttpRequest, task: CronTask, text: str, level: int = messages.SUCCESS, undo: str = ""
    ) -> HttpResponse:
        return redirect(request, reverse("admin:jobs_crontask_change", args=[task.pk]), text, level, undo=undo)
