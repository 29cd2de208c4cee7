"""The audit trail of jobs and of operator actions: who did what, and from where."""

from typing import Any

import pytest
from django.test import Client
from redis import Redis

from jobs import audit
from jobs.models import AuditEntry, Job, OperatorAction
from jobs.service import Submission, submit
from scheduler_project import request_origin

pytestmark = pytest.mark.django_db(transaction=True)
FROM: dict[str, Any] = {"HTTP_X_REQUEST_ID": "req-7", "HTTP_X_FORWARDED_FOR": "203.0.113.9"}


def test_an_operator_s_move_records_its_origin(admin_client: Client, redis: Redis) -> None:
    """Address and request ID are in the audit entry; a move without a request has none."""
    job, _ = submit(Submission(type="EVENT_EXPIRATION", campaign_id="c", payload={}), actor="test")
    form = {"action": "cancel", "_selected_action": [str(job.pk)], "confirmed": "1"}

    answer = admin_client.post("/admin/jobs/job/", form, **FROM)

    assert answer.headers["X-Request-Id"] == "req-7"
    entry = job.audit_trail.get(now="CANCELLED")
    assert entry.details
    assert entry.details["from"] == {"ip": "127.0.0.1 for 203.0.113.9", "request_id": "req-7"}
    assert AuditEntry.objects.exclude(pk=entry.pk).get(job=job).details is None


def test_the_client_s_request_id_is_kept_with_the_job(client: Client, redis: Redis) -> None:
    """One that could do harm in a header or a log is replaced."""
    token: dict[str, Any] = {"HTTP_AUTHORIZATION": "Bearer secret-of-tests"}
    for body in ('{"type": "EVENT_EXPIRATION", "campaignId": "1"}', '{"type": "EVENT_EXPIRATION", "campaignId": "2"}'):
        client.post("/api/jobs", body, content_type="application/json", **token, HTTP_X_REQUEST_ID="req-7")
    client.post("/api/jobs", body.replace("2", "3"), content_type="application/json", **token, HTTP_X_REQUEST_ID="a b")

    ids = list(Job.objects.order_by("id").values_list("request_id", flat=True))
    assert ids[:2] == ["req-7", "req-7"]
    assert len(ids[2]) == 32


def test_an_operator_action_is_immutable() -> None:
    """Who, what, why and what changed; nobody changes or deletes it."""
    act = audit.record(
        actor="user:ann", verb="paused", target="queue high", reason="noise", changes={"on": (True, False)}
    )

    assert OperatorAction.objects.get().changes == {"on": [True, False]}
    assert (act.ip, act.request_id) == ("", "")
    assert request_origin.current().ip == ""
    with pytest.raises(TypeError):
        act.save()
    with pytest.raises(TypeError):
        act.delete()
