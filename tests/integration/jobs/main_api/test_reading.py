"""Reading in batches: an unreadable item harms no other."""

import json
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis

from jobs.errors import (
    JobError,
    PermanentError,
    TooLarge,
    TransientError,
)
from jobs.main_api.client import MainApi, connect
from jobs.main_api.listing import Listing
from jobs.main_api.model import Settlement
from tests.support.main_api import of_an_api, settlements_of
from tests.support.receivers import other_api
from tests.support.servers import SandboxApi


def test_one_malformed_item_harms_no_other(redis: Redis) -> None:
    """Of two settlements one has no level: it gets its own error, the other is read."""
    good = {"id": "s-1", "kingdomId": "k", "name": "S", "level": 1, "variables": {}, "version": 1, "archivedAt": None}
    with other_api(lambda _request: {"data": {"a0": good, "a1": {**good, "level": None}}}) as url:
        api = connect(
            redis, url=url, token="", timeout=timedelta(seconds=5), threshold=5, duration=timedelta(seconds=1)
        )
        found = api.settlements(["s-1", "s-2"])

    assert isinstance(found["s-1"], Settlement)
    assert isinstance(found["s-2"], TransientError)


def test_a_failing_campaign_does_not_stop_the_rest(api: MainApi) -> None:
    """Its own error is returned beside the others' events."""
    found = api.overdue_events(["campaign-1", "no-such", "campaign-2"])

    assert isinstance(found["no-such"], PermanentError)
    own = found["campaign-1"]
    assert not isinstance(own, JobError)
    assert len(own) == 1
    assert found["campaign-2"] == []


def test_a_missing_object_is_none(api: MainApi) -> None:
    """A missing settlement does not keep the others of its batch from being read."""
    found = api.settlements(["settlement-1-1-1", "no-such"])

    assert isinstance(found["settlement-1-1-1"], Settlement)
    assert found["no-such"] is None


def test_whole_campaigns_take_few_requests(api: MainApi, sandbox: SandboxApi) -> None:
    """Kingdoms, then settlements, then structures, each level in aliased batches."""
    before = sandbox.control("GET", "stats")["requests"]

    towns = settlements_of(api, "campaign-1")
    structures = api.structures_by_settlement([town.id for town in towns])

    assert len(towns) == 6
    assert sum(len(found) for found in structures.values() if isinstance(found, Listing)) == 18
    assert sandbox.control("GET", "stats")["requests"] - before == 3


def test_effects_are_cached_until_their_event_changes(api: MainApi, sandbox: SandboxApi) -> None:
    """The listener drops what hangs on a changed event."""
    for _ in range(3):
        assert api.effect("effect-1-1")
    asked = sandbox.control("GET", "stats")["operations"]["getEffect"]
    api.cache.drop_effects_of("event-1-1")
    api.effect("effect-1-1")

    assert asked == 1
    assert sandbox.control("GET", "stats")["operations"]["getEffect"] == 2
    assert api.effect("no-such") is None


def test_one_settlement_nested_too_deeply_harms_no_other(redis: Redis) -> None:
    """The others of its batch are read, and the breaker counts no fault."""
    good = {"kingdomId": "k", "name": "S", "level": 1, "variables": {}, "version": 1, "archivedAt": None}

    def answer(request: dict[str, Any]) -> bytes:
        variables = request["variables"]
        ids = [variables[name] for name in sorted(variables)]
        towns = {f"a{n}" if len(ids) > 1 else "settlement": {**good, "id": one} for n, one in enumerate(ids)}
        text = json.dumps({"data": towns})
        return (text.replace("{}", "[" * 1500 + "]" * 1500) if "deep" in ids else text).encode()

    with other_api(answer) as url:
        api = connect(
            redis, url=url, token="", timeout=timedelta(seconds=5), threshold=1, duration=timedelta(seconds=9)
        )
        found = api.settlements(["s-1", "s-2", "deep", "s-3"])

    assert [type(found[i]) for i in found] == [Settlement, Settlement, TooLarge, Settlement]
    assert api.breaker.snapshot().state == "closed"


def test_an_answer_about_another_object_is_rejected(redis: Redis) -> None:
    """No other settlement is written, no other effect executed, no other campaign's clock believed."""
    town = {"kingdomId": "k", "name": "S", "level": 1, "variables": {}, "version": 1, "archivedAt": None}
    data = {
        "a0": {**town, "id": "s-1"},
        "a1": {**town, "id": "s-9"},
        "campaign": {"id": "c-9", "name": "", "isActive": False},
        "getEffect": {
            "id": "f-9",
            "name": "",
            "effectType": "",
            "entityType": "",
            "entityId": "",
            "timing": "",
            "priority": 1,
            "isActive": True,
            "version": 1,
        },
    }
    with other_api(lambda _request: {"data": data}) as url:
        api = of_an_api(redis, url)
        found = api.settlements(["s-1", "s-2"])
        with pytest.raises(TransientError, match="asked for c-1, got c-9"):
            api.campaign("c-1")
        with pytest.raises(TransientError, match="asked for f-1, got f-9"):
            api.effect("f-1")

    assert isinstance(found["s-1"], Settlement)
    assert isinstance(found["s-2"], TransientError)
