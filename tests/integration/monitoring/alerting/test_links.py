"""Where an alert leads: its links and its runbook, in the admin and in every channel."""

from urllib.parse import urlsplit

import pytest
from django.test import Client, override_settings
from django.utils import timezone
from redis import Redis

from jobs.models import FailureGroup, Job
from monitoring.alerting import dead_letters
from monitoring.alerting.channels import CHANNELS
from monitoring.alerting.links import links_of, runbook_of
from monitoring.alerting.message import TRIGGER, Message, message_of
from monitoring.models import Alert, Kind, MonitorState, Severity
from tests.support.dead_letters import make_dead_letters
from tests.support.documents import anchors_of
from tests.support.receivers import HttpReceiver
from tests.support.servers import ROOT

pytestmark = pytest.mark.django_db


@pytest.fixture
def alert(redis: Redis) -> Alert:
    """The alert that a dead letter opens."""
    make_dead_letters()
    now = timezone.now()
    FailureGroup.objects.create(key="0123abcd", error="TransientError", first_seen=now, last_seen=now)
    Job.objects.update(failure_key="0123abcd")
    MonitorState.objects.update_or_create(defaults={"dead_letters_until": now})
    dead_letters.collect(now)
    return Alert.objects.get()


def a_message(alert: Alert) -> Message:
    return message_of(alert, TRIGGER, count=1, at=alert.last_at)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.CODE])
def test_a_runbook_is_a_line_and_a_section_that_exists(kind: Kind) -> None:
    first, _, section = runbook_of(kind).partition(" docs/operating.md#")

    assert "\n" not in first
    assert first.endswith(".")
    assert section in anchors_of(ROOT / "docs" / "operating.md")


@override_settings(PUBLIC_URL="https://ops.example.org")
def test_every_link_opens_a_page(alert: Alert, admin_client: Client) -> None:
    """The alert's, the failure's, the job's."""
    links = links_of(alert)

    assert list(links) == ["alert", "failure", "job"]
    for name, address in links.items():
        assert address.startswith("https://ops.example.org/admin/"), name
        assert admin_client.get(urlsplit(address).path).status_code == 200, name


def test_without_public_url_links_are_paths_and_a_note_says_so(alert: Alert, admin_client: Client) -> None:
    assert links_of(alert)["alert"] == f"/admin/monitoring/alert/{alert.pk}/change/"
    assert (
        "is not set: alerts name pages by their paths"
        in admin_client.get("/admin/monitoring/alerthandler/").content.decode()
    )
    with override_settings(PUBLIC_URL="https://ops.example.org"):
        assert "PUBLIC_URL is not set" not in admin_client.get("/admin/monitoring/alerthandler/").content.decode()


def test_details_of_code_are_no_jobs() -> None:
    fields = {"key": "k", "severity": Severity.INFO, "title": "t", "details": {"jobs": [{}], "failure": {"a": 1}}}
    alert = Alert.objects.create(kind=Kind.CODE, **fields)

    assert list(links_of(alert)) == ["alert"]
    assert runbook_of(alert.kind) == ""


@override_settings(PUBLIC_URL="https://ops.example.org")
@pytest.mark.parametrize("channel", ["webhook", "slack", "pagerduty", "apprise"])
def test_every_channel_sends_links_and_runbook(alert: Alert, receiver: HttpReceiver, channel: str) -> None:
    url = receiver.url.replace("http", "json", 1) if channel == "apprise" else receiver.url
    CHANNELS[channel].send(a_message(alert), {"url": url, "secret": "s", "routing_key": "R" * 32})

    body = receiver.got[-1].body.decode()
    for address in links_of(alert).values():
        assert address in body
    assert "fix its cause" in body
