"""Receivers that answer a byte at a time: each read is in time, the whole answer never is."""

import time

import pytest
from pytest_django import Settings

from monitoring.alerting import delivery
from monitoring.alerting.channels.base import DeliveryFailed
from monitoring.alerting.message import Message
from monitoring.models import AlertHandler, Severity
from tests.support.receivers import dripping_server

MESSAGE = Message("trigger", "a", "code", Severity.INFO, "t", "m", "2026-01-01T00:00:00.000+00:00")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "DEADLINE_S", 0.3)


@pytest.mark.parametrize("kind", ["webhook", "slack", "pagerduty", "apprise", "email"])
def test_a_receiver_that_drips_is_given_up(settings: Settings, kind: str) -> None:
    """Whatever a channel sends over; its lane is free again."""
    with dripping_server() as port:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
        scheme = "json" if kind == "apprise" else "http"
        config = {"url": f"{scheme}://127.0.0.1:{port}/", "to": "ann@example.org"}
        handler = AlertHandler(
            name="x", kind=kind, config=config, secrets={"secret": "signature", "routing_key": "routing"}
        )
        began = time.monotonic()
        with pytest.raises(DeliveryFailed, match=r"no complete answer within 0\.3 s"):
            delivery.send_by(handler, MESSAGE)

    assert time.monotonic() - began < 8


@pytest.mark.parametrize("length", ["", "Content-Length: 2000\r\n"])
def test_an_answer_that_is_never_complete_counts_by_its_status(length: str) -> None:
    """The message has arrived: to send it again would be to send it twice."""
    with dripping_server(f"HTTP/1.1 202 Accepted\r\n{length}\r\nthanks".encode()) as port:
        config = {"url": f"http://127.0.0.1:{port}/"}
        began = time.monotonic()
        answer = delivery.send_by(AlertHandler(kind="webhook", config=config, secrets={"secret": "s"}), MESSAGE)

    assert answer.http_status == 202
    assert time.monotonic() - began < 8
