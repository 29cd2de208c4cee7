"""Any text through every input: it is stored, rejected or left out, and stops nothing else."""

import json
from typing import Any
from urllib.parse import quote as percent

import pytest
from django.contrib.admin.utils import quote
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from redis import Redis

from jobs.main_api.client import MainApi
from jobs.models import AuditEntry, CampaignClock, CronTask, FailureGroup, Job
from jobs.states import State
from monitoring.models import AlertHandler
from scheduler_project.text import LONGEST_REASON, line
from tests.support.claiming import work
from tests.support.dead_letters import make_dead_letters
from tests.support.examples import examples
from tests.support.servers import SandboxApi
from tests.support.texts import ANY
from tests.support.working import submit_one

pytestmark = pytest.mark.django_db(transaction=True)
API: dict[str, Any] = {"HTTP_AUTHORIZATION": "Bearer secret-of-tests"}
MANY = examples(20)
ODD = ["a\0b", "half \ud83c", "🏰" * 300, "x" * 100_000, " \n\t", "'\"<&>%{}", "\x1b[31m", "\u202e"]


def post(client: Client, path: str, body: object, **headers: Any) -> Any:
    """POST JSON, halves of surrogate pairs as JavaScript writes them."""
    return client.post(path, json.dumps(body), content_type="application/json", **{**API, **headers})


# -- the HTTP API


@MANY
@given(text=ANY)
def test_any_text_in_a_body_is_stored_or_rejected(client: Client, redis: Redis, text: str) -> None:
    """400 with the reason, or the job as submitted."""
    effect = {"effectId": text, "executeAt": timezone.now().isoformat()}
    for body in (
        {"type": "EVENT_EXPIRATION", "campaignId": text, "payload": {}},
        {"type": text, "campaignId": "c"},
        {"type": "DEFERRED_EFFECT", "campaignId": "c", "payload": effect},
        {text: 1},
        {"type": "EVENT_EXPIRATION", "campaignId": "c", "payload": {text: text}},
        {"type": "EVENT_EXPIRATION", "campaignId": "c", "priority": text},
        {"dueAt": text},
    ):
        answer = post(client, "/api/jobs", body)
        assert answer.status_code in (200, 201, 400), answer.content
        assert answer.status_code != 400 or answer.json()["error"]


@MANY
@given(text=ANY)
def test_any_reason_by_the_api_is_stored(client: Client, redis: Redis, text: str) -> None:
    """As far as an audit entry can hold it, and no other."""
    job = submit_one(subject=str(timezone.now().timestamp()))

    assert post(client, f"/api/jobs/{job.pk}/cancel", {"reason": text}).status_code == 200
    assert client.get(f"/api/jobs/{job.pk}", **API).status_code == 200
    stored = AuditEntry.objects.get(job=job.pk, now=State.CANCELLED).reason
    assert stored == line(text.strip(), LONGEST_REASON)


@pytest.mark.parametrize("reason", [7, True, ["x"], {"x": 1}, [[]]])
def test_a_reason_that_is_no_text_is_rejected(client: Client, redis: Redis, reason: object) -> None:
    """By name, before anything is done."""
    job = submit_one()
    answer = post(client, f"/api/jobs/{job.pk}/cancel", {"reason": reason})

    assert (answer.status_code, answer.json()["field"]) == (400, "reason")
    assert Job.objects.get(pk=job.pk).state == State.QUEUED


@pytest.mark.parametrize("text", ["é", "x" * 65, "a b", "a\x7f", "日本", "\xa0"])
def test_an_invalid_request_id_is_replaced(client: Client, api: MainApi, sandbox: SandboxApi, text: str) -> None:
    """The job runs: its calls carry an ID that fits into a header."""
    body = {"type": "EVENT_EXPIRATION", "campaignId": "campaign-1", "payload": {}}
    answer = post(client, "/api/jobs", body, HTTP_X_REQUEST_ID=text)

    job = Job.objects.get(pk=answer.json()["id"])
    assert job.request_id == answer["X-Request-Id"]
    assert job.request_id != text
    assert job.request_id.isascii()
    work()
    job.refresh_from_db()
    assert job.state == State.SUCCEEDED


# -- addresses, cookies and forms


LISTS = [
    "jobs_job",
    "jobs_crontask",
    "jobs_schedulerow",
    "jobs_campaignclock",
    "jobs_failuregroup",
    "jobs_auditentry",
    "monitoring_alert",
    "monitoring_alerthandler",
    "monitoring_delivery",
    "auth_user",
    "auth_group",
]


@pytest.mark.parametrize("page", LISTS)
def test_odd_query_strings_find_nothing(operator: Client, redis: Redis, page: str) -> None:
    """In the search box, every filter and the page cursor, alone and in all at once; nothing fails."""
    submit_one()
    names = [
        "q",
        "state",
        "type",
        "campaign",
        "campaign_id",
        "campaign_id__exact",
        "worker__exact",
        "from",
        "failure",
        "before",
        "after",
        "due_at_from",
        "finished_at_to",
        "priority__exact",
        "who",
        "what",
        "why",
        "origin",
        "scope",
        "clock",
        "entity_type",
        "hours",
        "p",
        "o",
        "kind",
        "status__exact",
        "severity",
        "enabled__exact",
    ]
    address = reverse(f"admin:{page}_changelist")
    operator.raise_request_exception = True
    nul, half = "%00", "%ED%A0%80" + percent("'%_")
    queries = [f"{name}={nul}{half}" for name in names]
    queries += ["&".join(f"{name}={text}" for name in names) for text in (nul, half)]
    for query in queries:
        status = operator.get(f"{address}?{query}").status_code
        assert status in (200, 302, 404), (query, status)


