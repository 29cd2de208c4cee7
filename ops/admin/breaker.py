"""The circuit breaker, with buttons that force it open or closed."""

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from redis import RedisError

from jobs import control
from jobs.state_counts import count_retrying
from ops.admin import operator_action
from ops.admin.base import ReasonForm, actor_of, redirect, render_page, require
from ops.reads import active_orders


class BreakerForm(ReasonForm):
    state = forms.ChoiceField(choices=[(s, s) for s in (*control.FORCIBLE, control.AUTOMATIC)])


@require("jobs.control_breaker")
def overview(request: HttpRequest) -> HttpResponse:
    form = BreakerForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        state = form.cleaned_data["state"]
        control.set_breaker(state, actor=actor_of(request), reason=form.cleaned_data["reason"])
        active_orders.expire()
        text = "automatic again" if state == control.AUTOMATIC else f"forced {state}, for all processes"
        undo = operator_action.offer(request, control.UNDO_BREAKER)
        return redirect(request, reverse("admin:jobs_breaker"), f"The circuit breaker is {text}.", undo=undo)
    context = {
        "title": "Circuit breaker",
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
        return {"breaker": breaker.snapshot(), "errors": [], "fault": f"Redis does not answer: {error}"}
