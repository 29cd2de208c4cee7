"""Permissions of the alerts' pages, and where their actions return to."""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone

from monitoring.models import MonitorState
from ops.admin.base import ReadOnly, is_own_url


def may_see(request: HttpRequest) -> bool:
    """Return whether the user may see alerts: everybody who may see jobs, acknowledge alerts or manage handlers."""
    return request.user.has_perm("jobs.view_job") or may_acknowledge(request) or may_manage(request)


def may_acknowledge(request: HttpRequest) -> bool:
    """Return whether the user may acknowledge and resolve alerts."""
    return request.user.has_perm("jobs.acknowledge_alerts")


def may_manage(request: HttpRequest) -> bool:
    """Return whether the user may edit alert handlers, and send messages again."""
    return request.user.has_perm("jobs.manage_alerts")


class MonitorWrites(ReadOnly):
    """Mixin for models that only the monitor writes; each action needs a permission."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may_see(request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return may_see(request)

    def has_manage_permission(self, request: HttpRequest) -> bool:
        return may_manage(request)

    def has_acknowledge_permission(self, request: HttpRequest) -> bool:
        return may_acknowledge(request)


def monitor_runs() -> bool:
    return MonitorState.objects.filter(until__gt=timezone.now()).exists()


def back(request: HttpRequest) -> HttpResponse | None:
    """Redirect to the page whose button was pressed; None means the list."""
    url = request.POST.get("back", "")
    return HttpResponseRedirect(url) if is_own_url(request, url) else None
