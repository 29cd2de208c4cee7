"""Event policies: what becomes of events when world time passes their time. All see them, administrators set them."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from jobs.errors import InvalidPolicy
from jobs.models import CampaignClock, EventPolicy
from jobs.models.event import LONGEST_TYPE
from jobs.triggers import policies
from jobs.world.event_policies import EventAction, Policy
from ops.admin.base import ReadOnly, ReasonForm, actor_of, redirect, render_page, require
from scheduler_project.text import LONGEST_ID

PERMISSION: Final = "jobs.change_eventpolicy"
TYPES: Final = ("story", "kingdom", "party", "world")  #: offered; the main API may have others
MOST_CAMPAIGNS: Final = 500  #: offered by name; any other can be entered by its ID
_ACTIONS: Final = [
    (EventAction.EXPIRE.value, "expire: complete it without its effects, once it is overdue"),
    (EventAction.TRIGGER.value, "trigger: execute its effects and complete it"),
    (EventAction.ASK.value, "ask: an operator decides whether to trigger it"),
]

if TYPE_CHECKING:
    EventPolicyAdminBase = admin.ModelAdmin[EventPolicy]
else:
    EventPolicyAdminBase = ModelAdmin


class PolicyForm(ReasonForm):
    campaign = forms.CharField(
        required=False,
        max_length=LONGEST_ID,
        label="Campaign ID",
        help_text="Leave empty for all campaigns.",
        widget=UnfoldAdminTextInputWidget(attrs={"list": "known-campaigns", "autocomplete": "off"}),
    )
    event_type = forms.CharField(
        required=False,
        max_length=LONGEST_TYPE,
        label="Event type",
        help_text="Leave empty for all types.",
        widget=UnfoldAdminTextInputWidget(attrs={"list": "known-types", "autocomplete": "off"}),
    )
    action = forms.ChoiceField(choices=_ACTIONS, label="Action", widget=UnfoldAdminSelectWidget())
    answer_minutes = forms.IntegerField(
        required=False,
        label="Minutes for an answer",
        help_text="Of real time; only with ask. What is due later in the campaign waits meanwhile.",
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "numeric"}),
    )
    default_answer = forms.ChoiceField(
        required=False,
        choices=[("no", "no: it expires"), ("yes", "yes: it is triggered")],
        label="Without an answer",
        help_text="Only with ask.",
        widget=UnfoldAdminSelectWidget(),
    )
    field_order = ("campaign", "event_type", "action", "answer_minutes", "default_answer", "reason")

    def clean_answer_minutes(self) -> timedelta:
        minutes = self.cleaned_data["answer_minutes"] or 0
        most = policies.LONGEST_WAIT // timedelta(minutes=1)
        if not 0 <= minutes <= most:
            raise forms.ValidationError(f"expected 1 to {most:,} minutes")
        return timedelta(minutes=minutes)

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
    form = PolicyForm(request.POST if request.method == "POST" else None, initial=_read_link(request))
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
        "title": "Event policies",
        "form": form,
        "rows": policies.all_rows(),
        "types": TYPES,
        "campaigns": list(campaigns),
        "allowed": request.user.has_perm(PERMISSION),
    }
    status = 400 if form.errors else 200
    return render_page(request, "ops/control/event_policies.html", context, status=status)


def _say_set(request: HttpRequest, campaign_id: str, *, changed: bool) -> HttpResponse:
    """A campaign that was never seen may still come: its policy is set, with a warning."""
    text = "Policy set: it counts for events whose time comes from now on." if changed else "Nothing was changed."
    if campaign_id and not CampaignClock.objects.filter(pk=campaign_id).exists():
        text += f" No campaign with the ID {campaign_id} is known yet: check that it is right."
        return _back(request, text, messages.WARNING)
    return _back(request, text, messages.SUCCESS if changed else messages.INFO)


def _remove(request: HttpRequest) -> HttpResponse:
    given = request.POST["remove"]
    removed = given.isdecimal() and len(given) < 19
    removed = removed and policies.remove(int(given), actor=actor_of(request), reason=request.POST.get("reason", ""))
    if removed:
        return _back(request, "Policy removed: a less specific one counts, or events expire.")
    return _back(request, "This policy was removed already.", messages.WARNING)


def _back(request: HttpRequest, text: str, level: int = messages.SUCCESS) -> HttpResponse:
    return redirect(request, reverse("admin:jobs_eventpolicy_changelist"), text, level)


def _read_link(request: HttpRequest) -> dict[str, str]:
    """Initial values from ?campaign=c-1."""
    return {"campaign": request.GET.get("campaign", "")}
