"""What will happen in a campaign, over the HTTP API."""

import time
from typing import Any

import pytest
from django.test import Client, override_settings
from redis import Redis

from jobs.main_api.client import main_api
from tests.support.advancing import CAMPAIGN, recalculate
from tests.support.servers import SandboxApi

pytestmark = pytest.mark.django_db(transaction=True)
HEADERS = {"authorization": "Bearer secret-of-tests"}
TOWN = "settlement-1-1-1"


def ask(path: str, campaign: str = CAMPAIGN, status: int = 200, **headers: str) -> Any:
    answer = Client().get(f"/api/campaigns/{campaign}/{path}", headers=headers or HEADERS)
    assert answer.status_code == status, answer.content
    return answer.json()


def test_a_forecast_has_periods_and_pages_of_lines(redis: Redis, sandbox: SandboxApi) -> None:
    recalculate(redis)
    found = ask("forecast?days=2&limit=3")
    assert [period["overdue"] for period in found["periods"]][-2:] == [False, False]
    assert found["clock"] == "world"
    first = found["lines"][0]
    assert first.keys() == {
        *("at", "overdue", "event", "settlementId", "settlementName"),
        *("entityType", "entityId", "entityName", "summary", "before", "after"),
    }
    following = ask(f"forecast?days=2&limit=3&after={found['next']}")
    assert following["lines"][0]["at"] >= found["lines"][-1]["at"]
    assert following["lines"] != found["lines"]
    town = ask(f"forecast?days=2&limit=1000&town={TOWN}")
    assert {line["settlementId"] for line in town["lines"]} == {TOWN}
    assert sum(period["total"] for period in town["periods"]) == len(town["lines"])
    assert town["next"] is None


def test_a_what_if_says_before_and_after(redis: Redis, sandbox: SandboxApi) -> None:
    recalculate(redis)
    found = ask("what-if?by=3h&limit=1")
    (own,) = found["settlements"]
    assert own["change"]["occurrences"]["POPULATION_GROWTH"] == 3
    assert own["change"]["before"]["population"] < own["change"]["after"]["population"]
    assert found["totals"]["RESOURCE_GENERATION"] >= 3
    assert ask(f"what-if?to={found['to']}&limit=1") == found
    assert ask(f"what-if?by=3h&limit=1&after={found['next']}")["settlements"] != found["settlements"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("forecast?days=0", "days"),
        ("forecast?days=367", "days"),
        ("forecast?days=x", "days"),
        ("forecast?limit=1001", "limit"),
        ("forecast?after=x", "after"),
        ("forecast?day=3", "day"),
        ("what-if", "to"),
        ("what-if?to=1371-01-01T00:00Z&by=3h", "to"),
        ("what-if?to=0001-01-01T00:00Z", "to"),
        ("what-if?to=soon", "to"),
        ("what-if?by=soon", "by"),
        ("what-if?by=9999d", "by"),
        ("what-if?by=3h&after=-1", "after"),
    ],
)
def test_a_wrong_parameter_is_named(redis: Redis, sandbox: SandboxApi, path: str, field: str) -> None:
    assert ask(path, status=400)["field"] == field


def test_who_is_missing_or_away_is_named(redis: Redis, sandbox: SandboxApi) -> None:
    assert "no-such" in ask("forecast", campaign="no-such", status=404)["error"]
    assert ask("forecast", status=401, authorization="Bearer nobody")["error"]
    with override_settings(API_URL="http://127.0.0.1:1/graphql"):
        main_api.cache_clear()
        assert "main API is not available" in ask("forecast", status=503)["error"]
        assert "main API is not available" in ask("what-if?by=1d", status=503)["error"]
    main_api.cache_clear()


def test_a_large_what_if_is_quick(redis: Redis, sandbox: SandboxApi) -> None:
    """1,000 settlements and 5,000 structures; the target is 2 s on an idle machine.

    Waiting for the sandbox is not ours.
    """
    size = {"campaigns": 1, "kingdoms": 20, "settlements": 50, "structures": 5, "events": 0}
    sandbox.control("POST", "reset", size)
    began = time.process_time()
    found = ask("what-if?by=30d&limit=1000")
    took = time.process_time() - began
    print(
        f"what-if: {found['settlementsChanged']:,} settlements, {sum(found['totals'].values()):,} occurrences: "
        f"{took:.2f} s of CPU"
    )
    assert found["settlementsChanged"] == 1000
    assert sum(len(town["structures"]) for town in found["settlements"]) == 5000
    assert took < 10
