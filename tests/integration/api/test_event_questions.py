"""Questions about events, over the HTTP API."""

from typing import Any

import pytest
from django.test import Client
from redis import Redis

from jobs.models import EventQuestion
from jobs.states import State
from tests.support.effects import run
from tests.support.events import EVENT, ask_operator, executions
from tests.support.servers import SandboxApi

pytestmark = pytest.mark.django_db(transaction=True)
TOKEN = {"authorization": "Bearer secret-of-tests"}


def post(client: Client, job_id: object, body: Any) -> Any:
    return client.post(f"/api/jobs/{job_id}/answer", body, content_type="application/json", headers=TOKEN)


@pytest.mark.parametrize("trigger", [True, False])
def test_a_client_answers_a_question(client: Client, redis: Redis, sandbox: SandboxApi, trigger: bool) -> None:
    """Once; the job goes on with it, and the question is open no more."""
    job = ask_operator(sandbox)
    (question,) = client.get("/api/event-questions", headers=TOKEN).json()["questions"]
    answered = post(client, job.pk, {"trigger": trigger, "reason": "as the group said"})

    assert (question["jobId"], question["eventId"], question["trigger"]) == (str(job.pk), EVENT, None)
    assert (answered.status_code, answered.json()["trigger"]) == (200, trigger)
    assert answered.json()["answeredBy"] == "token:tests"
    assert EventQuestion.objects.get(pk=job.pk).reason == "as the group said"
    assert client.get("/api/event-questions", headers=TOKEN).json() == {"questions": [], "hasMore": False}
    assert run(job).state == State.SUCCEEDED
    assert bool(executions(sandbox)) == trigger
    assert post(client, job.pk, {"trigger": trigger}).status_code == 409


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "trigger"),
        ({"trigger": "yes"}, "trigger"),
        ({"trigger": None}, "trigger"),
        ({"trigger": 1}, "trigger"),
        ({"trigger": True, "reason": 3}, "reason"),
        ({"trigger": True, "yes": 1}, "yes"),
        ([], "body"),
    ],
)
def test_what_is_no_answer_is_refused_by_name(
    client: Client, redis: Redis, sandbox: SandboxApi, body: Any, field: str
) -> None:
    """And answers nothing."""
    job = ask_operator(sandbox)
    refused = post(client, job.pk, body)

    assert (refused.status_code, refused.json()["field"]) == (400, field)
    assert EventQuestion.objects.get(pk=job.pk).answer is None


def test_only_what_was_asked_is_answered(client: Client, redis: Redis) -> None:
    """By clients with a token."""
    unknown = "01a2b3c4-0000-7000-8000-000000000000"

    assert post(client, unknown, {"trigger": True}).status_code == 404
    assert client.get("/api/event-questions").status_code == 401
    assert client.get(f"/api/jobs/{unknown}/answer", headers=TOKEN).status_code == 405
