"""The banner of every page, and what django-rq's pages show of scheduler jobs."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from django import template
from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from rq.exceptions import NoSuchJobError
from rq.executions import Execution
from rq.job import Job as RQJob

from jobs import pauses
from jobs.broker import depths, keys
from jobs.models import Job
from jobs.world_clocks import status
from ops import rq_dashboard
from ops.reads.active_orders import find_active_orders
from ops.reads.verdict import find_verdict
from ops.rq_buttons import find_buttons
from ops.templatetags.ops import moment

register = template.Library()
NAMED_CLOCKS: Final = 3


@register.inclusion_tag("ops/control/banner.html", takes_context=True)
def active_orders(context: Any) -> dict[str, Any]:
    """The banner with pauses, a forced breaker and suspension, for users who may see jobs."""
    request = context.get("request")
    if request is None or not request.user.has_perm("jobs.view_job"):
        return {"orders": None}
    orders = find_active_orders()
    names = pauses.campaign_names(orders.pauses)
    verdict = find_verdict()
    return {
        "fault": verdict if verdict.reasons and request.path != reverse("admin:index") else None,
        "orders": orders,
        "pauses": [pauses.as_sentence(pause, names.get(pause.name, "")) for pause in orders.pauses],
    }


@register.inclusion_tag("ops/control/clocks.html", takes_context=True)
def world_clocks(context: Any) -> dict[str, Any]:
    """The strip of every page while a campaign's time moves by itself, or has been stopped; one query if none does."""
    request = context.get("request")
    if request is None or not request.user.has_perm("jobs.view_campaignclock"):
        return {"started": 0, "paused": 0}
    counts = status.count()
    started = counts["running"] + counts["waiting"]
    shown = status.read_first(timezone.now(), NAMED_CLOCKS) if started else []
    return {
        **counts,
        "started": started,
        "shown": shown,
        "more": started - len(shown),
        "may_pause": request.user.has_perm("jobs.pause_worldclock"),
        "csrf_token": context.get("csrf_token"),
    }


@register.filter
def by_urgency(queues: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """django-rq's queues in the order in which workers look at them, each with what pauses hold back of it."""
    order = list(settings.RQ_QUEUES)
    found = depths.read(keys.redis(), order)
    ordered = sorted(queues, key=lambda queue: order.index(queue["name"]))
    return [{**queue, "held_back": found[queue["name"]].held_back} for queue in ordered]


@register.simple_tag
def held_back(queue: str) -> int:
    """How many of the waiting jobs of a queue pauses hold back."""
    return depths.read(keys.redis(), [queue])[queue].held_back


@register.inclusion_tag("ops/moment.html")
def rq_moment(at: datetime | str | None) -> dict[str, Any]:
    """`moment` for RQ's naive UTC times and for django-rq's texts in TIME_ZONE."""
    if isinstance(at, str):
        if not at[:1].isdigit():  # django-rq's placeholder for no time
            return moment(None)
        return moment(datetime.strptime(at, "%Y-%m-%d, %H:%M:%S").replace(tzinfo=timezone.get_default_timezone()))
    return moment(at and at.replace(tzinfo=at.tzinfo or UTC))


@register.simple_tag(takes_context=True)
def rq_rows(context: Any, jobs: Sequence[RQJob]) -> list[tuple[RQJob, frozenset[str]]]:
    """Each RQ job with the buttons that its state and the user's permissions allow."""
    return list(zip(jobs, find_buttons(jobs, context["request"].user.has_perm), strict=True))


@register.simple_tag(takes_context=True)
def rq_runs(context: Any, executions: Sequence[Execution]) -> list[tuple[Execution, frozenset[str]]]:
    """As `rq_rows`, for executions; those whose job is gone are left out."""
    known = [execution for execution in executions if _has_job(execution)]
    buttons = find_buttons([execution.job for execution in known], context["request"].user.has_perm)
    return list(zip(known, buttons, strict=True))


def _has_job(execution: Execution) -> bool:
    try:
        return bool(execution.job)
    except NoSuchJobError:
        return False


@register.simple_tag(takes_context=True)
def rq_buttons(context: Any, job: RQJob) -> frozenset[str]:
    """As `rq_rows`, for one job."""
    return find_buttons([job], context["request"].user.has_perm)[0]


@register.filter
def any_has(rows: Sequence[tuple[RQJob, frozenset[str]]], button: str) -> bool:
    return any(button in buttons for _, buttons in rows)


@register.simple_tag
def running_on(worker: str) -> list[Job]:
    return rq_dashboard.find_running_on(worker)
