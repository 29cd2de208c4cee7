"""A handler that is disabled, and enabled again."""

import pytest
from django.utils import timezone

from monitoring import alerting
from monitoring.alerting import routing
from monitoring.models import Alert, AlertHandler, Delivery
from tests.support.alerts import Tell, webhook
from tests.support.receivers import HttpReceiver

pytestmark = pytest.mark.django_db


def test_a_disabled_handler_gets_nothing_more(receiver: HttpReceiver, tell: Tell) -> None:
    """Not even what was pending, but for a test. Enabled again, it hears which alerts were resolved meanwhile."""
    handler = webhook(receiver)
    alerting.critical("sent")
    tell()
    alerting.critical("pending")
    routing.route(timezone.now())
    AlertHandler.objects.update(enabled=False)
    routing.send_test(handler)
    tell()
    alerting.resolve(Alert.objects.all(), actor="user:ann")
    tell()
    meanwhile = [(got.json["action"], got.json["title"]) for got in receiver.got]
    refused = Delivery.objects.get(status="failed")
    AlertHandler.objects.update(enabled=True)
    tell()
    tell()

    assert [title for _, title in meanwhile] == ["sent", "Test alert of the campaign scheduler"]
    assert (refused.message["title"], refused.answer) == ("pending", "the handler is disabled")
    assert [(got.json["action"], got.json["title"]) for got in receiver.got[2:]] == [
        ("resolve", "sent"),
        ("resolve", "pending"),
    ]


def test_a_resolution_that_is_pending_when_its_handler_is_disabled_is_owed(receiver: HttpReceiver, tell: Tell) -> None:
    """Otherwise an incident of PagerDuty would stay open."""
    webhook(receiver)
    alerting.critical("x")
    tell()
    receiver.statuses = [503]
    alerting.resolve(Alert.objects.all(), actor="user:ann")
    tell()
    AlertHandler.objects.update(enabled=False)
    Delivery.objects.pending().update(next_at=timezone.now())
    tell()
    AlertHandler.objects.update(enabled=True)
    tell()

    assert [got.json["action"] for got in receiver.got] == ["trigger", "resolve", "resolve"]
    assert list(Delivery.objects.order_by("id").values_list("status", flat=True)) == ["sent", "failed", "sent"]
