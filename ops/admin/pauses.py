"""Pauses, processes and the circuit breaker, with their buttons."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.text import capfirst
from redis import RedisError
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from jobs import control, pauses
from jobs.errors import InvalidPause, Refused
from jobs.models import CampaignClock, Pause, PauseKind
from jobs.processes.heartbeat import ROLES
from jobs.registry import all_types
from ops.admin.base import ReasonForm, actor_of, redirect, render_page
from ops.reads import active_orders
from scheduler_project.text import LONGEST_ID, plain

MOST_CAMPAIGNS: Final = 500  #: offered by name; any other can be entered by its id
_LENGTHS: Final = [
    ("", "until somebody resumes it"), ("15", "for 15 minutes"), ("60", "for an hour"), ("240", "for 4 hours"),
    ("1440", "for a day"),
]  # fmt: skip

if TYPE_CHECKING:
    PauseAdminBase = admin.ModelAdmin[Pause]
else:
    PauseAdminBase = ModelAdmin


class PauseForm(ReasonForm):
    what = forms.ChoiceField(required=False, label="What", widget=UnfoldAdminSelectWidget())
    campaign = forms.CharField(
        required=False,
        max_length=LONGEST_ID,
        label="or a campaign by its id",
        widget=UnfoldAdminTextInputWidget(),
    )
    minutes = forms.ChoiceField(required=False, choices=_LENGTHS, label="How long", widget=UnfoldAdminSelectWidget())
    until = forms.DateTimeField(
        required=False, label="or until", widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local"})
    )
    field_order = ("what", "campaign", "minutes", "until", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        campaigns = CampaignClock.objects.order_by("name").values_list("pk", "name")[:MOST_CAMPAIGNS]
        offered = {
            PauseKind.QUEUE: [(name, name) for name in settings.RQ_QUEUES],
            PauseKind.TYPE: [(name, name) for name in sorted(all_types())],
            PauseKind.CAMPAIGN: [(key, name or key) for key, name in campaigns],
        }
        groups = [(k.label.capitalize(), [(f"{k}:{key}", name) for key, name in o]) for k, o in offered.items() if o]
        self.fields["what"].choices = [("", "choose …"), *groups]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """Exactly one queue, type or campaign must be named."""
        values = super().clean() or {}
        if bool(values.get("what")) == bool(values.get("campaign")):
            self.add_error("what", "choose one, or name a campaign")
        return values

    def target(self) -> tuple[str, str]:
        kind, _, name = str(self.cleaned_data["what"]).partition(":")
        return (kind, name) if name else (PauseKind.CAMPAIGN.value, self.cleaned_data["campaign"])

    def end(self, now: datetime) -> datetime | None:
        minutes, until = self.cleaned_data["minutes"], self.cleaned_data["until"]
        return until or (now + timedelta(minutes=int(minutes)) if minutes else None)


class BreakerForm(ReasonForm):
    state = forms.ChoiceField(choices=[(s, s) for s in (*control.FORCIBLE, control.AUTOMATIC)])


def require(permission: str) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """Require jobs.view_job for the view, and `permission` for a POST."""

    def guard(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @wraps(view)
        def guarded(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            needed = permission if request.method == "POST" else "jobs.view_job"
            if not request.user.has_perm(needed):
                raise PermissionDenied
            return view(self, request, *args, **kwargs)

        return guarded

    return guard


@admin.register(Pause)
class PauseAdmin(PauseAdminBase):
    """Pages of their own in place of Django's lists and forms."""

    def get_urls(self) -> Any:
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.overview), name="jobs_pause_changelist"),
            path("processes/", wrap(self.processes), name="jobs_processes"),
            path("processes/stop/", wrap(self.stop_process), name="jobs_stop_process"),
            path("breaker/", wrap(self.breaker), name="jobs_breaker"),
        ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Pause | None = None) -> bool:
        return False

    @require("jobs.pause_jobs")
    def overview(self, request: HttpRequest) -> HttpResponse:
        form = PauseForm(request.POST if "pause" in request.POST else None, initial=_read_link(request))
        if "resume" in request.POST:
            return self._resume(request)
        if form.is_bound and form.is_valid():
            kind, name = form.target()
            try:
                until = form.end(timezone.now())
                pause = pauses.pause(
                    kind, name, until=until, actor=actor_of(request), reason=form.cleaned_data["reason"]
                )
                return self._redirect(request, f"{capfirst(pauses.as_sentence(pause))}. What runs goes on to its end.")
            except InvalidPause as bad:
                form.add_error("until" if bad.field == "until" else "what", str(bad))
        active = [(pause, _count_blocked(pause)) for pause in pauses.active()]
        context = {"title": "Pauses", "form": form, "active": active, "history": pauses.history()}
        return self._page(request, "ops/control/pauses.html", context, "jobs.pause_jobs")

    def _resume(self, request: HttpRequest) -> HttpResponse:
        kind, _, name = plain(request.POST["resume"]).partition(":")
        resumed = pauses.resume(kind, name, actor=actor_of(request), reason=request.POST.get("reason", ""))
        if resumed:
            return self._redirect(request, f"Resumed {kind} {name}: its jobs run again.")
        return self._redirect(request, f"{kind} {name} was not paused any more.", messages.WARNING)

    @require("jobs.pause_jobs")
    def processes(self, request: HttpRequest) -> HttpResponse:
        try:
            processes, fault = control.processes(), ""
        except RedisError as error:
            processes, fault = [], f"Redis does not answer: {error}"
        missing = [role for role in ROLES if all(process.role != role or process.lost for process in processes)]
        context = {"title": "Processes", "processes": processes, "missing": missing, "fault": fault}
        return self._page(request, "ops/control/processes.html", context, "jobs.pause_jobs")

    @require("jobs.pause_jobs")
    def stop_process(self, request: HttpRequest) -> HttpResponse:
        """Ask for confirmation, then ask the process to stop."""
        if not request.user.has_perm("jobs.pause_jobs"):
            raise PermissionDenied
        key = request.POST.get("key") or request.GET.get("key", "")
        form = ReasonForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                process = control.ask_to_stop(key, actor=actor_of(request), reason=form.cleaned_data["reason"])
            except Refused as refused:
                return self._redirect(request, str(refused), messages.WARNING, page="jobs_processes")
            text = f"The {process.role} {process.pid} on {process.host} stops after its current jobs."
            return self._redirect(request, text, page="jobs_processes")
        found = next((process for process in control.processes() if process.key == key), None)
        context = {"title": "Stop this process?", "process": found, "form": form}
        return self._page(request, "ops/control/stop_process.html", context, "jobs.pause_jobs")

    @require("jobs.control_breaker")
    def breaker(self, request: HttpRequest) -> HttpResponse:
        form = BreakerForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            state = form.cleaned_data["state"]
            control.set_breaker(state, actor=actor_of(request), reason=form.cleaned_data["reason"])
            active_orders.expire()
            text = "automatic again" if state == control.AUTOMATIC else f"forced {state}, for all processes"
            return self._redirect(request, f"The circuit breaker is {text}.", page="jobs_breaker")
        context = {
            "title": "Circuit breaker",
            "form": form,
            "blocked": control.count_held_by_breaker(),
            **_read_breaker(),
        }
        return self._page(request, "ops/control/breaker.html", context, "jobs.control_breaker")

    def _page(self, request: HttpRequest, template: str, context: dict[str, Any], permission: str) -> HttpResponse:
        return render_page(request, template, {**context, "allowed": request.user.has_perm(permission)})

    def _redirect(
        self, request: HttpRequest, text: str, level: int = messages.SUCCESS, page: str = "jobs_pause_changelist"
    ) -> HttpResponse:
        return redirect(request, reverse(f"admin:{page}"), text, level)


def _read_link(request: HttpRequest) -> dict[str, str]:
    """Initial values from ?what=queue:low or ?what=campaign:c-1."""
    what = request.GET.get("what", "")
    kind, _, name = what.partition(":")
    return {"campaign": name} if kind == PauseKind.CAMPAIGN else {"what": what}


def _count_blocked(pause: Pause) -> int | None:
    try:
        return active_orders.count_blocked(pause)
    except RedisError:  # the page shows the pauses without the counts
        return None


def _read_breaker() -> dict[str, Any]:
    breaker = control.breaker()
    try:
        return {"breaker": breaker.snapshot(), "errors": breaker.recent_errors(), "fault": ""}
    except RedisError as error:
        return {"breaker": breaker.snapshot(), "errors": [], "fault": f"Redis does not answer: {error}"}
