"""Alerts in this thread, as the monitor does in its own."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from monitoring.alerting import delivery
from monitoring.models import AlertHandler, Delivery
from tests.support.receivers import HttpReceiver

Tell = Callable[..., None]  #: counts the dead letters, routes and delivers what is due


def due_now() -> list[Delivery]:
    """The deliveries that are due now."""
    lanes = set(Delivery.objects.pending().values_list("target", flat=True))
    return [each for lane in lanes for each in delivery.due_deliveries(lane, timezone.now())]


def webhook(receiver: HttpReceiver, **fields: Any) -> AlertHandler:
    """A webhook handler for the receiver."""
    fields = {"name": "hook", "config": {"url": receiver.url}, "secrets": {"secret": "s"}, **fields}
    return AlertHandler.objects.create(kind="webhook", **fields)


def later(seconds: float = 301) -> datetime:
    """A time in the future."""
    return timezone.now() + timedelta(seconds=seconds)
