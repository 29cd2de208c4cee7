"""What the HTTP API refuses, and how: as JSON that names the field, in a few words, and says whether to try again."""

from typing import Any, Final
from uuid import UUID

import pytest
from django.db import DataError, IntegrityError, OperationalError, connection
from django.test import Client
from redis import Redis

from jobs.models import Job

pytestmark = pytest.mark.django_db(transaction=True)
TOKEN: Final[dict[str, Any]] = {
    "headers": {"authorization": "Bearer secret-of-tests"},
    "content_type": "application/json",
}
JOB: Final = {"type": "EVENT_EXPIRATION", "campaignId": "c"}
LONG: Final = "x" * 1_000_000
SOME_JOB: Final = f"/api/jobs/{UUID(int=7)}"


def post(client: Client, body: Any, address: str = "/api/jobs") -> Any:
    return client.post(address, body, **TOKEN)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "type"),
        ({"type": None}, "type"),
        ({"type": ""}, "type"),
        ({"type": "SETTLEMENT_GROWTH"}, "campaignId"),
        ({"type": "DEFERRED_EFFECT", "campaignId": "c"}, "payload.effectId"),
    ],
)
def test_a_missing_field_is_required(body: dict[str, Any], field: str, client: Client, redis: Redis) -> None:
    answer = post(client, body)

    assert (answer.status_code, answer.json()["field"]) == (400, field)
    assert answer.json()["error"].startswith(f"{field}: is required")


def test_a_command_names_what_it_requires(client: Client, redis: Redis) -> None:
    job = post(client, JOB).json()["id"]

    for verb, field in (("answer", "trigger"), ("reschedule", "dueAt")):
        assert post(client, {}, f"/api/jobs/{job}/{verb}").json() == {"error": f"{field}: is required", "field": field}


@pytest.mark.parametrize("priority", [5.0, 5.5, "5", "normal", True, [5]])
def test_a_priority_is_a_name_or_an_exact_number(priority: object, client: Client, redis: Redis) -> None:
    answer = post(client, JOB | {"priority": priority})

    assert (answer.status_code, answer.json()["field"]) == (400, "priority")
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        {LONG: 1},
        JOB | {"type": LONG},
        JOB | {"type": [LONG]},
        JOB | {"dueAt": [LONG]},
        JOB | {"dueAt": LONG},
        JOB | {"priority": LONG},
        JOB | {"payload": {LONG: 1}},
        JOB | {"type": "DEFERRED_EFFECT", "payload": {"effectId": "e", "executeAt": LONG}},
        {"type": "SETTLEMENT_GROWTH", "campaignId": "c", "payload": {"settlementId": "s", "growthType": LONG}},
    ],
)
def test_a_refusal_does_not_repeat_a_long_text(body: dict[str, Any], client: Client, redis: Redis) -> None:
    answer = post(client, body)

    assert answer.status_code == 400
    assert len(answer.content) < 2_000


def test_a_body_that_is_too_long_is_refused_as_such(client: Client, redis: Redis) -> None:
    answer = post(client, JOB | {"payload": {"x": LONG * 3}})

    assert (answer.status_code, answer.json()["error"]) == (413, "the body has more than 2,621,440 bytes")


@pytest.mark.parametrize(
    ("method", "address", "allowed"),
    [("GET", "/api/jobs", "POST"), ("POST", SOME_JOB, "GET"), ("PUT", SOME_JOB, "GET")],
)
def test_a_wrong_method_is_answered_in_json(
    method: str, address: str, allowed: str, client: Client, redis: Redis
) -> None:
    answer = client.generic(method, address, **TOKEN)

    assert (answer.status_code, answer["Allow"]) == (405, allowed)
    assert answer.json() == {"error": f"the method must be {allowed}"}


@pytest.mark.parametrize(
    ("error", "status"),
    [(IntegrityError("a bug"), 500), (DataError("a bug"), 500), (OperationalError("the connection is lost"), 503)],
    ids=["integrity", "data", "outage"],
)
def test_only_an_outage_is_worth_a_retry(error: Exception, status: int, client: Client, redis: Redis) -> None:
    """A bug would be retried for ever; it is answered in JSON, too."""

    def fail(*_: Any) -> Any:
        raise error

    client.raise_request_exception = False
    with connection.execute_wrapper(fail):
        answer = client.get(SOME_JOB, headers=TOKEN["headers"])

    assert (answer.status_code, answer.get("Retry-After")) == (status, "5" if status == 503 else None)
    assert answer.json()["error"]
