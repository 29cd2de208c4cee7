"""How a campaign's world clock stands, over the HTTP API."""

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from redis import Redis

from jobs.world_clocks import control, ticker
from tests.support import world_clocks
from tests.support.world_clocks import due, last_job, start_running

pytestmark = pytest.mark.django_db(transaction=True)


def ask(client: Client, campaign: str = "c-1", **headers: str) -> Any:
    return client.get(f"/api/campaigns/{campaign}/world-clock", headers=headers)


def test_a_client_sees_how_a_clock_stands(client: Client, redis: Redis) -> None:
    """Running and paused; only with a token, and only where there is one."""
    token = {"authorization": "Bearer secret-of-tests"}
    clock = start_running(quiet_hours="02:00-03:00", catch_up="jump")
    ticker.fire_due(due(clock))
    found = ask(client, **token).json()
    control.pause("c-1", actor="test")
    paused = ask(client, **token).json()

    assert found | {"since": "", "nextStepAt": ""} == {
        "campaignId": "c-1",
        "state": "running",
        "since": "",
        "rate": "60",
        "stepSeconds": 60,
        "nextStepAt": "",
        "lastStep": {"number": 1, "seconds": 3600, "jobId": str(last_job().pk)},
        "mostSecondsPerStep": 7200,
        "mostSecondsPerDay": 864_000,
        "secondsToday": 3600 if due(clock).date() == timezone.now().date() else 0,
        "quietHours": "02:00-03:00",
        "timeZone": "UTC",
        "catchUp": "jump",
        "problem": None,
    }
    assert (paused["state"], paused["nextStepAt"]) == ("paused", None)
    assert found["nextStepAt"] > found["since"]
    assert [ask(client).status_code, ask(client, "c-2", **token).status_code] == [401, 404]
    assert world_clocks.of().state == "paused"
