"""The main API's limits: set them, and see what they hold back now."""

import time
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy
from redis import RedisError
from unfold.widgets import UnfoldAdminTextInputWidget

from jobs import main_api_limits
from jobs.broker import keys
from jobs.errors import InvalidLimit
from jobs.main_api import traffic
from jobs.main_api.limits import Limits
from jobs.models import CampaignClock
from ops.admin import operator_action
from ops.admin.base import ReasonForm, actor_of, redirect, render_page, require
from ops.admin.guarded_form import GuardedForm, Stored
from ops.reads.blockers import describe_limits
from scheduler_project.text import StrOrPromise

MOST_CAMPAIGNS = 20  #: shown, those with the most waiting requests


def _limit_field(label: StrOrPromise, help_text: StrOrPromise) -> forms.IntegerField:
    widget = UnfoldAdminTextInputWidget(attrs={"inputmode": "numeric", "placeholder": gettext_lazy("no limit")})
    return forms.IntegerField(required=False, label=label, help_text=help_text, widget=widget)


class LimitsForm(GuardedForm, ReasonForm):
    in_flight = _limit_field(
        gettext_lazy("Requests in flight"), gettext_lazy("At any moment, for all processes together.")
    )
    per_second = _limit_field(
        gettext_lazy("Requests per second"), gettext_lazy("Sent in any second, by all processes together.")
    )
    field_order = ("in_flight", "per_second", "reason")

    def limits(self) -> Limits:
        return Limits(self.cleaned_data["in_flight"], self.cleaned_data["per_second"])


@require("jobs.control_breaker")
def overview(request: HttpRequest) -> HttpResponse:
    """The page; a POST sets both limits, or with `reset` takes them away, which is the default."""
    last = main_api_limits.last_change()
    initial = {"in_flight": last.in_flight, "per_second": last.per_second} if last else {}
    stored = Stored(reverse("admin:jobs_main_api_limits"), initial)
    form = LimitsForm(request.POST or None, initial=dict(initial), stored=stored)
    if form.is_bound and form.is_valid():
        limits = Limits() if "reset" in request.POST else form.limits()
        try:
            changed = main_api_limits.set_limits(limits, actor=actor_of(request), reason=form.cleaned_data["reason"])
        except InvalidLimit as bad:
            form.add_error(bad.field, str(bad).partition(": ")[2])
        else:
            if not changed:
                text = gettext("Nothing changed: these are the limits already.")
                return redirect(request, reverse("admin:jobs_main_api_limits"), text, messages.WARNING)
            text = gettext("Main API limits saved: %(limits)s. All processes use them within two seconds.")
            undo = operator_action.offer(request, main_api_limits.UNDO)
            said = text % {"limits": describe_limits(limits)}
            return redirect(request, reverse("admin:jobs_main_api_limits"), said, undo=undo)
    context = {
        "title": gettext("Main API limits"),
        "form": form,
        "last": last,
        "limits": main_api_limits.current(),
        "limits_text": describe_limits(main_api_limits.current()),
        "allowed": request.user.has_perm("jobs.control_breaker"),
        **_read_traffic(),
    }
    return render_page(request, "ops/control/limits.html", context)


def _read_traffic() -> dict[str, Any]:
    try:
        found = traffic.read(keys.redis())
    except RedisError as error:
        fault = gettext("Redis does not answer (%(error)s): each process keeps to its share of the limits") % {
            "error": type(error).__name__
        }
        return {"fault": fault}
    busiest = sorted(found.waiting.items(), key=lambda one: -one[1])[:MOST_CAMPAIGNS]
    names = dict(CampaignClock.objects.filter(pk__in=[campaign for campaign, _ in busiest]).values_list("pk", "name"))
    now = time.time()
    return {
        "traffic": found,
        "waiting": [(campaign, names.get(campaign) or campaign, count) for campaign, count in busiest],
        "halved": [(one, one.now(now)) for one in found.halved],
    }
