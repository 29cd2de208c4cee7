"""Bulk actions on a selection of jobs or on a whole filter: dry run, confirmation, steps, result."""

from typing import Any, Final
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminTextInputWidget

from jobs import actions
from jobs.errors import InvalidJob
from jobs.models import Job, JobAction
from jobs.submission import check_due
from ops import bulk
from ops.admin import job_action, selection
from ops.admin.base import ConfirmPast, actor_of, find_way_back, reason_field, redirect, render_page
from ops.admin.payload_form import MomentField
from ops.labels import label_of_left
from ops.reads.job import name_all
from ops.verbs import VERBS, Verb, fill

SAMPLES: Final = 5  #: jobs that the dry run lists by name


class BulkActionForm(ConfirmPast):
    reason = reason_field(autofocus=True)
    due_at = MomentField(
        required=False,
        label=gettext_lazy("New due time"),
        widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local", "step": "1"}),
    )
    until = forms.UUIDField(required=False, widget=forms.HiddenInput)
    after = forms.UUIDField(required=False, widget=forms.HiddenInput)
    states = forms.CharField(required=False, max_length=200, widget=forms.HiddenInput)

    def __init__(self, *args: Any, verb: Verb, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if verb.name == "reschedule":
            self.fields["due_at"].required = True
        else:
            del self.fields["due_at"], self.fields["is_past_meant"]
        self.order_fields(["reason", "due_at", "is_past_meant"])

    def clean(self) -> dict[str, Any]:
        self.ask_about_past("due_at", self.cleaned_data.get("due_at"))
        return self.cleaned_data


def is_allowed(request: HttpRequest, verb: Verb) -> bool:
    return request.user.has_perm(verb.permission)


def confirm_or_run(model_admin: Any, request: HttpRequest, verb_name: str, jobs: QuerySet[Job]) -> HttpResponse:
    """Show the dry run, or run the action once it is confirmed."""
    verb = VERBS[verb_name]
    if not is_allowed(request, verb):
        raise PermissionDenied
    confirmed = "confirmed" in request.POST
    form = BulkActionForm(request.POST if confirmed else None, verb=verb)
    if confirmed and form.is_valid():
        try:
            return _run(model_admin, request, verb, jobs, form.cleaned_data)
        except InvalidJob as bad:
            form.add_error("due_at", capfirst(str(bad).removeprefix(f"{bad.field}: ")))
            if "step" in request.POST:
                return JsonResponse({"error": str(bad)}, status=400)
    elif confirmed and "step" in request.POST:
        return JsonResponse({"error": "; ".join(f"{k}: {v[0]}" for k, v in form.errors.items())}, status=400)
    return _confirm(model_admin, request, verb, jobs, form)


def _confirm(
    model_admin: Any, request: HttpRequest, verb: Verb, jobs: QuerySet[Job], form: BulkActionForm
) -> HttpResponse:
    dry_run = bulk.dry_run(verb, jobs, _split_states(request.POST.get("states", "")))
    across = request.POST.get("select_across") == "1"
    samples = list(jobs.filter(state__in=[s.value for s in verb.allowed]).order_by("-pk")[:SAMPLES])
    name_all(samples)
    context = {
        "title": fill(verb.asks, dry_run.total),
        "verb": verb,
        "dry_run": dry_run,
        "form": form,
        "across": across,
        "chosen": [] if across else request.POST.getlist(ACTION_CHECKBOX_NAME),
        "checkbox": ACTION_CHECKBOX_NAME,
        "floor": request.__dict__.get("_floor"),
        "filtered": request.META.get("QUERY_STRING", ""),
        "back": _find_origin(request),
        "samples": samples,
    }
    return render_page(request, "ops/bulk_action.html", context, opts=model_admin.opts)


def _run(
    model_admin: Any, request: HttpRequest, verb: Verb, jobs: QuerySet[Job], answers: dict[str, Any]
) -> HttpResponse:
    if verb.name == "reschedule":  # before the action is recorded
        check_due(answers["due_at"], "dueAt", timezone.now())
    until: UUID = answers["until"] or bulk.dry_run(verb, jobs).until
    action = actions.begin(
        verb.name,
        actor=actor_of(request),
        reason=answers["reason"].strip(),
        step_of=until,
        selection=selection.describe(request, model_admin),
        due_at=answers.get("due_at"),
    )
    shown, may_discard = _split_states(answers["states"]), request.user.has_perm("jobs.discard_job")
    if "step" in request.POST:
        done = bulk.step(action, jobs, after=answers["after"], until=until, shown=shown, may_discard=may_discard)
        answer = {
            "done": done.done,
            "left": {label_of_left(why): n for why, n in done.skipped.items()},
            "after": done.after and str(done.after),
        }
        return JsonResponse(answer if done.after else {**answer, **_last_words(request, action)})
    progress = bulk.run(action, jobs, until=until, shown=shown, may_discard=may_discard)
    level = messages.WARNING if progress.skipped else messages.SUCCESS
    undo_url, never = job_action.offer(request, action)
    text = f"{progress.sentence(verb)} {never}".strip()
    return redirect(request, _find_origin(request), text, level, undo=undo_url)


def _split_states(text: str) -> list[str]:
    """The states that a page showed, before the dry run or in it."""
    return [state for state in text.split(",") if state]


def _last_words(request: HttpRequest, action: JobAction) -> dict[str, str]:
    """What the last step says about the whole action: how to take it back, or why that cannot be done."""
    undo_url, never = job_action.offer(request, action)
    return {"undo": undo_url, "never": never, "action": reverse("admin:jobs_jobaction", args=[action.pk])}


def _find_origin(request: HttpRequest) -> str:
    """The URL to return to: the job's page, or the list with its filter."""
    return find_way_back(request, request.get_full_path() if request.GET else reverse("admin:jobs_job_changelist"))