@pytest.mark.parametrize("text", ["%00", "%ED%A0%80", "_00", "🏰"])
def test_odd_keys_in_a_url_are_not_found(operator: Client, redis: Redis, text: str) -> None:
    """404."""
    for page in LISTS:
        answer = operator.get(reverse(f"admin:{page}_changelist") + f"{text}/change/")
        assert answer.status_code in (302, 404), page
    paused = operator.post(reverse("admin:jobs_campaignclock_changelist") + f"{text}/pause/")
    assert paused.status_code in (302, 404)


def test_a_cookie_with_nul_is_no_session(client: Client, redis: Redis) -> None:
    """A quoted cookie may contain any character."""
    client.cookies["sessionid"] = "0123456789abcdef"
    cookie = 'sessionid="\\000\\000\\000\\000\\000\\000\\000\\000\\000"; zone="\\000"'

    assert client.get("/admin/", HTTP_COOKIE=cookie).status_code == 302


@pytest.fixture
def things(operator: Client, redis: Redis) -> dict[str, Any]:
    """One of each that has a form with a reason or a note."""
    campaign = CampaignClock.objects.create(campaign_id="c-1", name="Northmarch")
    make_dead_letters(error="X: no")
    return {
        "campaign": campaign,
        "cron": CronTask.objects.create(name="nightly", type="EVENT_EXPIRATION", expression="0 0 * * *"),
        "failure": FailureGroup.objects.first(),
        "handler": AlertHandler.objects.create(name="log", kind="log"),
    }


def test_odd_reasons_in_forms_are_stored_or_rejected(operator: Client, things: dict[str, Any]) -> None:
    """In every form with a reason."""
    for text in ODD:
        job = send_in_forms(operator, things, text)
        for page in ("auditentry/?scope=all", f"job/{job.pk}/change/"):
            assert operator.get(f"/admin/jobs/{page}").status_code == 200, (page, text[:9])
    for page in ("pause/", "crontask/", "campaignclock/"):
        assert operator.get(f"/admin/jobs/{page}").status_code == 200, page


def send_in_forms(operator: Client, things: dict[str, Any], text: str) -> Job:
    """Send a text as each field of each form; returns the job on which one acted."""
    campaign, cron = things["campaign"], things["cron"]
    job = submit_one(subject=str(timezone.now().timestamp()))
    chosen = {"_selected_action": str(job.pk), "confirmed": "1", "reason": text}
    posts: list[tuple[str, dict[str, Any]]] = [
        ("/admin/jobs/job/", {**chosen, "action": "cancel"}),
        ("/admin/jobs/job/?q=%00", {**chosen, "action": "retry"}),
        *(
            (reverse(f"admin:jobs_campaignclock_{verb}", args=[quote(campaign.pk)]), {"reason": text})
            for verb in ("pause", "resume", "recalculate")
        ),
        *(
            (reverse(f"admin:jobs_crontask_{verb}", args=[cron.pk]), {"reason": text})
            for verb in ("run-now", "disable", "enable")
        ),
        (
            reverse("admin:jobs_crontask_add"),
            {
                "name": text,
                "type": "EVENT_EXPIRATION",
                "campaign_id": text,
                "payload": json.dumps({text: text}),
                "priority": "5",
                "expression": text,
                "time_zone": text,
                "misfire": "once",
                "reason": text,
            },
        ),
        (reverse("admin:jobs_pause_changelist"), {"pause": "1", "campaign": text, "reason": text}),
        (reverse("admin:jobs_pause_changelist"), {"pause": "1", "what": "queue:low", "reason": text}),
        (reverse("admin:jobs_pause_changelist"), {"resume": f"campaign:{text}", "reason": text}),
        (reverse("admin:jobs_pause_changelist"), {"resume": "queue:low", "reason": text}),
        (reverse("admin:jobs_breaker"), {"state": "closed", "reason": text}),
        (reverse("admin:jobs_job_add") + "?type=EVENT_EXPIRATION", {"campaign_id": text, "reason": text}),
        (
            reverse("admin:monitoring_alerthandler_add") + "?kind=log",
            {"name": text, "minimum_severity": "20", "campaigns": text, "time_zone": text},
        ),
        (reverse("admin:auth_user_add"), {"username": text, "usable_password": "false"}),
        ("/admin/login/", {"username": text, "password": text}),
    ]
    if things["failure"]:
        key = things["failure"].pk
        pages = [reverse(f"admin:jobs_failuregroup_{verb}", args=[key]) for verb in ("note", "acknowledge", "reopen")]
        posts += [(page, {"note": text, "reason": text}) for page in pages]
    sent = text.encode("utf-8", "surrogatepass")
    for address, fields in posts:
        body = "&".join(
            f"{k}={percent(v.replace(text, chr(1)).encode()).replace('%01', percent(sent))}" for k, v in fields.items()
        )
        answer = operator.post(address, body, content_type="application/x-www-form-urlencoded")
        assert answer.status_code in (200, 302, 400), (address, text[:9])
    return job
