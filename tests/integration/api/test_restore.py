"""A cancelled job is restored over the HTTP API, and what nobody typed is no reason."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from redis import Redis

from jobs.states import State

pytestmark = pytest.mark.django_db(transaction=True)
TOKEN: dict[str, Any] = {"headers": {"authorization": "Bearer secret-of-tests"}, "content_type": "application/json"}


def test_a_cancelled_job_is_restored_as_it_was(client: Client, redis: Redis) -> None:
    """Once: then it is no longer cancelled. The first due time stays whatever is done."""
    due = (timezone.now() + timedelta(hours=2)).isoformat()
    later = (timezone.now() + timedelta(hours=5)).isoformat()
    job = client.post("/api/jobs", {"type": "EVENT_EXPIRATION", "campaignId": "c", "dueAt": due}, **TOKEN).json()

    def command(verb: str, **body: str) -> Any:
        return client.post(f"/api/jobs/{job['id']}/{verb}", body, **TOKEN)

    moved = command("reschedule", dueAt=later).json()
    cancelled = command("cancel").json()
    restored = command("restore", reason="too early").json()
    again = command("restore")

    assert (cancelled["state"], restored) == (State.CANCELLED, moved)
    assert (restored["dueAt"], restored["firstDueAt"]) == (moved["dueAt"], job["dueAt"])
    assert again.status_code == 409
    trail = client.get(f"/api/jobs/{job['id']}", headers=TOKEN["headers"]).json()["auditTrail"]
    assert [entry["reason"] for entry in trail] == ["", "", "", "too early"]
