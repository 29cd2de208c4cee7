"""RQ's states and lists in the reader's language."""

from typing import Final

from django import template
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

register = template.Library()
_STATES: Final = {
    "queued": _lazy("Queued"),
    "started": _lazy("Started"),
    "finished": _lazy("Finished"),
    "successful": _lazy("Successful"),
    "failed": _lazy("Failed"),
    "stopped": _lazy("Stopped"),
    "retried": _lazy("Retried"),
    "deferred": _lazy("Deferred"),
    "scheduled": _lazy("Scheduled"),
    "canceled": _lazy("Cancelled"),
    "created": _lazy("Created"),
    "busy": _lazy("Busy"),
    "idle": _lazy("Idle"),
    "suspended": _lazy("Suspended"),
}
_LISTS: Final = {
    "queued": _lazy("Queued jobs in %(queue)s"),
    "finished": _lazy("Finished jobs in %(queue)s"),
    "failed": _lazy("Failed jobs in %(queue)s"),
    "deferred": _lazy("Deferred jobs in %(queue)s"),
    "scheduled": _lazy("Scheduled jobs in %(queue)s"),
}


@register.simple_tag
def rq_status(state: str) -> str:
    """A state of a job, a result or a worker; one that a later RQ may bring stands as it is."""
    return str(_STATES.get(state.lower(), state))


@register.simple_tag
def rq_list(state: str, queue: str) -> str:
    """The title of a queue's list of jobs."""
    return (_LISTS.get(state.lower()) or _("Jobs in %(queue)s")) % {"queue": queue}
