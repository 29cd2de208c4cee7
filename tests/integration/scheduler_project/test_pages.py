"""HTTP from outside: the admin, the API, health and metrics."""

import json
import re
from typing import Any

import pytest
from django.apps import apps
from django.contrib.admin import site
from django.contrib.auth.models import Permission, User
from django.db import IntegrityError, OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from redis import ConnectionError as NoConnection
from redis import Redis, ResponseError

from jobs.models import CronTask, Job
from jobs.service import Submission, submit
from ops.reads import audit_trail as trail
from tests.support.servers import SandboxApi

pytestmark = pytest.mark.django_db(transaction=True)
API: dict[str, Any] = {"HTTP_AUTHORIZATION": "Bearer secret-of-tests"}


@pytest.fixture
def operator(client: Client) -> Client:
    """A browser in which a superuser is logged in."""
    client.force_login(User.objects.create_superuser("ann", "", "x"))
    return client


def a_job() -> Job:
    """A queued job."""
    return submit(Submission(type="EVENT_EXPIRATION", campaign_id="c-1", payload={}), actor="test")[0]


@pytest.mark.parametrize(
    "page",
    [
        "",
        "jobs/job/",
        "jobs/job/add/",
        "jobs/auditentry/",
        "jobs/crontask/",
        "jobs/crontask/add/",
        "jobs/schedulerow/",
        "jobs/campaignclock/",
        "queues/",
        "jobs/job/?q=c-1&state=QUEUED",
    ],
)
def test_every_page_answers_an_administrator(operator: Client, redis: Redis, page: str) -> None:
    """With 200."""
    a_job()

    assert operator.get(f"/admin/{page}").status_code == 200


@pytest.mark.parametrize(
    ("page", "empty", "narrowed"),
    [
        ("jobs/job/", "No jobs yet. Jobs are created by", "No jobs match."),
        ("jobs/campaignclock/", "No campaigns yet. The listener reads", "No campaigns match."),
        ("jobs/schedulerow/", "No schedules yet. Recalculation jobs create", "No schedules match."),
        ("jobs/crontask/", "No cron tasks yet.", "No cron tasks match."),
    ],
)
def test_an_empty_list_says_once_what_to_do_next(
    operator: Client, redis: Redis, page: str, empty: str, narrowed: str
) -> None:
    """And something else if a search or a filter found nothing."""
    CronTask.objects.all().delete()
    plain = operator.get(f"/admin/{page}").content.decode()
    searched = operator.get(f"/admin/{page}", {"q": "nothing"}).content.decode()

    assert empty in plain
    assert narrowed in searched
    assert (plain.count("ops-empty"), searched.count("ops-empty")) == (1, 1)


def test_cancelling_in_the_admin_is_audited(operator: Client, redis: Redis) -> None:
    """With the person's name and reason."""
    job = a_job()
    form = {"action": "cancel", "_selected_action": [str(job.pk)], "reason": "not today", "confirmed": "1"}

    operator.post("/admin/jobs/job/", form)

    entry = job.audit_trail.get(now="CANCELLED")
    assert (entry.actor, entry.reason) == ("user:ann", "not today")


def test_cancelling_needs_permission(client: Client, redis: Redis) -> None:
    """Without it the server refuses the action."""
    viewer = User.objects.create_user("bob", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_job"))
    client.force_login(viewer)
    job = a_job()

    client.post("/admin/jobs/job/", {"action": "cancel", "_selected_action": [str(job.pk)], "confirmed": "1"})

    job.refresh_from_db()
    assert job.state == "QUEUED"
    assert client.get("/admin/jobs/job/add/").status_code == 403


def test_a_bad_cron_expression_is_reported_under_its_field(operator: Client) -> None:
    """Nothing is saved."""
    task = CronTask.objects.get(name="event-expiration")
    form = {
        "name": task.name,
        "type": task.type,
        "campaign_id": "",
        "payload": "{}",
        "priority": 5,
        "expression": "61 * * * *",
        "time_zone": "Mars/Base",
        "enabled": "on",
    }

    page = operator.post(f"/admin/jobs/crontask/{task.pk}/change/", form).content.decode()

    assert "is not a cron expression" in page
    assert "There is no time zone" in page
    task.refresh_from_db()
    assert task.expression == "0 0 1 1 *"


def post(client: Client, path: str, body: object, **headers: Any) -> Any:
    """POST JSON."""
    return client.post(path, json.dumps(body), content_type="application/json", **(headers or API))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"[", "body"),
        (b"[1]", "body"),
        (b"[" * 200_000, "body"),
        (b"\xff", "body"),
        (b'{"type": "EVENT_EXPIRATION", "campaignId": "\\ud800"}', "campaignId"),
        (b'{"type": "EVENT_EXPIRATION", "campaignId": "c", "payload": {"' + b"x" * 1_000_000 + b'": 1}}', "payload"),
        (b'{"type": "EVENT_EXPIRATION", "campaignId": "c", "dueAt": "2026-01-01T00:00:00"}', "dueAt"),
        (b'{"type": "EVENT_EXPIRATION", "campaignId": "c", "dueAt": "1999-01-01T00:00:00Z"}', "dueAt"),
        (b'{"type": "EVENT_EXPIRATION", "campaignId": "c", "dueAt": 7}', "dueAt"),
    ],
    ids=["open", "list", "deep", "no UTF-8", "surrogate", "1 MB field", "no offset", "long ago", "a number"],
)
def test_the_api_names_what_is_wrong(client: Client, redis: Redis, body: bytes, field: str) -> None:
    """400 as JSON with the client's field, however odd the body; nothing is stored."""
    answer = client.post("/api/jobs", body, content_type="application/json", **API)

    assert answer.status_code == 400
    assert answer.json()["field"].startswith(field)
    assert answer.json()["error"].startswith(field)
    assert not Job.objects.exists()


