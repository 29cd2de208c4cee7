"""World clocks: the list of all, and the page of a campaign's, with its form, its preview and its buttons."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext
from unfold.admin import ModelAdmin

from jobs import calendars
from jobs.errors import Refused
from jobs.models import CampaignClock, WorldClock
from jobs.world_clocks import control, status
from jobs.world_clocks.sentences import describe
from ops.admin import operator_action
from ops.admin.base import ReadOnly, ReasonForm, actor_of, redirect, render_page
from ops.admin.world_clock_form import WorldClockForm

MOST_CAMPAIGNS: Final = 500  #: offered by name; any other has a link on its own page
_CHANGE: Final = "jobs.change_worldclock"
_PAUSE: Final = "jobs.pause_worldclock"
_VERBS: Final[dict[str, tuple[Callable[..., str], str]]] = {
    "start": (control.start, _CHANGE),
    "pause": (control.pause, _PAUSE),
    "resume": (control.resume, _PAUSE),
    "stop": (control.stop, _CHANGE),
}

if TYPE_CHECKING:
    WorldClockAdminBase = admin.ModelAdmin[WorldClock]
else:
    WorldClockAdminBase = ModelAdmin


@admin.register(WorldClock)
class WorldClockAdmin(ReadOnly, WorldClockAdminBase):
    """Its own page in place of Django's list and forms; a campaign's clock has its page below the campaign."""

    def get_urls(self) -> list[Any]:
        site = self.admin_site.admin_view
        return [
            path("", site(show_all), name="jobs_worldclock_changelist"),
            path("pause-all/", site(pause_all), name="jobs_worldclock_pause_all"),
        ]

    def has_view_permission(self, request: HttpRequest, obj: WorldClock | None = None) -> bool:
        return bool(request.user.has_perm("jobs.view_campaignclock"))


def urls(site: Any) -> list[Any]:
    """Below a campaign's own address."""
    return [
        path("<path:pk>/world-clock/", site.admin_view(show), name="jobs_campaignclock_world_clock"),
        path("<path:pk>/world-clock/preview/", site.admin_view(preview), name="jobs_campaignclock_world_clock_preview"),
        path("<path:pk>/world-clock/act/", site.admin_view(act), name="jobs_campaignclock_world_clock_act"),
    ]


def show_all(request: HttpRequest) -> HttpResponse:
    _require(request, "jobs.view_campaignclock")
    if campaign_id := request.GET.get("campaign", ""):
        return HttpResponseRedirect(_page(campaign_id))
    found = status.read_all(timezone.now())
    known = [one.clock.pk for one in found]
    others = CampaignClock.objects.exclude(pk__in=known).exclude(world_time="").order_by("name")
    context = {
        "title": gettext("World clocks"),
        "clocks": found,
        "running": sum(one.runs for one in found),
        "others": others[:MOST_CAMPAIGNS] if request.user.has_perm(_CHANGE) else [],
        **_permissions(request),
    }
    return render_page(request, "ops/world_clocks.html", context)


def pause_all(request: HttpRequest) -> HttpResponse:
    """From every page: at once."""
    _require(request, _PAUSE, post=True)
    done = control.pause_all(actor=actor_of(request), reason=_reason(request))
    text = " ".join(done) or gettext("No world clock runs.")
    return redirect(request, reverse("admin:jobs_worldclock_changelist"), text, _level(done))


def show(request: HttpRequest, pk: str) -> HttpResponse:
    """The clock, and for administrators the form; a POST saves it."""
    campaign = _find(request, pk)
    clock = WorldClock.objects.filter(pk=campaign.pk).first()
    form = WorldClockForm.of(clock, _page(campaign.pk), request.POST if request.method == "POST" else None)
    if request.method == "POST":
        _require(request, _CHANGE)
        if form.is_valid() and (answer := _save(request, campaign, form)):
            return answer
    hours = calendars.of(campaign.pk).hours_per_day
    found = status.read_one(campaign, timezone.now(), hours)
    context = {
        "title": gettext("World clock of %(campaign)s") % {"campaign": campaign.name or campaign.campaign_id},
        "campaign": campaign,
        "status": found,
        "form": form,
        "sentences": _describe(form, hours) if form.is_bound else found.sentences if found else [],
        **_permissions(request),
    }
    return render_page(
        request, "ops/world_clock.html", context, opts=CampaignClock._meta, status=400 if form.errors else 200
    )


def preview(request: HttpRequest, pk: str) -> HttpResponse:
    """The fragment that htmx loads while somebody types."""
    campaign = _find(request, pk)
    _require(request, _CHANGE, post=True)
    form = WorldClockForm(request.POST)
    sentences = _describe(form, calendars.of(campaign.pk).hours_per_day)
    return TemplateResponse(request, "ops/world_clock_preview.html", {"sentences": sentences, "form": form})


def act(request: HttpRequest, pk: str) -> HttpResponse:
    """Start, pause, resume or stop the clock, as the button says."""
    campaign = _find(request, pk)
    if (verb := request.POST.get("verb", "")) not in _VERBS:
        raise PermissionDenied
    command, permission = _VERBS[verb]
    _require(request, permission, post=True)
    try:
        text = command(campaign.pk, actor=actor_of(request), reason=_reason(request))
    except Refused as refused:
        return redirect(request, _page(campaign.pk), _sentence(refused), messages.WARNING)
    undo = operator_action.offer(request, control.undo_of_pause(campaign.pk)) if verb == "pause" else ""
    return redirect(request, _page(campaign.pk), text, undo=undo)


def _save(request: HttpRequest, campaign: CampaignClock, form: WorldClockForm) -> HttpResponse | None:
    """The answer; None if the settings are refused after all, which the form then says."""
    reason = form.cleaned_data["reason"]
    try:
        changed = control.configure(campaign.pk, form.settings, actor=actor_of(request), reason=reason)
    except Refused as refused:
        form.add_error(None, _sentence(refused))
        return None
    text = (
        gettext("Saved. World time that accrued before the change is kept.") if changed else gettext("Nothing changed.")
    )
    undo = operator_action.offer(request, control.undo_of_settings(campaign.pk)) if changed else ""
    return redirect(request, _page(campaign.pk), text, undo=undo)


def _describe(form: WorldClockForm, hours_per_day: int) -> list[str]:
    return describe(form.settings, hours_per_day) if form.is_valid() else []


def _sentence(refused: Refused) -> str:
    """Without the name of a field, which the page does not show."""
    field = getattr(refused, "field", "")
    return f"{capfirst(str(refused).removeprefix(f'{field}: ')).rstrip('.')}."


def _permissions(request: HttpRequest) -> dict[str, bool]:
    return {"may_change": request.user.has_perm(_CHANGE), "may_pause": request.user.has_perm(_PAUSE)}


def _find(request: HttpRequest, quoted: str) -> CampaignClock:
    _require(request, "jobs.view_campaignclock")
    return get_object_or_404(CampaignClock, pk=unquote(quoted))


def _require(request: HttpRequest, permission: str, *, post: bool = False) -> None:
    if not request.user.has_perm(permission) or (post and request.method != "POST"):
        raise PermissionDenied


def _reason(request: HttpRequest) -> str:
    form = ReasonForm(request.POST)
    return form.cleaned_data["reason"] if form.is_valid() else ""


def _level(done: list[str]) -> int:
    return messages.SUCCESS if done else messages.INFO


def _page(campaign_id: str) -> str:
    return reverse("admin:jobs_campaignclock_world_clock", args=[quote(campaign_id)])
