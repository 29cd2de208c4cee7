"""The circuit breaker, with buttons that force it open or closed."""

from typing import Any, Final

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_noop
from pybreaker import STATE_CLOSED, STATE_OPEN
from redis import RedisError

from jobs import control
from jobs.state_counts import count_retrying
from ops.admin import operator_action
from ops.admin.base import ReasonForm, actor_of, redirect, render_page, require
from ops.reads import active_orders

_SAID: Final = {
    control.AUTOMATIC: gettext_noop("The circuit breaker is automatic again."),
    STATE_OPEN: gettext_noop("The circuit breaker is forced open, for all processes."),
    STATE_CLOSED: gettext_noop("The circuit breaker is forced closed, for all processes."),
}


class BreakerForm(ReasonForm):
    state = forms.ChoiceField(choices=[(s, s) for s in (*control.FORCIBLE, control.AUTOMATIC)])


@require("jobs.control_breaker")
def overview(request: HttpRequest) -> HttpResponse:
    form = BreakerForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        state = form.cleaned_data["state"]
        if not control.set_breaker(state, actor=actor_of(request), reason=form.cleaned_data["reason"]):
            text = gettext("Nothing changed: the circuit breaker is in this mode already.")
            return redirect(request, reverse("admin:jobs_breaker"), text, messages.WARNING)
        active_orders.expire()
        undo = operator_action.offer(request, control.UNDO_BREAKER)
        return redirect(request, reverse("admin:jobs_breaker"), gettext(_SAID[state]), undo=undo)
    context = {
        "title": gettext("Circuit breaker"),
        "form": form,
        "retrying": count_retrying(),
        "allowed": request.user.has_perm("jobs.control_breaker"),
        **_read_breaker(),
    }
    return render_page(request, "ops/control/breaker.html", context)


def _read_breaker() -> dict[str, Any]:
    breaker = control.breaker()
    try:
        return {"breaker": breaker.snapshot(), "errors": breaker.recent_errors(), "fault": ""}
    except RedisError as error:
        return {
            "breaker": breaker.snapshot(),
            "errors": [],
            "fault": gettext("Redis does not answer: %(error)s") % {"error": error},
        }
