"""The processes, with a button that asks one to stop."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext
from redis import RedisError

from jobs import control
from jobs.errors import Refused
from jobs.processes.heartbeat import ROLES
from ops.admin.base import ReasonForm, actor_of, redirect, render_page, require


@require("jobs.pause_jobs")
def overview(request: HttpRequest) -> HttpResponse:
    try:
        processes, fault = control.processes(), ""
    except RedisError as error:
        processes, fault = [], gettext("Redis does not answer: %(error)s") % {"error": error}
    missing = [role for role in ROLES if all(process.role != role or process.lost for process in processes)]
    context = {
        "title": gettext("Processes"),
        "processes": processes,
        "missing": missing,
        "fault": fault,
        "allowed": request.user.has_perm("jobs.pause_jobs"),
    }
    return render_page(request, "ops/control/processes.html", context)


@require("jobs.pause_jobs")
def stop(request: HttpRequest) -> HttpResponse:
    """Ask for confirmation, then ask the process to stop."""
    if not request.user.has_perm("jobs.pause_jobs"):
        raise PermissionDenied
    key = request.POST.get("key") or request.GET.get("key", "")
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            process = control.ask_to_stop(key, actor=actor_of(request), reason=form.cleaned_data["reason"])
        except Refused as refused:
            return redirect(request, reverse("admin:jobs_processes"), str(refused), messages.WARNING)
        text = gettext("The %(role)s %(pid)s on %(host)s stops after its current jobs.") % {
            "role": process.role,
            "pid": process.pid,
            "host": process.host,
        }
        return redirect(request, reverse("admin:jobs_processes"), text)
    found = next((process for process in control.processes() if process.key == key), None)
    context = {"title": gettext("Stop this process?"), "process": found, "form": form, "allowed": True}
    return render_page(request, "ops/control/stop_process.html", context)
