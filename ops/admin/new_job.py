"""Submit a job with a form generated from its type's declaration, or as an edited copy of another job."""

import re
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext, gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget, UnfoldBooleanWidget

from jobs import actions, calendars, service
from jobs.errors import InvalidJob
from jobs.models import CampaignClock, Job
from jobs.registry import JobType, Payload, all_types
from jobs.service import Submission
from jobs.slices import SlicedPayload
from jobs.states import Priority
from ops.admin import job_action, payload_form
from ops.admin.base import ConfirmPast, actor_of, reason_field, redirect, render_page
from ops.labels import label
from ops.reads import subjects
from ops.reads.job import name_all
from ops.undo import SUBMIT
from scheduler_project import request_origin
from scheduler_project.text import LONGEST_ID, is_job_id

OFFERED = 200  #: campaigns in the autocomplete list


class NewJobForm(ConfirmPast):
    """The fields of one job type. The service validates them, and errors appear under their fields."""

    campaign_id = forms.CharField(
        label=gettext_lazy("Campaign"),
        max_length=LONGEST_ID,
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"list": "campaigns", "autocomplete": "off"}),
    )
    is_unknown_meant = forms.BooleanField(
        required=False,
        widget=forms.HiddenInput,
        label=gettext_lazy("The ID is right: the scheduler has not seen it yet"),
    )
    is_subject_meant = forms.BooleanField(
        required=False, widget=forms.HiddenInput, label=gettext_lazy("The ID is right: submit anyway")
    )
    priority = forms.TypedChoiceField(
        required=False, coerce=int, empty_value=None, widget=UnfoldAdminSelectWidget(), label=gettext_lazy("Priority")
    )
    reason = reason_field(placeholder="", help_text=gettext_lazy("Optional; for the audit trail."))

    def __init__(self, *args: Any, declared: JobType, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.declared = declared
        self.payload = payload_form.fields_of(declared)
        for name in self.payload.keys() & subjects.KINDS.keys():
            self.payload[name].widget.attrs |= {"list": f"known-{name}", "autocomplete": "off"}
        self.sets_due = (
            declared.payload.due_at not in (Payload.due_at, SlicedPayload.due_at)
            or declared.payload.world_time_due is not Payload.world_time_due
        )
        unknown, subject, past = (self.fields.pop(f"is_{what}_meant") for what in ("unknown", "subject", "past"))
        campaign, priority, reason = (self.fields.pop(name) for name in ("campaign_id", "priority", "reason"))
        campaign.required = not declared.all_campaigns
        campaign.help_text = gettext("Leave empty for all campaigns.") if declared.all_campaigns else ""
        names = [(str(p.value), label(p.name)) for p in sorted(Priority, reverse=True)]
        default = gettext("Default (%(priority)s)") % {"priority": label(declared.priority.name)}
        priority.choices = [("", default), *names]  # type: ignore[attr-defined]
        self.fields |= {"campaign_id": campaign, "is_unknown_meant": unknown}
        for name, field in self.payload.items():
            self.fields |= {name: field, **({"is_subject_meant": subject} if name in subjects.KINDS else {})}
        self.fields |= {"is_subject_meant": subject, "priority": priority}
        if not self.sets_due:
            self.fields["due_at"] = payload_form.moment_field(
                required=False, label=gettext("Due"), help_text=gettext("Leave empty to run it now.")
            )
        self.fields |= {"is_past_meant": past, "reason": reason}

    def clean_campaign_id(self) -> str:
        """The ID, also where the name of one campaign was given; one that is not known is asked about first."""
        given: str = self.cleaned_data["campaign_id"]
        known = CampaignClock.objects.order_by()
        if not given or known.filter(pk=given).exists() or not known.exists():
            return given
        named = list(known.filter(name=given).values_list("pk", flat=True)[:2])
        if len(named) == 1:
            return str(named[0])
        if not self.data.get("is_unknown_meant"):
            self.fields["is_unknown_meant"].widget = UnfoldBooleanWidget()
            raise forms.ValidationError(gettext("No campaign with this ID is known. Correct or confirm it."))
        return given

    def clean(self) -> dict[str, Any]:
        calendar = calendars.of(self.cleaned_data.get("campaign_id", ""))
        values, faults = payload_form.read_world_times(self.payload, super().clean() or {}, calendar)
        self.cleaned_data = values
        for name, fault in faults.items():
            self.add_error(name, fault)
        if not self.errors:
            self._replace_names(values)
            try:
                wanted = self.to_submission()
                service.check(wanted)
                due = wanted.due_at or self.declared.parse(wanted.payload).due_at()
                self.ask_about_past(self._find_due_field(), due)
            except InvalidJob as bad:
                self.add_error(self._find_field(bad.field), self._with_labels(str(bad).removeprefix(f"{bad.field}: ")))
        if not self.errors and not values.get("is_subject_meant"):
            self._ask_about_subjects(values)
        return values

    def _replace_names(self, values: dict[str, Any]) -> None:
        """Replace the names of settlements and the like by their IDs."""
        for name in self.payload.keys() & subjects.KINDS.keys():
            if values.get(name):
                values[name] = subjects.find_named(name, values["campaign_id"], values[name])

    def _ask_about_subjects(self, values: dict[str, Any]) -> None:
        """Ask about what is not known, unless a copy has it from its original."""
        for name in self.payload.keys() & subjects.KINDS.keys():
            if not values.get(name) or values[name] == self.initial.get(name):
                continue
            if doubt := subjects.find_doubt(name, values["campaign_id"], values[name]):
                self.fields["is_subject_meant"].widget = UnfoldBooleanWidget()
                self.add_error(name, doubt)

    def _with_labels(self, fault: str) -> str:
        """The fault with the fields' labels for their names, unless a name is a word of any sentence, such as "to"."""
        named = {name: field.label for name, field in self.payload.items() if not name.islower()}
        return capfirst(re.sub(r"\w+", lambda word: f"“{named[word[0]]}”" if word[0] in named else word[0], fault))

    def _find_field(self, field: str) -> str | None:
        """The form's field for a field of the job; None puts the error above the form."""
        name = {"campaignId": "campaign_id", "dueAt": "due_at"}.get(
            field, field.removeprefix("payload.").partition("[")[0]
        )
        return name if name in self.fields else None

    def _find_due_field(self) -> str:
        moments = (name for name, field in self.payload.items() if isinstance(field, payload_form.MomentField))
        return next(moments, "due_at")

    def to_submission(self) -> Submission:
        values = self.cleaned_data
        return Submission(
            type=self.declared.name,
            campaign_id=values["campaign_id"],
            payload=payload_form.as_json({name: values.get(name) for name in self.payload}),
            priority=values["priority"],
            due_at=values.get("due_at"),
            request_id=request_origin.current().request_id or uuid4().hex,
        )


def view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """The form for `?type=`, filled in from the job in `?copy=`, or for the campaign in `?campaign=`."""
    if not model_admin.has_add_permission(request):
        raise PermissionDenied
    original = _find_original(request)
    name_all([original] if original else [])
    types = all_types()
    name = request.GET.get("type") or (original.type if original else "")
    declared = types.get(name) or min(types.values(), key=lambda one: (not one.opens_form, one.name))
    campaign = request.GET.get("campaign", "")[:LONGEST_ID]
    initial = (
        _read_initial(original, declared) if original and original.type == declared.name else {"campaign_id": campaign}
    )
    form = NewJobForm(request.POST if request.method == "POST" else None, declared=declared, initial=initial)
    if request.method == "POST" and form.is_valid():
        return _submit(request, form, original)
    rest = f"&copy={original.pk}" if original else f"&{urlencode({'campaign': campaign})}" if campaign else ""
    context = {
        "title": gettext("Duplicate and edit") if original else gettext("New job"),
        "form": form,
        "original": original,
        "declared": declared,
        "tabs": [{"name": label(n), "query": f"?type={n}{rest}", "active": n == declared.name} for n in sorted(types)],
        "campaigns": CampaignClock.objects.order_by("name")[:OFFERED],
        "picked": sorted(form.payload.keys() & subjects.KINDS.keys()),
    }
    return render_page(request, "ops/new_job.html", context, opts=model_admin.opts, status=400 if form.errors else 200)


def known_view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """The pick list of `?field=` in the campaign of the form; for htmx."""
    if not model_admin.has_add_permission(request):
        raise PermissionDenied
    field = request.GET.get("field", "")
    if field not in subjects.KINDS:
        raise Http404
    known = subjects.find_known(
        field, request.GET.get("campaign_id", "")[:LONGEST_ID], request.GET.get(field, "")[:LONGEST_ID]
    )
    return render(request, "ops/known.html", {"known": known})


def _find_original(request: HttpRequest) -> Job | None:
    wanted = request.GET.get("copy", "")
    return Job.objects.filter(pk=wanted).first() if is_job_id(wanted) else None


def _read_initial(original: Job, declared: JobType) -> dict[str, Any]:
    payload = original.payload
    if original.type == declared.name:
        with suppress(InvalidJob):  # a payload that this release cannot read fills in what it has in common
            payload = declared.upgrade(payload, original.payload_version)
    payload = payload_form.as_initial(declared, payload)
    return {**payload, "campaign_id": original.campaign_id, "priority": original.priority}


def _submit(request: HttpRequest, form: NewJobForm, original: Job | None) -> HttpResponse:
    actor = actor_of(request)
    reason = form.cleaned_data["reason"].strip()
    submission = form.to_submission()
    with transaction.atomic():
        action = actions.begin(SUBMIT, actor=actor, reason=reason)
        if original:
            job, new = service.submit_copy(submission, of=original, actor=actor, reason=reason, action=action)
        else:
            job, new = service.submit(submission, actor=actor, reason=reason, action=action)
        actions.count(action, moved=int(new), skipped=int(not new))
    url = reverse("admin:jobs_job_change", args=[job.pk])
    if new:
        return redirect(request, url, gettext("Job submitted."), undo=job_action.offer(request, action)[0])
    return redirect(request, url, gettext("An identical job already exists: nothing was added."), messages.WARNING)
