"""Each channel, delivered to a real receiver on this machine; and addresses that are refused."""

import hashlib
import hmac
import logging
import socket
import time
from typing import Any

import pytest
import urllib3
from django.core.exceptions import ValidationError
from pytest_django import Settings

from monitoring.alerting.channels import CHANNELS, Undeliverable
from monitoring.alerting.channels.base import DeliveryFailed, check_http_url, post
from monitoring.alerting.channels.pagerduty import EVENTS_URL
from monitoring.alerting.delivery import send_by
from monitoring.alerting.egress_guard import AddressRefused, egress_guard, is_public
from monitoring.alerting.message import Message
from monitoring.models import AlertHandler, Severity
from tests.support.receivers import HttpReceiver, http_receiver, mail_receiver

MESSAGE = Message(
    action="trigger",
    alert="campaign-scheduler-job_dead:X-1",
    kind="job_dead",
    severity=Severity.CRITICAL,
    title="X: a job is dead <!channel>",
    message="failure 3 of 3",
    timestamp="2026-01-01T00:00:00.000+00:00",
    count=42,
    details={"jobs": ["a", "b"]},
    environment="test",
    id="7",
)
RESOLVED = Message(**{**{f: getattr(MESSAGE, f) for f in MESSAGE.__slots__}, "action": "resolve"})


def test_webhooks_are_signed_with_a_timestamp(receiver: HttpReceiver) -> None:
    """The receiver can verify the sender and the content, and recognise a replay."""
    answer = CHANNELS["webhook"].send(MESSAGE, {"url": f"{receiver.url}/hook", "secret": "shared"})

    (got,) = receiver.got
    stamp = got.headers["X-Alert-Timestamp"]
    expected = hmac.new(b"shared", stamp.encode() + b"." + got.body, hashlib.sha256).hexdigest()
    assert got.headers["X-Alert-Signature"] == f"sha256={expected}"
    assert abs(time.time() - int(stamp)) < 60
    assert (got.path, got.headers["X-Alert-Delivery"]) == ("/hook", "7")
    assert (got.json["severity"], got.json["count"], got.json["action"]) == ("critical", 42, "trigger")
    assert (answer.http_status, answer.text) == (200, "ok")


def test_slack_messages_mention_nobody(receiver: HttpReceiver) -> None:
    """Whatever a title holds is plain text."""
    CHANNELS["slack"].send(MESSAGE, {"url": f"{receiver.url}/services/T/B/X"})

    (got,) = receiver.got
    assert got.json["text"] == "[CRITICAL] X: a job is dead &lt;!channel&gt; (and 41 more)"
    assert "failure 3 of 3" in got.json["attachments"][0]["blocks"][0]["text"]["text"]


def test_pagerduty_is_triggered_and_resolved_under_one_key(receiver: HttpReceiver) -> None:
    """Two events of the Events API v2 with one key."""
    config = {"routing_key": "R" * 32, "url": f"{receiver.url}/v2/enqueue"}
    for message in (MESSAGE, RESOLVED):
        CHANNELS["pagerduty"].send(message, config)

    trigger, resolve = (got.json for got in receiver.got)
    assert (trigger["event_action"], resolve["event_action"]) == ("trigger", "resolve")
    assert trigger["dedup_key"] == resolve["dedup_key"]
    assert trigger["routing_key"] == "R" * 32
    assert trigger["payload"]["severity"] == "critical"
    assert EVENTS_URL.startswith("https://")


def test_mails_arrive(settings: Settings) -> None:
    """At a real mail server, for all recipients, in one thread per alert."""
    with mail_receiver() as (port, mails):
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
        for message in (MESSAGE, RESOLVED):
            CHANNELS["email"].send(message, {"to": "ann@example.org, bob@example.org"})

    first, second = mails
    assert first["To"] == "ann@example.org, bob@example.org"
    assert first["Subject"] == "[CRITICAL] X: a job is dead <!channel> (and 41 more)"
    assert "failure 3 of 3" in str(first.get_payload())
    assert second["Subject"].startswith("[RESOLVED]")
    assert first["References"] == second["References"]


def test_apprise_delivers(receiver: HttpReceiver) -> None:
    """By the URL of one of its services."""
    CHANNELS["apprise"].send(MESSAGE, {"url": receiver.url.replace("http://", "json://")})

    (got,) = receiver.got
    assert got.json["title"].startswith("[CRITICAL] X: a job is dead")
    assert "failure 3 of 3" in got.json["message"]


def test_the_log_channel_writes_a_log_line(caplog: pytest.LogCaptureFixture) -> None:
    """At the level of the severity."""
    with caplog.at_level(logging.INFO):
        CHANNELS["log"].send(MESSAGE, {})

    (line,) = [record for record in caplog.records if record.name == "alerts"]
    assert line.levelno == logging.ERROR


def test_an_error_response_is_a_failed_attempt(receiver: HttpReceiver) -> None:
    """With its status and text in the delivery log."""
    receiver.statuses = [503]

    with pytest.raises(DeliveryFailed) as refused:
        post(receiver.url, b"{}", {})

    assert (refused.value.answer.http_status, refused.value.answer.text) == (503, "ok")


@pytest.mark.parametrize(
    ("kind", "secrets"),
    [
        ("slack", {"url": "http://127.0.0.1:9/services/T0/B0/topsecret"}),
        ("apprise", {"url": "json://user:topsecret@127.0.0.1:9/topsecret"}),
        ("webhook", {"secret": "topsecret"}),
    ],
)
def test_no_error_shows_a_secret(kind: str, secrets: dict[str, str]) -> None:
    """Whoever reads the delivery log may not know the secret."""
    handler = AlertHandler(name="x", kind=kind, config={"url": "http://127.0.0.1:9/?x=topsecret"}, secrets=secrets)

    with pytest.raises(DeliveryFailed) as error:
        send_by(handler, MESSAGE)

    assert "topsecret" not in str(error.value)


