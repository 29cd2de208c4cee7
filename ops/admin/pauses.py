"""Pauses: those that are active, with their buttons, and the latest that ended."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_POST
from redis import RedisError
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget, UnfoldBooleanWidget

from jobs import pauses
from jobs.errors import InvalidPause, StateConflict
from jobs.models import CampaignClock, Pause, PauseKind
from jobs.registry import all_types
from ops.admin import breaker, limits, main_api, processes, roles
from ops.admin.base import ReasonForm, actor_of, find_way_back, redirect, render_page, require
from ops.admin.payload_form import MomentField, MomentInput
from ops.reads import active_orders
from scheduler_project.text import LONGEST_ID, fits_postgresql, plain

MOST_CAMPAIGNS: Final = 500  #: offered by name; any other can be entered by its id
_LENGTHS: Final = [
    ("", gettext_lazy("until resumed")),
    ("15", gettext_lazy("for 15 minutes")),
    ("60", gettext_lazy("for an hour")),
    ("240", gettext_lazy("for 4 hours")),
    ("1440", gettext_lazy("for a day")),
]

if TYPE_CHECKING:
    PauseAdminBase = admin.ModelAdmin[Pause]
else:
    PauseAdminBase = ModelAdmin


class PauseForm(ReasonForm):
    what = forms.ChoiceField(required=False, label=gettext_lazy("What"), widget=UnfoldAdminSelectWidget())
    campaign = forms.CharField(
        required=False,
        max_length=LONGEST_ID,
        label=gettext_lazy("Campaign ID or name"),
        widget=UnfoldAdminTextInputWidget(),
    )
    is_id_meant = forms.BooleanField(
        required=False, widget=forms.HiddenInput, label=gettext_lazy("Yes, it is the ID of a campaign to come")
    )
    minutes = forms.ChoiceField(
        required=False, choices=_LENGTHS, label=gettext_lazy("How long"), widget=UnfoldAdminSelectWidget()
    )
    until = MomentField(
        required=False,
        label=gettext_lazy("Custom end time"),
        widget=MomentInput(),
    )
    replaces = forms.IntegerField(
        required=False, min_value=1, widget=forms.HiddenInput()
    )  #: the ID of the pause that was shown
    field_order = ("what", "campaign", "is_id_meant", "minutes", "until", "reason")

    existing: Pause | None = None  #: the pause that this one replaces

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        campaigns = CampaignClock.objects.order_by("name").values_list("pk", "name")[:MOST_CAMPAIGNS]
        offered = {
            PauseKind.QUEUE: [(name, name) for name in settings.RQ_QUEUES],
            PauseKind.TYPE: [(name, name) for name in sorted(all_types())],
            PauseKind.CAMPAIGN: [(key, name or key) for key, name in campaigns],
        }
        groups = [(k.label.capitalize(), [(f"{k}:{key}", name) for key, name in o]) for k, o in offered.items() if o]
        what = self.fields["what"]
        if isinstance(what, forms.ChoiceField):
            what.choices = [("", gettext("Choose…")), *groups]

    def clean(self) -> dict[str, Any]:
        """Exactly one queue, type or campaign must be named, and one end at most."""
        values = super().clean() or {}
        if bool(values.get("what")) == bool(values.get("campaign")):
            self.add_error("what", gettext("Choose one, or enter a campaign."))
        if values.get("minutes") and values.get("until"):
            self.add_error("until", gettext("Choose how long, or enter an end time, not both."))
        if values.get("campaign") and not self.errors:
            self._find_campaign(values)
        return values

    def _find_campaign(self, values: dict[str, Any]) -> None:
        """A name becomes its ID; an ID that nobody has seen is asked about, for its pause would stop nothing."""
        typed = values["campaign"]
        if CampaignClock.objects.filter(pk=typed).exists():
            return
        named = list(CampaignClock.objects.filter(name__iexact=typed).order_by("pk").values_list("pk", flat=True)[:4])
        if len(named) == 1:
            values["campaign"] = named[0]
        elif named:
            text = gettext("Several campaigns have this name. Enter an ID, such as %(ids)s.")
            self.add_error("campaign", text % {"ids": ", ".join(named)})
        elif not values.get("is_id_meant"):
            text = gettext("The scheduler has seen no campaign with this ID or name. Correct or confirm it.")
            self.add_error("campaign", text)
            self.fields["is_id_meant"].widget = UnfoldBooleanWidget()

    def ask_about(self, existing: Pause) -> None:
        """Show the pause that there is, so that only the next press replaces it."""
        self.existing = existing
        self.data = {**{name: self.data.get(name, "") for name in self.fields}, "replaces": str(existing.pk)}
        text = gettext("%(pause)s. Press “Replace the pause” to change that.")
        self.add_error("what", text % {"pause": self.existing_text})

    @property
    def existing_text(self) -> str:
        return capfirst(_describe(self.existing)) if self.existing else ""

    def target(self) -> tuple[str, str]:
        kind, _, name = str(self.cleaned_data["what"]).partition(":")
        return (kind, name) if name else (PauseKind.CAMPAIGN.value, self.cleaned_data["campaign"])

    def end(self, now: datetime) -> datetime | None:
        minutes, until = self.cleaned_data["minutes"], self.cleaned_data["until"]
        return until or (now + timedelta(minutes=int(minutes)) if minutes else None)


@admin.register(Pause)
class PauseAdmin(PauseAdminBase):
    """Its own page, and those of processes, the breaker and the main API, in place of Django's lists and forms."""

    def get_urls(self) -> Any:
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(overview), name="jobs_pause_changelist"),
            path("undo/<slug:verb>/<int:pk>/", wrap(take_back), name="jobs_pause_undo"),
            path("processes/", wrap(processes.overview), name="jobs_processes"),
            path("processes/stop/", wrap(processes.stop), name="jobs_stop_process"),
            path("breaker/", wrap(breaker.overview), name="jobs_breaker"),
            path("main-api/", wrap(main_api.overview), name="jobs_main_api"),
            path("limits/", wrap(limits.overview), name="jobs_main_api_limits"),
            path("roles/", wrap(roles.overview), name="jobs_roles"),
        ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Pause | None = None) -> bool:
        return False


