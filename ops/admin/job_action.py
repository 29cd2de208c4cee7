"""An operator's action on jobs: its page with its jobs, and its Undo."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from jobs.models import AuditEntry, Job, JobAction
from jobs.states import State
from ops import undo
from ops.admin.base import actor_of, find_way_back, read_key, redirect, render_page
from ops.reads import job_actions
from ops.reads.job import name_all
from scheduler_project.text import is_job_id


def urls(site: admin.AdminSite) -> list[Any]:
    """Below the audit trail's."""
    return [
        path("actions/<int:pk>/", site.admin_view(show), name="jobs_jobaction"),
        path("actions/<int:pk>/undo/", site.admin_view(take_back), name="jobs_jobaction_undo"),
    ]


def offer(request: HttpRequest, action: JobAction) -> tuple[str, str]:
    """The address of the action's Undo, or a sentence why there is none; both are empty for nothing to take back."""
    if not undo.is_permitted(action, request.user.has_perm):
        return "", ""
    if undo.is_open(action):
        return undo_url(action), ""
    return "", str(undo.NEVER) if undo.is_never_undone(action) else ""


def offer_last(request: HttpRequest, done: Sequence[JobAction]) -> tuple[str, str]:
    """As `offer`, for the only one of some actions that moved jobs; empty for several, which the trail lists."""
    moved = JobAction.objects.filter(pk__in=[action.pk for action in done], jobs__gt=0)
    return offer(request, moved[0]) if len(moved) == 1 else ("", "")


def offer_for_one(request: HttpRequest, job: Job, last: AuditEntry | None) -> dict[str, str]:
    """For a job's page: where to take its last move back alone, and what that was; empty if it cannot be."""
    action = last.action if last else None
    if last is None or action is None or not undo.is_open_for(job, last):
        return {}
    if job.state == State.CANCELLED or not undo.is_permitted(action, request.user.has_perm):
        return {}  # a cancelled job has Restore
    return {"undo_url": undo_url(action), "undo_about": job_actions.describe_one(action, last.at, timezone.now())}


def undo_url(action: JobAction) -> str:
    return reverse("admin:jobs_jobaction_undo", args=[action.pk])


def show(request: HttpRequest, pk: int) -> HttpResponse:
    """Who did what, why and to which jobs, PAGE of them a page."""
    if not request.user.has_perm("jobs.view_auditentry"):
        raise PermissionDenied
    action = _find(pk)
    page = job_actions.read_page(action, read_key(request.GET.get("before", "")))
    name_all([one.job for one in page.moved if one.job])
    status = job_actions.read_statuses([action])[action.pk]
    context = {
        "title": job_actions.write_title(action),
        "did": job_actions.describe(action),
        "action": action,
        "page": page,
        "status": status,
        "later": "before" in request.GET,
        "undo_url": undo_url(action) if page.count_open and undo.is_permitted(action, request.user.has_perm) else "",
        "never": undo.NEVER if not page.count_open and undo.is_never_undone(action) else "",
    }
    return render_page(request, "ops/job_action.html", context)


@require_POST
def take_back(request: HttpRequest, pk: int) -> HttpResponse:
    """Undo the action, or what it did to the one job in `job`. A second press changes nothing."""
    action = _find(pk)
    if not undo.is_permitted(action, request.user.has_perm):
        raise PermissionDenied
    wanted = request.POST.get("job", "")
    job = Job.objects.filter(pk=wanted).first() if is_job_id(wanted) else None
    if wanted and job is None:
        raise Http404
    outcome, by = undo.take_back(action, actor=actor_of(request), job=job)
    back = find_way_back(request, reverse("admin:jobs_jobaction", args=[action.pk]))
    level = messages.WARNING if outcome.skipped or not outcome.done else messages.SUCCESS
    again = offer(request, by)[0] if by else ""
    never = f" {undo.NEVER}" if outcome.skipped and undo.is_never_undone(action) else ""
    return redirect(request, back, f"{outcome}{never}", level, undo=again)


def _find(pk: int) -> JobAction:
    action = JobAction.objects.filter(pk=pk).select_related("undoes").first() if pk < 2**63 else None
    if action is None:
        raise Http404
    return action
