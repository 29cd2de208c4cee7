"""Expiring events in batches: a failing one harms no other."""

from typing import Any

import pytest
from msgspec import structs
from redis import Redis

from jobs.errors import (
    JobError,
    PermanentError,
)
from jobs.main_api.client import MainApi
from jobs.main_api.model import Event
from jobs.sending import Sending
from tests.support.main_api import event_of, of_an_api
from tests.support.receivers import other_api
from tests.support.servers import SandboxApi


def _events(api: MainApi) -> list[Event]:
    found = api.overdue_events(["campaign-1"])["campaign-1"]
    assert not isinstance(found, JobError)
    return found


def test_each_request_has_its_own_key(api: MainApi, sandbox: SandboxApi) -> None:
    """A main API that remembers keys answers each batch of a job, and the same batch again."""
    for n in range(25):
        event = {"id": f"e-{n}", "campaignId": "campaign-1", "scheduledAt": "1001-06-01T10:00:00.000Z"}
        sandbox.control("POST", "events", event)
    events = [event for event in _events(api) if event.id.startswith("e-")]

    assert api.expire_events(events, key="job-1") == dict.fromkeys(event.id for event in events)
    assert api.expire_events(events[:10], key="job-1") == dict.fromkeys(event.id for event in events[:10])
    api.execute_effect("effect-1-1", key="job-2", sending=Sending(lambda: True))
    with pytest.raises(PermanentError, match="Idempotency-Key job-2 was used for another request"):
        api.execute_effect("effect-1-2", key="job-2", sending=Sending(lambda: True))

    calls = [c for c in sandbox.control("GET", "stats")["recent"] if "expireEvent" in c["query"]]
    keys = [call["idempotencyKey"] for call in calls]
    assert all(key.startswith("job-1:") for key in keys)
    assert len(keys) == len(set(keys)) + 1
    assert len(sandbox.world()["executions"]) == 1


def test_one_failing_event_harms_no_other_of_its_batch(api: MainApi, sandbox: SandboxApi) -> None:
    """Events before it have run, those after it are sent again."""
    for n in range(25):
        event = {"id": f"e-{n}", "campaignId": "campaign-1", "scheduledAt": "1001-06-01T10:00:00.000Z"}
        sandbox.control("POST", "events", event)
    sandbox.control("POST", "faults", {"failEventIds": ["e-3", "e-14"]})
    events = [event for event in _events(api) if event.id.startswith("e-")]

    answers = api.expire_events([*events, structs.replace(events[0], id="event-none")], key="job-3")

    failed = {event_id for event_id, error in answers.items() if error}
    done = {e["id"] for e in sandbox.world()["events"].values() if e["isCompleted"]}
    assert failed == {"e-3", "e-14", "event-none"}
    assert done == {event.id for event in events} - failed
    assert api.expire_events(events[:1], key="job-4") == {events[0].id: None}


@pytest.mark.parametrize("code", ["BAD_USER_INPUT", "BAD_REQUEST", "NOT_FOUND", "CONFLICT", "HTTP 413"])
def test_an_event_refused_without_a_path_harms_no_other(redis: Redis, code: str) -> None:
    """Smaller requests find it; each of the others is expired once."""
    expired: list[str] = []

    def answer(request: dict[str, Any]) -> dict[str, Any] | int:
        ids = list(request["variables"].values())
        if "expireEvent" not in request["query"]:
            return 500
        if "e-7" in ids:
            return 413 if code == "HTTP 413" else {"data": None, "errors": [{"extensions": {"code": code}}]}
        expired.extend(ids)
        aliases = [f"a{n}" for n in range(len(ids))] if len(ids) > 1 else ["expireEvent"]
        return {"data": {a: {"id": i, "isCompleted": True} for a, i in zip(aliases, ids, strict=True)}}

    events = [event_of(f"e-{n}") for n in range(10)]
    with other_api(answer) as url:
        found = of_an_api(redis, url).expire_events(events, key="job")

    assert [i for i, error in found.items() if error] == ["e-7"]
    assert sorted(expired) == sorted({event.id for event in events} - {"e-7"})


def test_a_deleted_event_blames_no_other(redis: Redis) -> None:
    """The error has no path: events before it are expired, it is not found, the rest is sent again."""
    completed: list[str] = []

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if "getOverdueEvents" in request["query"]:
            left = [f"e-{n}" for n in range(10) if f"e-{n}" not in completed and n != 3]
            fields = {"campaignId": "c-1", "name": "", "eventType": "story", "isCompleted": False}
            return {"data": {"getOverdueEvents": [{"id": i, **fields} for i in left]}}
        ids = list(request["variables"].values())
        for event_id in ids:
            if event_id == "e-3":
                return {"data": None, "errors": [{"message": "Event e-3 not found"}]}
            completed.append(event_id)
        aliases = [f"a{n}" for n in range(len(ids))] if len(ids) > 1 else ["expireEvent"]
        return {"data": {a: {"id": i, "isCompleted": True} for a, i in zip(aliases, ids, strict=True)}}

    events = [event_of(f"e-{n}") for n in range(10)]
    with other_api(answer) as url:
        found = of_an_api(redis, url).expire_events(events, key="job")

    assert [i for i, error in found.items() if error] == ["e-3"]
    assert sorted(completed) == sorted({event.id for event in events} - {"e-3"})