def test_a_due_time_with_an_offset_means_that_moment(client: Client, redis: Redis) -> None:
    """In the payload or beside it; the same moment is the same work."""
    year = timezone.now().year + 1
    effect = {"effectId": "e", "executeAt": f"{year}-01-01T08:00:00+02:00"}
    in_payload = {"type": "DEFERRED_EFFECT", "campaignId": "c", "payload": effect}
    beside = {"type": "EVENT_EXPIRATION", "campaignId": "c", "dueAt": f"{year}-01-01T01:00:00-05:00"}
    utc = {"type": "EVENT_EXPIRATION", "campaignId": "c", "dueAt": f"{year}-01-01T06:00:00Z"}
    answers = [post(client, "/api/jobs", body) for body in (in_payload, beside, utc)]

    assert [answer.status_code for answer in answers] == [201, 201, 200]
    assert {job.due_at.isoformat() for job in Job.objects.all()} == {f"{year}-01-01T06:00:00+00:00"}


def test_the_api_submits_shows_and_changes_jobs(client: Client, redis: Redis) -> None:
    """201 for a new job, 200 for the same again, then commands."""
    year = timezone.now().year
    body = {
        "type": "DEFERRED_EFFECT",
        "campaignId": "c-1",
        "payload": {"effectId": "e", "executeAt": f"{year + 1}-02-01T00:00:00Z"},
    }
    first, again = post(client, "/api/jobs", body), post(client, "/api/jobs", body)
    path = f"/api/jobs/{first.json()['id']}"

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    assert post(client, f"{path}/reschedule", {"dueAt": f"{year + 2}-02-01T00:00:00Z"}).json()["state"] == "SCHEDULED"
    assert post(client, f"{path}/run-now", {}).json()["state"] == "QUEUED"
    assert post(client, f"{path}/cancel", {"reason": "enough"}).json()["state"] == "CANCELLED"
    refused = post(client, f"{path}/cancel", {})
    assert refused.status_code == 409
    assert refused.json()["error"].endswith("cannot be cancelled: CANCELLED")
    trail = client.get(path, **API).json()["auditTrail"]
    assert [entry["now"] for entry in trail] == ["SCHEDULED", "SCHEDULED", "QUEUED", "CANCELLED"]
    assert {entry["actor"] for entry in trail} == {"token:tests"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"type": "X"}, "type"),
        ([], "body"),
        ({"typo": 1}, "typo"),
        ({"due_at": "soon"}, "due_at"),
        ({"type": "EVENT_EXPIRATION", "campaignId": 0}, "campaignId"),
        ({"type": "EVENT_EXPIRATION", "dueAt": "soon"}, "dueAt"),
        ({"type": "EVENT_EXPIRATION", "dueAt": "2027-01-01T00:00:00"}, "dueAt"),
    ],
)
def test_the_api_names_the_field(client: Client, redis: Redis, body: object, field: str) -> None:
    """400 with the field; 401 without a token."""
    answer = post(client, "/api/jobs", body)

    assert (answer.status_code, answer.json()["field"]) == (400, field)
    assert post(client, "/api/jobs", body, HTTP_AUTHORIZATION="Bearer wrong").status_code == 401
    assert not Job.objects.exists()


def test_health_has_the_predecessor_s_shape(client: Client, sandbox: SandboxApi) -> None:
    """Without worker, scheduler and listener it is degraded, with 200."""
    answer = client.get("/health")
    body = answer.json()

    assert answer.status_code == 200
    assert body["status"] == "degraded"
    assert set(body) == {"status", "timestamp", "components", "version", "uptime"}
    assert {"redis", "redisSubscriber", "rqQueue", "api", "database", "worker", "scheduler"} <= set(body["components"])
    assert re.fullmatch(r"Connected \(latency: \d+ms\)", body["components"]["redis"]["message"])
    assert body["components"]["rqQueue"]["message"] == "Active: 0, Waiting: 0, Delayed: 0, Failed: 0"
    assert body["components"]["worker"] | {"lastChecked": ""} == {
        "status": "down",
        "message": "Unavailable",
        "lastChecked": "",
    }


