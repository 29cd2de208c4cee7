"""RQ's states and lists in the reader's language."""

from typing import Final

from django import template
from django.utils.translation import gettext, gettext_lazy

register = template.Library()
_STATES: Final = {
    "queued": gettext_lazy("Queued"),
    "started": gettext_lazy("Started"),
    "finished": gettext_lazy("Finished"),
    "successful": gettext_lazy("Successful"),
    "failed": gettext_lazy("Failed"),
    "stopped": gettext_lazy("Stopped"),
    "retried": gettext_lazy("Retried"),
    "deferred": gettext_lazy("Deferred"),
    "scheduled": gettext_lazy("Scheduled"),
    "canceled": gettext_lazy("Cancelled"),
    "created": gettext_lazy("Created"),
    "busy": gettext_lazy("Busy"),
    "idle": gettext_lazy("Idle"),
    "suspended": gettext_lazy("Suspended"),
}
_LISTS: Final = {
    "queued": gettext_lazy("Queued jobs in %(queue)s"),
    "finished": gettext_lazy("Finished jobs in %(queue)s"),
    "failed": gettext_lazy("Failed jobs in %(queue)s"),
    "deferred": gettext_lazy("Deferred jobs in %(queue)s"),
    "scheduled": gettext_lazy("Scheduled jobs in %(queue)s"),
}


@register.simple_tag
def rq_status(state: str) -> str:
    """A state of a job, a result or a worker; one that a later RQ may bring stands as it is."""
    return str(_STATES.get(state.lower(), state))


@register.simple_tag
def rq_list(state: str, queue: str) -> str:
    """The title of a queue's list of jobs."""
    return (_LISTS.get(state.lower()) or gettext("Jobs in %(queue)s")) % {"queue": queue}
