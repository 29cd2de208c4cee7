"""The alert pages: content, permissions and secrets."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from redis import Redis

from jobs.models import CampaignClock, OperatorAction
from jobs.service import Submission, submit
from monitoring import alerting
from monitoring.models import Alert, AlertHandler, Delivery, Kind, MonitorState, Severity
from tests.support.people import member

pytestmark = pytest.mark.django_db
HANDLERS = "/admin/monitoring/alerthandler/"
ALERTS = "/admin/monitoring/alert/"
DELIVERIES = "/admin/monitoring/delivery/"
COMMON = {"minimum_severity": 20, "time_zone": "UTC", "enabled": "on", "wake_for_critical": "on", "campaigns": ""}


@pytest.fixture
def ann(client: Client) -> Client:
    """An administrator."""
    return member(client, "Administrator", name="ann")


@pytest.mark.parametrize(
    ("kind", "fields", "config", "secrets"),
    [
        ("log", {}, {}, {}),
        ("email", {"to": "ann@example.org"}, {"to": "ann@example.org"}, {}),
        ("webhook", {"url": "https://h/x", "secret": "hush-hush"}, {"url": "https://h/x"}, {"secret": "hush-hush"}),
        ("slack", {"url": "https://h/T/B/hush-hush"}, {}, {"url": "https://h/T/B/hush-hush"}),
        ("pagerduty", {"routing_key": "hush-hush", "url": ""}, {"url": ""}, {"routing_key": "hush-hush"}),
        ("apprise", {"url": "json://u:hush-hush@h/"}, {}, {"url": "json://u:hush-hush@h/"}),
    ],
)
def test_each_channel_has_its_own_form(
    ann: Client, kind: str, fields: dict[str, str], config: dict[str, str], secrets: dict[str, str]
) -> None:
    """Saved as the channel needs it; a secret is never shown again, and an empty one keeps the stored one."""
    form = {"name": "n", **COMMON, **{f"channel_{name}": value for name, value in fields.items()}}
    assert f"?kind={kind}" in ann.get(f"{HANDLERS}add/").content.decode()

    added = ann.post(f"{HANDLERS}add/?kind={kind}", form)
    handler = AlertHandler.objects.get()
    page = ann.get(f"{HANDLERS}{handler.pk}/change/").content.decode()
    hidden = {f"channel_{name}": "" for name in secrets}
    changed = ann.post(f"{HANDLERS}{handler.pk}/change/", {**form, **hidden, "name": "m"})
    handler.refresh_from_db()

    assert (added.status_code, changed.status_code) == (302, 302)
    assert (handler.name, handler.kind, handler.config, handler.secrets) == ("m", kind, config, secrets)
    assert "hush-hush" not in page
    assert "hush-hush" not in str(list(OperatorAction.objects.values()))
    assert [act.verb for act in OperatorAction.objects.order_by("id")] == ["added", "changed"]


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("email", {"channel_to": "nobody"}, "valid email"),
        ("email", {"channel_to": ""}, "required"),
        ("webhook", {"channel_url": "ftp://h", "channel_secret": "x"}, "begins with http"),
        ("webhook", {"channel_url": "http://h", "channel_secret": ""}, "required"),
        ("slack", {"channel_url": "file:///etc/passwd"}, "begins with http"),
        ("apprise", {"channel_url": "syslog://"}, "not offered"),
        ("apprise", {"channel_url": "no such"}, "does not know this URL"),
        ("log", {"time_zone": "Mars/Olympus"}, "There is no time zone"),
        ("log", {"quiet_from": "22:00"}, "a start and an end"),
    ],
)
def test_an_invalid_field_is_reported(ann: Client, kind: str, fields: dict[str, str], words: str) -> None:
    """Under the field; nothing is stored."""
    answer = ann.post(f"{HANDLERS}add/?kind={kind}", {"name": "n", **COMMON, **fields})

    assert words in answer.content.decode()
    assert not AlertHandler.objects.exists()


@pytest.mark.parametrize(("kind", "secret"), [("pagerduty", "routing_key"), ("webhook", "secret")])
def test_a_saved_secret_goes_to_no_other_receiver(ann: Client, kind: str, secret: str) -> None:
    """Whoever may change the URL need not know the secret: it is entered again."""
    urls = {"url": "https://events.example.org/"}
    handler = AlertHandler.objects.create(name="n", kind=kind, config=urls, secrets={secret: "hush-hush"})
    page = f"{HANDLERS}{handler.pk}/change/"
    form = {"name": "n", **COMMON, "channel_url": "https://other.example.org/", f"channel_{secret}": ""}

    refused = ann.post(page, form)
    handler.refresh_from_db()
    assert "The receiver is another one" in refused.content.decode()
    assert handler.config == urls

    assert ann.post(page, {**form, f"channel_{secret}": "new-secret"}).status_code == 302
    handler.refresh_from_db()
    assert (handler.config, handler.secrets) == ({"url": "https://other.example.org/"}, {secret: "new-secret"})


def test_a_button_sends_a_test_alert(ann: Client) -> None:
    """It says so if no monitor is there to send it."""
    handler = AlertHandler.objects.create(name="n", kind="log")
    click = {"action": "send_test", "_selected_action": [handler.pk]}

    waits = ann.post(HANDLERS, click, follow=True).content.decode()
    MonitorState.objects.create(until=timezone.now() + timedelta(seconds=15))
    sent = ann.post(HANDLERS, click, follow=True)

    assert "no monitor is running" in waits
    assert "Test alert queued for" in sent.content.decode()
    assert Delivery.objects.filter(action="test", handler=handler).count() == 2
    assert "Send test alert" in ann.get(f"{HANDLERS}{handler.pk}/change/").content.decode()


def test_each_handler_that_is_deleted_is_recorded(ann: Client) -> None:
    """Of several at once, and alone."""
    handlers = [AlertHandler.objects.create(name=name, kind="log") for name in ("one", "two", "alone")]
    form = {"action": "delete_selected", "_selected_action": [str(h.pk) for h in handlers[:2]], "post": "yes"}

    ann.post(HANDLERS, form)
    ann.post(f"{HANDLERS}{handlers[2].pk}/delete/", {"post": "yes"})

    assert not AlertHandler.objects.exists()
    targets = OperatorAction.objects.filter(verb="deleted").values_list("target", flat=True)
    assert sorted(targets) == ["alert handler alone", "alert handler one", "alert handler two"]


def test_several_test_alerts_are_sent_at_once(ann: Client) -> None:
    """Each is named."""
    handlers = [AlertHandler.objects.create(name=name, kind="log") for name in ("one", "two")]
    MonitorState.objects.create(until=timezone.now() + timedelta(seconds=15))
    form = {"action": "send_test", "_selected_action": [str(h.pk) for h in handlers]}

    sent = ann.post(HANDLERS, form, follow=True).content.decode()

    assert "Test alert queued for one, two" in sent
    assert set(Delivery.objects.values_list("handler_name", flat=True)) == {"one", "two"}


@pytest.mark.parametrize(("verb", "field"), [("acknowledge", "acknowledged_by"), ("resolve", "resolved_by")])
def test_acknowledging_and_resolving_are_audited(ann: Client, verb: str, field: str) -> None:
    """The answer says what was and was not done, and leads back to the page."""
    alerting.critical("x")
    alert = Alert.objects.get()
    page = f"{ALERTS}{alert.pk}/change/"
    click: dict[str, Any] = {"action": verb, "_selected_action": [alert.pk], "back": page}

    before = ann.get(page).content.decode()
    first = ann.post(f"{ALERTS}?status=all", click)
    second = ann.post(f"{ALERTS}?status=all", click, follow=True)
    alert.refresh_from_db()

    assert f'value="{verb}"' in before
    assert first["Location"] == page
    assert "1 was not changed" in second.content.decode()
    assert getattr(alert, field) == "user:ann"
    assert OperatorAction.objects.filter(actor="user:ann", verb__startswith=verb, target="alert x").count() == 1


def test_an_alert_s_jobs_and_campaigns_have_names_and_links(ann: Client) -> None:
    """Removed ones are marked; details of code with the same names are plain details."""
    CampaignClock.objects.create(campaign_id="c-2", name="Northmarch")
    job, _ = submit(Submission(type="EVENT_EXPIRATION", campaign_id="c-2", payload={}), actor="test")
    gone = "01890000-0000-7000-8000-000000000000"
    details = {"jobs": [gone, str(job.pk), "no id"], "campaigns": {"c-2": 2, "c-9": 1}}
    alert = Alert.objects.create(kind=Kind.JOB_DEAD, key="k", severity=30, title="t", details=details)
    page = " ".join(ann.get(f"{ALERTS}{alert.pk}/change/").content.decode().split())

    assert f'<a href="/admin/jobs/job/{job.pk}/change/">Event expiration</a> <small>Northmarch</small>' in page
    assert f"{gone} <small>removed</small>" in page
    assert '<a href="/admin/jobs/campaignclock/c-2/change/">Northmarch</a></dt><dd>2</dd>' in page
    assert "<dt>c-9</dt><dd>1</dd>" in page
    Alert.objects.update(kind=Kind.CODE, details={"jobs": ["nightly"], "campaigns": 5})
    page = ann.get(f"{ALERTS}{alert.pk}/change/").content.decode()
    assert "<dt>Campaigns</dt><dd>5</dd>" in page
    assert "nightly" in page
    assert "removed" not in page


def test_an_alert_links_to_the_page_of_its_cause(ann: Client) -> None:
    """None for alerts from code, or about Redis or the database."""
    nowhere = {Kind.JOB_DEAD, Kind.REDIS_GONE, Kind.DATABASE_GONE, Kind.CODE}  # a dead job's type is a link of its own
    for kind in Kind:
        alert = Alert.objects.create(kind=kind, key=kind, severity=30, title="t")
        page = ann.get(f"{ALERTS}{alert.pk}/change/").content.decode()
        way = re.search(rf'<dt>Kind</dt><dd><a href="([^"]+)">{kind.label}</a></dd>', page)

        assert (way is None) == (kind in nowhere), kind
        assert way is None or ann.get(way[1]).status_code == 200, kind
        assert way is None or re.search(rf'docs/operating.md#[a-z0-9-]+ · <a href="{way[1]}">', page), kind
        assert "None: no alert handler is enabled." in page


def test_each_column_is_labelled_on_a_phone(client: Client) -> None:
    """Also for users without a selection column, which unfold takes the first column for."""
    member(client, "Viewer", name="vic")
    alerting.critical("x")
    labels = re.findall(r'<t[dh][^>]* data-label="([^"]*)"', client.get(ALERTS).content.decode())

    assert labels[:3] == ["title", "severity", "status"]


def test_the_way_back_never_leaves_the_host(ann: Client) -> None:
    """Not to another host."""
    alerting.critical("x")
    click = {"action": "resolve", "_selected_action": [Alert.objects.get().pk], "back": "https://evil.example/"}

    assert ann.post(ALERTS, click)["Location"].startswith("/admin/monitoring/alert/")


def test_a_handler_that_is_not_reached_is_shown_where_people_look(ann: Client, redis: Redis) -> None:
    """Not after a try that failed once, nor once its messages have arrived; there is no other sign of it at night."""
    handler = AlertHandler.objects.create(name="Night pager", kind="webhook")
    fields = {"target": "handler:1", "handler": handler, "handler_name": "Night pager", "handler_kind": "webhook"}

    def noted() -> list[bool]:
        texts = {
            ALERTS: "“Night pager” cannot be reached: 2 messages wait",
            HANDLERS: "“Night pager” cannot be reached",
        }
        texts["/admin/"] = "Alert handler not reached: Night pager"
        return [text in ann.get(page).content.decode() for page, text in texts.items()]

    first = Delivery.objects.create(attempts=1, action="trigger", **fields)
    Delivery.objects.create(attempts=0, action="trigger", **fields)
    assert noted() == [False] * 3
    Delivery.objects.filter(pk=first.pk).update(attempts=3)
    assert noted() == [True] * 3
    Delivery.objects.update(status="sent")
    assert noted() == [False] * 3


def test_failed_deliveries_are_sent_again(ann: Client) -> None:
    """And no others."""
    fields = {"target": "handler:1", "handler_name": "n", "handler_kind": "log", "action": "trigger"}
    failed = Delivery.objects.create(status="failed", attempts=10, **fields)
    sent = Delivery.objects.create(status="sent", attempts=1, http_status=200, **fields)
    click = {"action": "deliver_again", "_selected_action": [failed.pk, sent.pk]}

    page = ann.post(DELIVERIES, click, follow=True).content.decode()

    assert "1 will be sent again. 1 skipped (not failed)." in page
    assert dict(Delivery.objects.values_list("pk", "status")) == {failed.pk: "pending", sent.pk: "sent"}


def test_a_delivery_leads_to_its_handler_and_can_be_sent_again(ann: Client) -> None:
    """Its times have a zone; what is not pending has no next attempt."""
    handler = AlertHandler.objects.create(name="Night pager", kind="webhook")
    fields = {"target": "handler:1", "handler": handler, "handler_name": "Night pager", "handler_kind": "webhook"}
    at = datetime(2099, 5, 1, 12, tzinfo=UTC)
    pages = {}
    for status in ("pending", "failed", "sent"):
        one = Delivery.objects.create(status=status, action="test", next_at=at, **fields)
        pages[status] = ann.get(f"{DELIVERIES}{one.pk}/change/").content.decode()

    assert "2099-05-01 12:00:00 UTC" in pages["pending"]
    assert all("2099" not in pages[status] for status in ("failed", "sent"))
    assert [status for status, page in pages.items() if 'value="deliver_again"' in page] == ["failed"]
    assert f'<a href="{HANDLERS}{handler.pk}/change/">Night pager</a>' in pages["failed"]
    assert "Webhook" in pages["failed"]
    viewed = member(Client(), "Viewer", name="vic").get(f"{DELIVERIES}{one.pk}/change/").content.decode()
    assert "Night pager" in viewed
    assert HANDLERS not in viewed


@pytest.mark.parametrize(("group", "may_act"), [("Viewer", False), ("Operator", True)])
def test_operators_act_on_alerts_and_viewers_look(client: Client, group: str, may_act: bool) -> None:
    """Neither sees handlers; where there is no button, the server refuses what is posted."""
    member(client, group)
    alerting.critical("x")
    alert = Alert.objects.get()
    handler = AlertHandler.objects.create(name="n", kind="log")

    page = client.get(f"{ALERTS}{alert.pk}/change/")
    client.post(ALERTS, {"action": "resolve", "_selected_action": [alert.pk]})
    client.post(HANDLERS, {"action": "send_test", "_selected_action": [handler.pk]})
    alert.refresh_from_db()

    assert page.status_code == 200
    assert ("ops-buttons" in page.content.decode()) is may_act
    assert client.get(DELIVERIES).status_code == 200
    assert (alert.resolved_by == "user:bob") is may_act
    assert not Delivery.objects.exists()
    for url in (HANDLERS, f"{HANDLERS}add/", f"{HANDLERS}add/?kind=log", f"{HANDLERS}{handler.pk}/change/"):
        assert client.get(url).status_code == 403
    assert HANDLERS not in client.get("/admin/").content.decode()


def test_the_menu_counts_open_alerts(ann: Client) -> None:
    """On every page; the list says if no monitor would raise any."""

    def badge(answer: Any) -> Any:
        groups = answer.context["sidebar_navigation"]
        (item,) = [item for group in groups for item in group["items"] if item["title"] == "Alerts"]
        return item.get("badge")

    quiet = ann.get(HANDLERS)
    for n in range(3):
        alerting.critical(str(n))
    alerting.acknowledge(Alert.objects.filter(title="0"), actor="user:ann")
    told = ann.get(HANDLERS)
    MonitorState.objects.create(until=timezone.now() + timedelta(seconds=15))

    assert badge(quiet) is None
    assert badge(told) == "2"
    assert "No monitor is running" in quiet.content.decode()
    assert "No monitor is running" not in ann.get(ALERTS).content.decode()


def test_the_list_shows_unresolved_alerts(ann: Client) -> None:
    """Resolved ones by a filter."""
    alerting.critical("stays")
    alerting.warning("goes")
    alerting.resolve(Alert.objects.filter(title="goes"), actor="user:ann")

    def shown(query: str) -> set[str]:
        page = ann.get(f"{ALERTS}{query}").content.decode()
        return {title for title in ("stays", "goes") if f">{title}</a>" in page}

    assert shown("") == {"stays"}
    assert shown("?status=resolved") == {"goes"}
    assert shown("?status=all") == {"stays", "goes"}
    assert [a.severity for a in alerting.open_alerts()] == [Severity.CRITICAL]


def test_a_service_without_alerts_says_so(client: Client) -> None:
    """As long as nothing narrows the list, nothing fails to match."""
    viewer = member(client, "Viewer")

    assert "No open alerts." in viewer.get("/admin/monitoring/alert/").content.decode()
    assert "No alerts match." in viewer.get("/admin/monitoring/alert/?status=resolved").content.decode()