def test_metrics_have_the_predecessor_s_names_and_types(client: Client, sandbox: SandboxApi) -> None:
    """The exposition parses and has each name with its type."""
    a_job()
    page = client.get("/metrics/prometheus").content.decode()
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", page, re.MULTILINE))
    seed = {
        "scheduler_queue_active": "gauge",
        "scheduler_queue_waiting": "gauge",
        "scheduler_queue_completed": "counter",
        "scheduler_queue_failed": "counter",
        "scheduler_dead_letter_count": "gauge",
        "scheduler_health_status": "gauge",
        "scheduler_component_status": "gauge",
        "scheduler_uptime_seconds": "counter",
        "process_cpu_usage_percent": "gauge",
        "process_memory_usage_bytes": "gauge",
    }

    assert seed.items() <= types.items()
    assert len(list(text_string_to_metric_families(page))) > len(seed)
    assert "\nscheduler_queue_waiting 1\n" in page
    assert 'scheduler_component_status{component="rq_queue"} 2' in page
    body = client.get("/metrics").json()
    assert body["queue"] == {"active": 0, "waiting": 1, "completed": 0, "failed": 0, "delayed": 0}
    assert body["deadLetter"] == {"count": 0}
    assert client.get("/health/live").status_code == client.get("/health/ready").status_code == 200


@pytest.mark.parametrize(
    "page", [m._meta.label_lower.replace(".", "/") for m in apps.get_models() if site.is_registered(m)]
)
def test_no_list_offers_facet_counts(operator: Client, redis: Redis, page: str) -> None:
    """Such counts scan all jobs per choice: even on request none are made."""
    assert "_facets" not in operator.get(f"/admin/{page}/").content.decode()
    with CaptureQueriesContext(connection) as queries:
        operator.get(f"/admin/{page}/?_facets=True")

    assert len(queries) < 15


@pytest.mark.parametrize(
    ("error", "status", "title"),
    [
        (NoConnection("gone"), 503, "Redis does not answer"),
        (OperationalError("gone"), 503, "The database does not answer"),
        (ResponseError("WRONGTYPE a bug"), 500, "Something went wrong"),
        (IntegrityError("a bug"), 500, "Something went wrong"),
    ],
    ids=["Redis", "database", "bug with Redis", "bug with the database"],
)
def test_an_unavailable_store_is_named(
    operator: Client, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, title: str
) -> None:
    """503, because a retry may work, with what to do and what happens to jobs; a bug is not called an outage."""

    def away(*_: object) -> None:
        raise error

    monkeypatch.setattr(trail, "read_page", away)
    operator.raise_request_exception = False
    answer = operator.get("/admin/jobs/auditentry/")

    assert answer.status_code == status
    assert title in answer.content.decode()
    assert ("No job is lost" in answer.content.decode()) is (status == 503)


@pytest.mark.parametrize(
    ("page", "status"),
    [
        ("jobs/job/?finished_at_to=0001-01-01T00:00", 200),
        ("jobs/job/?due_at_from=9999-12-31T23:59", 200),
        ("jobs/auditentry/?since=0001-01-01T00:00", 200),
        ("jobs/auditentry/?until=9999-12-31T23:59", 200),
        ("jobs/job/export/csv/?priority__exact=high", 400),
        ("queues/queues/77/", 404),
        ("queues/queues/4/a:b/", 404),
    ],
)
@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Lima"])
def test_odd_filter_values_are_no_fault(operator: Client, redis: Redis, page: str, status: int, zone: str) -> None:
    """Times at either end of the calendar, in any zone, and impossible queues, jobs and priorities."""
    a_job()
    operator.cookies["zone"] = zone

    assert operator.get(f"/admin/{page}").status_code == status


def test_only_job_ids_can_be_selected(operator: Client, redis: Redis) -> None:
    """Anything else is a bad request, and nothing is done."""
    job = a_job()
    chosen = {"action": "cancel", "_selected_action": [str(job.pk), "x"], "confirmed": "1"}

    assert operator.post("/admin/jobs/job/", chosen).status_code == 400
    job.refresh_from_db()
    assert job.state == "QUEUED"


def test_error_pages_explain_themselves(client: Client, operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """404, 403, an expired form and a bug: what happened, what to do, and the request ID."""
    lost = operator.get("/admin/jobs/nothing/else/", HTTP_X_REQUEST_ID="req-5")
    stale = Client(enforce_csrf_checks=True).post("/admin/login/", {})
    monkeypatch.setattr(trail, "read_page", lambda *_: 1 / 0)
    client.raise_request_exception = False
    broken = client.get("/admin/jobs/auditentry/")
    client.force_login(User.objects.create_user("eve", is_staff=True))
    refused = client.get("/admin/jobs/auditentry/")

    assert [page.status_code for page in (lost, stale, broken, refused)] == [404, 403, 500, 403]
    for page, words in ((lost, "Request req-5"), (stale, "expired"), (broken, "Jobs go on"), (refused, "permission")):
        assert words in page.content.decode()