@require("jobs.pause_jobs")
def overview(request: HttpRequest) -> HttpResponse:
    if "resume" in request.POST:
        return _resume(request)
    form = PauseForm(request.POST) if "pause" in request.POST else _fill_in(request)
    if form.is_bound and form.is_valid() and (answer := _pause(request, form)):
        return answer
    active = [(pause, _count_blocked(pause)) for pause in pauses.active()]
    context = {
        "title": gettext("Pauses"),
        "form": form,
        "active": active,
        "history": pauses.history(),
        "allowed": request.user.has_perm("jobs.pause_jobs"),
    }
    return render_page(request, "ops/control/pauses.html", context)


def _pause(request: HttpRequest, form: PauseForm) -> HttpResponse | None:
    """The answer; None with the form's errors if it is refused, or there is a pause that somebody else began."""
    kind, name = form.target()
    given = form.cleaned_data
    until, replaces = form.end(timezone.now()), given["replaces"]
    try:
        pause = pauses.pause(
            kind, name, until=until, actor=actor_of(request), reason=given["reason"], replaces=replaces
        )
    except InvalidPause as bad:
        form.add_error("until" if bad.field == "until" else "what", str(bad))
        return None
    except StateConflict as conflict:
        if existing := pauses.find(kind, name):
            form.ask_about(existing)
        else:  # it has ended since
            form.add_error("what", capfirst(str(conflict)))
        return None
    text = gettext("%(pause)s. Running jobs finish.") % {"pause": capfirst(_describe(pause))}
    return _redirect(request, text, undo=undo_url(pauses.undo_of(pause)))


def _resume(request: HttpRequest) -> HttpResponse:
    kind, _, name = plain(request.POST["resume"]).partition(":")
    paused = pauses.name_paused(kind, f"{known} ({name})" if (known := _campaign_name(kind, name)) else name)
    resumed = pauses.resume(kind, name, actor=actor_of(request), reason=request.POST.get("reason", ""))
    if resumed:
        undo = undo_url(pauses.undo_of(resumed))
        return _redirect(
            request,
            gettext("Resumed %(paused)s: its jobs run again.") % {"paused": paused},
            undo=undo,
        )
    return _redirect(
        request,
        capfirst(gettext("%(paused)s is not paused.") % {"paused": paused}),
        messages.WARNING,
    )


@require_POST
@require("jobs.pause_jobs")
def take_back(request: HttpRequest, verb: str, pk: int) -> HttpResponse:
    """Undo a pause, or that one was ended."""
    back = find_way_back(request, reverse("admin:jobs_pause_changelist"))
    try:
        pause = pauses.take_back(f"{verb}/{pk}", actor=actor_of(request))
    except StateConflict as late:
        return redirect(request, back, gettext("Nothing was undone: %(reason)s.") % {"reason": late}, messages.WARNING)
    return redirect(
        request,
        back,
        gettext("Undone: %(pause)s.") % {"pause": _describe(pause)},
        undo=undo_url(pauses.undo_of(pause)),
    )


def _describe(pause: Pause) -> str:
    return pauses.as_sentence(pause, _campaign_name(pause.kind, pause.name))


def _campaign_name(kind: str, name: str) -> str:
    """Empty for queues and types, and for a campaign that has none or is unknown."""
    if kind != PauseKind.CAMPAIGN or not fits_postgresql(name):
        return ""
    return CampaignClock.objects.filter(pk=name).values_list("name", flat=True).first() or ""


def undo_url(undo: str) -> str:
    """The address of an operator action's `undo`."""
    verb, _, pk = undo.partition("/")
    return reverse("admin:jobs_pause_undo", args=[verb, pk])


def _redirect(request: HttpRequest, text: str, level: int = messages.SUCCESS, undo: str = "") -> HttpResponse:
    return redirect(request, reverse("admin:jobs_pause_changelist"), text, level, undo=undo)


def change_url(kind: str, name: str, **typed: Any) -> str:
    """The page with its form filled in: with the pause that there is, and what was `typed` elsewhere."""
    given = {"what": f"{kind}:{name}"} | {key: str(value) for key, value in typed.items() if value}
    return f"{reverse('admin:jobs_pause_changelist')}?{urlencode(given)}"


def _fill_in(request: HttpRequest) -> PauseForm:
    """The form for ?what=queue:low or ?what=campaign:c-1; if that is paused, with the pause that there is."""
    what = request.GET.get("what", "")
    kind, _, name = what.partition(":")
    existing = pauses.find(kind, name) if kind in PauseKind.values and fits_postgresql(name) else None
    initial: dict[str, Any] = {"campaign": name} if kind == PauseKind.CAMPAIGN else {"what": what}
    if existing:
        initial |= {"reason": existing.reason, "replaces": existing.pk}
    initial |= {key: request.GET[key] for key in ("until", "reason") if key in request.GET}
    form = PauseForm(initial=initial)
    form.existing = existing
    return form


def _count_blocked(pause: Pause) -> int | None:
    try:
        return active_orders.count_blocked(pause)
    except RedisError:  # the page shows the pauses without the counts
        return None
