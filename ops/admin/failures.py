"""Failures: dead letters grouped by error, with retry, discard, note and acknowledge for each group."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext, gettext_noop
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminTextareaWidget

from jobs import failures, state_counts
from jobs.errors import StateConflict
from jobs.models import CampaignClock, FailureGroup
from ops.admin import bulk_actions, operator_action
from ops.admin.base import ReasonForm, actor_of, redirect, render_page
from ops.reads import failures as failure_page
from ops.reads import job as job_page
from ops.reads.failures import Failure
from ops.verbs import VERBS
from scheduler_project.moments import read_moment

if TYPE_CHECKING:
    FailureGroupAdminBase = admin.ModelAdmin[FailureGroup]
else:
    FailureGroupAdminBase = ModelAdmin

TABS: Final = (("open", gettext_noop("Open")), ("known", gettext_noop("Acknowledged")), ("all", gettext_noop("All")))
SAMPLES: Final = 10


class NoteForm(forms.Form):
    note = forms.CharField(
        required=False, max_length=failures.LONGEST_NOTE, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )
    #: The note as it was shown; a refresh keeps it, as it keeps the text that is being typed.
    shown = forms.CharField(required=False, widget=forms.HiddenInput(attrs={"data-keep": ""}))


@admin.register(FailureGroup)
class FailureGroupAdmin(FailureGroupAdminBase):
    def get_urls(self) -> list[Any]:
        site = self.admin_site.admin_view
        verbs = (("note", self.note), ("acknowledge", self.acknowledge), ("reopen", self.reopen))
        own = [path(f"<str:key>/{name}/", site(view), name=f"jobs_failuregroup_{name}") for name, view in verbs]
        return [*own, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Latest first; pages by (last_seen, key)."""
        self._require_view(request)
        which = request.GET.get("show", "open")
        which = which if which in dict(TABS) else "open"
        rows = failure_page.find_groups(which)
        seen, _, key = request.GET.get("before", "").rpartition("~")
        before = _read_moment(seen)
        if before:
            rows = rows.filter(Q(last_seen__lt=before) | Q(last_seen=before, key__gt=key))
        found = list(rows[: failure_page.PAGE + 1])
        last = found[failure_page.PAGE - 1] if len(found) > failure_page.PAGE else None
        counts = failure_page.count_groups()
        context = {
            "title": gettext("Failures"),
            "which": which,
            "tabs": [(name, gettext(text), counts[name]) for name, text in TABS],
            "failures": failure_page.describe(found[: failure_page.PAGE], timezone.now()),
            "older": f"{last.last_seen.isoformat()}~{last.key}" if last else "",
            "newest": bool(before),
        }
        return render_page(request, "ops/failures.html", context, opts=self.opts)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        self._require_view(request)
        group = get_object_or_404(FailureGroup, pk=object_id)
        return self._render(request, group, group.note)

    def _render(self, request: HttpRequest, group: FailureGroup, note: str) -> HttpResponse:
        """The page, with `note` in its form."""
        most = state_counts.MOST_COUNTED
        (failure,) = failure_page.describe([group], timezone.now(), looked_at=most)
        letters = list(failure_page.find_dead_letters(group.key).order_by("-pk")[:SAMPLES])
        job_page.name_all(letters)
        context = {
            "title": group.error,
            "failure": failure,
            "looked_at": most,
            "letters": letters,
            "campaigns": _count_campaigns(failure),
            "list": f"{reverse('admin:jobs_job_changelist')}?failure={group.key}",
            "verbs": [
                v for v in (VERBS["retry"], VERBS["discard"]) if failure.dead and bulk_actions.is_allowed(request, v)
            ],
            "may_note": self.has_change_permission(request),
            "note": NoteForm(initial={"note": note, "shown": group.note}),
            "reason": ReasonForm(),
        }
        return render_page(request, "ops/failure.html", context, opts=self.opts)

    def note(self, request: HttpRequest, key: str) -> HttpResponse:
        group, form = self._get_posted(request, key), NoteForm(request.POST)
        if not form.is_valid():
            return self._redirect(request, key, str(form.errors["note"][0]), messages.ERROR)
        group.note = form.cleaned_data["shown"]
        try:
            changed = failures.note(group, form.cleaned_data["note"], actor=actor_of(request))
        except StateConflict as conflict:
            text = gettext(
                "Not saved: %(reason)s. It says: “%(note)s”. Your text is below: save it again to replace it."
            )
            messages.warning(request, text % {"reason": conflict, "note": group.note})
            return self._render(request, group, form.cleaned_data["note"])
        if not changed:
            return self._redirect(request, key, gettext("Nothing changed: this is the note already."), messages.WARNING)
        undo = operator_action.offer(request, failures.undo_of(group))
        return self._redirect(request, key, gettext("Note saved."), undo=undo)

    def acknowledge(self, request: HttpRequest, key: str) -> HttpResponse:
        group, reason = self._get_posted(request, key), request.POST.get("reason", "")[:500]
        if not failures.acknowledge(group, actor=actor_of(request), reason=reason):
            text = gettext("Nothing changed: it is acknowledged already.")
            return self._redirect(request, key, text, messages.WARNING)
        undo = operator_action.offer(request, failures.undo_of(group))
        text = gettext("Acknowledged. It reopens if another job fails this way.")
        return self._redirect(request, key, text, undo=undo)

    def reopen(self, request: HttpRequest, key: str) -> HttpResponse:
        group, reason = self._get_posted(request, key), request.POST.get("reason", "")[:500]
        if not failures.reopen(group, actor=actor_of(request), reason=reason):
            return self._redirect(request, key, gettext("Nothing changed: it is open already."), messages.WARNING)
        return self._redirect(request, key, gettext("Reopened."))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: FailureGroup | None = None) -> bool:
        return False

    def _require_view(self, request: HttpRequest) -> None:
        if not (self.has_view_permission(request) and request.user.has_perm("jobs.view_job")):
            raise PermissionDenied

    def _get_posted(self, request: HttpRequest, key: str) -> FailureGroup:
        if request.method != "POST" or not self.has_change_permission(request):
            raise PermissionDenied
        return get_object_or_404(FailureGroup, pk=key)

    def _redirect(
        self, request: HttpRequest, key: str, text: str, level: int = messages.SUCCESS, undo: str = ""
    ) -> HttpResponse:
        return redirect(request, reverse("admin:jobs_failuregroup_change", args=[key]), text, level, undo=undo)


def _count_campaigns(failure: Failure) -> list[tuple[str, str, int]]:
    """The campaigns with most dead letters: id, name and count."""
    most = sorted(failure.by_campaign.items(), key=lambda one: -one[1])[:SAMPLES]
    names = dict(CampaignClock.objects.filter(pk__in=[pk for pk, _ in most]).values_list("pk", "name"))
    return [(pk, names.get(pk) or pk, n) for pk, n in most]


def _read_moment(text: str) -> datetime | None:
    try:
        return read_moment(text.replace(" ", "+"))
    except ValueError:
        return None