# -- where messages may go


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.1",
        "224.0.0.1",
        "::1",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
        "::",
        "localhost",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b:1::7f00:1",
        "fec0::1",
        "2001::1",
        "2001:db8::1",
        "3fff::1",
        "5f00::1",
        "64:ff9b::6440:1",
        "192.0.0.8",
        "198.18.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "ff02::1",
    ],
)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    """However they are written."""
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:8.8.8.8"])
def test_public_addresses_are_allowed(address: str) -> None:
    """Alerts may go there."""
    assert is_public(address)


@pytest.mark.parametrize("url", ["ftp://x/", "file:///etc/passwd", "http://", "//host", "gopher://h", "http://h:0/"])
def test_only_http_urls_are_accepted(url: str) -> None:
    """Whatever else a URL may be."""
    with pytest.raises(Exception, match="http"):
        check_http_url(url)


@pytest.mark.parametrize("kind", ["webhook", "slack", "pagerduty"])
def test_a_password_in_a_url_is_refused(kind: str) -> None:
    """It would be shown in the admin, and never be sent."""
    check = next(field.check for field in CHANNELS[kind].fields if field.name == "url")
    assert check is not None

    check("https://hooks.example.org/x@y")
    with pytest.raises(ValidationError, match="not sent"):
        check("https://user:password@hooks.example.org/")


@pytest.mark.parametrize("kind", ["webhook", "slack", "pagerduty", "apprise"])
def test_private_addresses_are_refused_by_every_channel(settings: Settings, receiver: HttpReceiver, kind: str) -> None:
    """Nothing arrives, and it is not tried again."""
    settings.ALERT_ALLOW_PRIVATE_NETWORKS = False
    url = receiver.url.replace("http", "json", 1) if kind == "apprise" else receiver.url

    with pytest.raises(Undeliverable, match="ALERT_ALLOW_PRIVATE_NETWORKS"):
        CHANNELS[kind].send(MESSAGE, {"url": url, "secret": "s", "routing_key": "r"})

    assert receiver.got == []


def test_dns_rebinding_is_refused(settings: Settings, receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Public at the first lookup, private at the second: the address connected to counts."""
    settings.ALERT_ALLOW_PRIVATE_NETWORKS = False
    port = int(receiver.url.rpartition(":")[2])
    real, answers = socket.getaddrinfo, iter(["93.184.215.14", "127.0.0.1"])

    def rebinding(host: str, *args: Any, **kwargs: Any) -> Any:
        return real(next(answers) if host == "rebinding.example" else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    assert socket.getaddrinfo("rebinding.example", port)[0][4][0] == "93.184.215.14"

    with pytest.raises(Undeliverable, match=r"127\.0\.0\.1"):
        post(f"http://rebinding.example:{port}/", b"{}", {})

    assert receiver.got == []


@pytest.mark.parametrize("kind", ["webhook", "slack", "pagerduty", "apprise"])
def test_a_receiver_sends_a_message_on_to_no_other_host(receiver: HttpReceiver, kind: str) -> None:
    """It would get the whole of it, PagerDuty's key included; on its own host it may."""
    with http_receiver() as other:
        receiver.redirect_to = other.url.replace("127.0.0.1", "localhost")
        url = receiver.url.replace("http", "json", 1) if kind == "apprise" else receiver.url
        with pytest.raises((DeliveryFailed, ConnectionError), match=r"redirects to localhost|Apprise could not"):
            CHANNELS[kind].send(MESSAGE, {"url": url, "secret": "s", "routing_key": "r"})

    assert len(receiver.got) == 1
    assert other.got == []


def test_redirects_end(receiver: HttpReceiver) -> None:
    """A receiver may send on to itself."""
    receiver.redirect_to = "/again"

    with pytest.raises(DeliveryFailed, match="too many redirects"):
        post(receiver.url, b"{}", {})

    assert [got.path for got in receiver.got] == ["/", "/again", "/again", "/again"]


def test_redirects_to_private_addresses_are_refused(receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """An allowed receiver cannot send the message on to one that is not."""
    with http_receiver() as inner:
        receiver.redirect_to = inner.url
        post(receiver.url, b"{}", {})
        followed = len(inner.got)
        first = int(receiver.url.rpartition(":")[2])
        allowed = iter([True, False])
        monkeypatch.setattr("monitoring.alerting.egress_guard.is_public", lambda _address: next(allowed))
        with pytest.raises(AddressRefused), egress_guard(), urllib3.PoolManager() as pool:
            pool.request("POST", receiver.url, body=b"{}", retries=urllib3.Retry(3))

    assert followed == 1
    assert len(inner.got) == 1
    assert len(receiver.got) == 2
    assert first


def test_the_guard_works_within_its_block_only(receiver: HttpReceiver) -> None:
    """Redis and the mail server of the environment may be anywhere."""
    address = ("127.0.0.1", int(receiver.url.rpartition(":")[2]))
    with egress_guard(), pytest.raises(AddressRefused):
        socket.create_connection(address)
    with egress_guard(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, pytest.raises(AddressRefused):
        udp.sendto(b"x", address)

    socket.create_connection(address).close()


@pytest.mark.parametrize("url", ["syslog://", "dbus://", "nothing://x", "not a url"])
def test_apprise_s_local_services_are_refused(url: str) -> None:
    """Nobody sees them on the monitor's machine."""
    with pytest.raises(Undeliverable):
        CHANNELS["apprise"].send(MESSAGE, {"url": url})
