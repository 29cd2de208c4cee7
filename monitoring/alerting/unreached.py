"""Alert handlers whose receiver does not take messages, which no alert could tell."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import Count, Max, Min

from monitoring.models import Delivery
from scheduler_project import links

TRIES: Final = 3  #: failed tries of a message after which more is wrong than a moment


@dataclass(frozen=True, slots=True)
class Unreached:
    name: str
    waiting: int
    """Messages."""
    since: datetime
    """When the oldest of them was to be sent."""
    url: str
    """The handler's deliveries; empty without ops/."""


def find_unreached() -> list[Unreached]:
    """The handlers with a message that failed TRIES times and is tried again; one query."""
    waiting = Delivery.objects.pending().filter(handler__isnull=False).order_by()
    found = waiting.values_list("handler_id", "handler__name").annotate(
        tries=Max("attempts"), messages=Count("pk"), since=Min("created_at")
    )
    page = links.page("monitoring_delivery_changelist")
    return [
        Unreached(name, messages, since, f"{page}?handler__id__exact={pk}" if page else "")
        for pk, name, _, messages, since in found.filter(tries__gte=TRIES).order_by("handler__name")
    ]
