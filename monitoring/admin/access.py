"""Who may see and do what on the pages of alerts, and where an action leads back to."""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme

from jobs import actor as actors
from monitoring.models import MonitorState
from ops.admin.base import ReadOnly


def may_see(request: HttpRequest) -> bool:
    """Who may see jobs may see what is wrong with them."""
    return request.user.has_perm("jobs.view_job") or may_manage(request)


def may_manage(request: HttpRequest) -> bool:
    """Acknowledge and resolve alerts, and edit who is notified."""
    return request.user.has_perm("jobs.manage_alerts")


class MonitorWrites(ReadOnly):
    """For lists that the monitor writes: seen by all who see jobs, acted on by those who manage alerts."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Everybody who may see jobs."""
        return may_see(request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """As to see them."""
        return may_see(request)

    def has_manage_permission(self, request: HttpRequest) -> bool:
        """Who may use the actions."""
        return may_manage(request)


def actor_of(request: HttpRequest) -> str:
    """The person, as the audit trail has it."""
    return actors.user(request.user.get_username())


def monitor_runs() -> bool:
    """Whether a monitor is the active one."""
    return MonitorState.objects.filter(until__gt=timezone.now()).exists()


def back(request: HttpRequest) -> HttpResponse | None:
    """To the page that the button stood on; None: the list."""
    url = request.POST.get("back", "")
    fits = url_has_allowed_host_and_scheme(url, allowed_hosts={request.get_host()}, require_https=request.is_secure())
    return HttpResponseRedirect(url) if url and fits else None
