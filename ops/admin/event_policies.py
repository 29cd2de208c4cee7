"""Event policies: what becomes of events when world time passes their time. All see them, administrators set them."""

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils.translation import gettext, gettext_lazy
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from jobs.errors import InvalidPolicy
from jobs.models import CampaignClock, EventPolicy
from jobs.models.event import LONGEST_TYPE
from jobs.triggers import policies
from jobs.world.event_policies import EventAction, Policy, type_key
from ops.admin.base import ReadOnly, ReasonForm, actor_of, redirect, render_page, require
from ops.admin.guarded_form import GuardedForm, Stored
from ops.humanize import format_count
from scheduler_project.text import LONGEST_ID

PERMISSION: Final = "jobs.change_eventpolicy"
TYPES: Final = ("story", "kingdom", "party", "world")  #: offered; the main API may have others
MOST_CAMPAIGNS: Final = 500  #: offered by name; any other can be entered by its ID
_ACTIONS: Final = [
    (EventAction.EXPIRE.value, gettext_lazy("expire: complete it without its effects, once it is overdue")),
    (EventAction.TRIGGER.value, gettext_lazy("trigger: execute its effects and complete it")),
    (EventAction.ASK.value, gettext_lazy("ask: an operator decides whether to trigger it")),
]

if TYPE_CHECKING:
    EventPolicyAdminBase = admin.ModelAdmin[EventPolicy]
else:
    EventPolicyAdminBase = ModelAdmin


class PolicyForm(GuardedForm, ReasonForm):
    campaign = forms.CharField(
        required=False,
        max_length=LONGEST_ID,
        label=gettext_lazy("Campaign ID"),
        help_text=gettext_lazy("Leave empty for all campaigns."),
        widget=UnfoldAdminTextInputWidget(attrs={"list": "known-campaigns", "autocomplete": "off"}),
    )
    event_type = forms.CharField(
        required=False,
        max_length=LONGEST_TYPE,
        label=gettext_lazy("Event type"),
        help_text=gettext_lazy("Leave empty for all types."),
        widget=UnfoldAdminTextInputWidget(attrs={"list": "known-types", "autocomplete": "off"}),
    )
    action = forms.ChoiceField(choices=_ACTIONS, label=gettext_lazy("Action"), widget=UnfoldAdminSelectWidget())
    answer_minutes = forms.IntegerField(
        required=False,
        label=gettext_lazy("Minutes for an answer"),
        help_text=gettext_lazy("Real time; used only with “ask”. Later work of the campaign waits meanwhile."),
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "numeric"}),
    )
    default_answer = forms.ChoiceField(
        required=False,
        choices=[("no", gettext_lazy("no: it expires")), ("yes", gettext_lazy("yes: it is triggered"))],
        label=gettext_lazy("Without an answer"),
        help_text=gettext_lazy("Used only with “ask”."),
        widget=UnfoldAdminSelectWidget(),
    )
    field_order = ("campaign", "event_type", "action", "answer_minutes", "default_answer", "reason")

    def clean_answer_minutes(self) -> timedelta:
        minutes = self.cleaned_data["answer_minutes"] or 0
        most = policies.LONGEST_WAIT // timedelta(minutes=1)
        if not 0 <= minutes <= most:
            raise forms.ValidationError(gettext("Must be 1 to %(most)s minutes.") % {"most": format_count(most)})
        return timedelta(minutes=minutes)

    def overwrites(self, stored: Stored) -> bool:
        """Nothing, if this very policy is there already."""
        if self.errors:
            return True
        given = self.policy()
        asks = given.action is EventAction.ASK
        values = {
            "action": given.action.value,
            "answer_minutes": given.answer_within // timedelta(minutes=1) if asks else None,
            "default_answer": asks and given.default_answer,
        }
        key = given.campaign_id, type_key(given.event_type)
        return any((*key, value) not in stored.values[field] for field, value in values.items())

    def policy(self) -> Policy:
        given = self.cleaned_data
        return Policy(
            EventAction(given["action"]),
            given["campaign"],
            given["event_type"],
            given["answer_minutes"],
            given["default_answer"] == "yes",
        )


@admin.register(EventPolicy)
class EventPolicyAdmin(ReadOnly, EventPolicyAdminBase):
    """Its own page in place of Django's lists and forms."""

    def get_urls(self) -> Any:
        return [path("", self.admin_site.admin_view(overview), name="jobs_eventpolicy_changelist")]


@require(PERMISSION)
def overview(request: HttpRequest) -> HttpResponse:
    """The policies, most general first; a POST sets or removes one."""
    if "remove" in request.POST:
        return _remove(request)
    rows = policies.all_rows()
    form = PolicyForm(
        request.POST if request.method == "POST" else None, initial=_read_link(request), stored=_find_stored(rows)
    )
    if form.is_bound and form.is_valid():
        try:
            reason = form.cleaned_data["reason"]
            changed = policies.set_policy(form.policy(), actor=actor_of(request), reason=reason)
        except InvalidPolicy as bad:
            form.add_error(bad.field or None, str(bad).partition(": ")[2] or str(bad))
        else:
            return _say_set(request, form.cleaned_data["campaign"], changed=changed)
    campaigns = CampaignClock.objects.order_by("name").values_list("pk", "name")[:MOST_CAMPAIGNS]
    context = {
        "title": gettext("Event policies"),
        "form": form,
        "rows": rows,
        "types": TYPES,
        "campaigns": list(campaigns),
        "allowed": request.user.has_perm(PERMISSION),
    }
    status = 400 if form.errors else 200
    return render_page(request, "ops/control/event_policies.html", context, status=status)


def _find_stored(rows: Iterable[EventPolicy]) -> Stored:
    """All policies, for the form may replace any that its reader has seen in the list."""
    fields = ("action", "answer_minutes", "default_answer")
    values = {field: [(row.campaign_id, row.event_type, getattr(row, field)) for row in rows] for field in fields}
    return Stored(reverse("admin:jobs_eventpolicy_changelist"), values)


def _say_set(request: HttpRequest, campaign_id: str, *, changed: bool) -> HttpResponse:
    """A campaign that was never seen may still come: its policy is set, with a warning."""
    text = (
        gettext("Policy saved. It applies to events that become due from now on.")
        if changed
        else gettext("Nothing changed.")
    )
    if campaign_id and not CampaignClock.objects.filter(pk=campaign_id).exists():
        unknown = gettext("No campaign with the ID %(id)s is known yet: check that it is right.") % {"id": campaign_id}
        text = f"{text} {unknown}"
        return _back(request, text, messages.WARNING)
    return _back(request, text, messages.SUCCESS if changed else messages.INFO)


def _remove(request: HttpRequest) -> HttpResponse:
    given = request.POST["remove"]
    removed = given.isdecimal() and len(given) < 19
    removed = removed and policies.remove(int(given), actor=actor_of(request), reason=request.POST.get("reason", ""))
    if removed:
        return _back(
            request, gettext("Policy removed. A less specific policy applies now; without one, events expire.")
        )
    return _back(request, gettext("This policy is already removed."), messages.WARNING)


def _back(request: HttpRequest, text: str, level: int = messages.SUCCESS) -> HttpResponse:
    return redirect(request, reverse("admin:jobs_eventpolicy_changelist"), text, level)


def _read_link(request: HttpRequest) -> dict[str, str]:
    """Initial values from ?campaign=c-1."""
    return {"campaign": request.GET.get("campaign", "")}
