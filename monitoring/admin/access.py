"""Permissions of the alerts' pages, and where their actions return to."""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone

from monitoring.models import MonitorState
from ops.admin.base import ReadOnly, is_own_url


def may_see(request: HttpRequest) -> bool:
    """Return whether the user may see alerts: everybody who may see jobs or manage alerts."""
    return request.user.has_perm("jobs.view_job") or may_manage(request)


def may_manage(request: HttpRequest) -> bool:
    """Return whether the user may acknowledge and resolve alerts, and edit alert handlers."""
    return request.user.has_perm("jobs.manage_alerts")


class MonitorWrites(ReadOnly):
    """Mixin for models that only the monitor writes; the actions need permission to manage alerts."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may_see(request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return may_see(request)

    def has_manage_permission(self, request: HttpRequest) -> bool:
        return may_manage(request)


def monitor_runs() -> bool:
    return MonitorState.objects.filter(until__gt=timezone.now()).exists()


def back(request: HttpRequest) -> HttpResponse | None:
    """Redirect to the page whose button was pressed; None means the list."""
    url = request.POST.get("back", "")
    return HttpResponseRedirect(url) if is_own_url(request, url) else None
