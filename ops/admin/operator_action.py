"""Undo of operators' actions on everything but jobs: the address, and where it is offered."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from jobs import taking_back
from jobs.errors import Refused
from jobs.models import OperatorAction
from ops.admin.base import actor_of, find_way_back, redirect
from ops.reads import active_orders


def urls(site: admin.AdminSite) -> list[Any]:
    """Below the audit trail's."""
    return [path("operator/<int:pk>/undo/", site.admin_view(take_back), name="jobs_operatoraction_undo")]


def offer(request: HttpRequest, undo: str) -> str:
    """The address that takes back the latest action with this `undo`; empty if it cannot be, or by others only."""
    if not _may(request, undo):
        return ""
    latest = taking_back.find_latest(undo)
    return undo_url(latest) if latest else ""


def find_undo_urls(request: HttpRequest, actions: Iterable[OperatorAction]) -> dict[int, str]:
    """The addresses by the actions' IDs, of those that can be taken back and the user may."""
    permitted = [action for action in actions if _may(request, action.undo)]
    is_open = taking_back.find_open(permitted)
    return {action.pk: undo_url(action) for action in permitted if action.pk in is_open}


def undo_url(action: OperatorAction) -> str:
    return reverse("admin:jobs_operatoraction_undo", args=[action.pk])


@require_POST
def take_back(request: HttpRequest, pk: int) -> HttpResponse:
    """Undo the action. A second press changes nothing."""
    action = get_object_or_404(OperatorAction, pk=pk)
    if not _may(request, action.undo):
        raise PermissionDenied
    back = find_way_back(request, action.link or reverse("admin:jobs_auditentry_changelist"))
    try:
        taking_back.take_back(action, actor=actor_of(request))
    except Refused as refused:
        text = gettext("Nothing was undone: %(reason)s.") % {"reason": refused}
        return redirect(request, back, text, messages.WARNING)
    active_orders.expire()  # it may have been the breaker's
    text = gettext("Undone: %(target)s is as it was before.") % {"target": action.target}
    return redirect(request, back, text, undo=offer(request, action.undo))


def _may(request: HttpRequest, undo: str) -> bool:
    permission = taking_back.find_permission(undo)
    return bool(permission) and request.user.has_perm(permission)
