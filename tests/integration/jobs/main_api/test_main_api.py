"""The client against the sandbox: errors told apart, batches, cache."""

import json
import time
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec import structs
from redis import Redis

from jobs.errors import (
    JobError,
    NotAuthorized,
    OutcomeUnknown,
    PermanentError,
    TooLarge,
    TransientError,
    VersionConflict,
)
from jobs.main_api.answers import Fault, Request
from jobs.main_api.client import MainApi, Update, connect
from jobs.main_api.listing import Listing
from jobs.main_api.model import Event, Settlement
from jobs.main_api.transport import PooledTransport
from jobs.sending import Sending
from sandbox.ports import free_port
from tests.support.environment import TOKEN
from tests.support.receivers import other_api
from tests.support.servers import SandboxApi


def test_one_answer_that_breaks_the_contract_harms_no_other(redis: Redis) -> None:
    """Of two settlements of one request one has no level: it has an error of its own, the other is read."""
    good = {"id": "s-1", "kingdomId": "k", "name": "S", "level": 1, "variables": {}, "version": 1, "archivedAt": None}
    with other_api(lambda _request: {"data": {"a0": good, "a1": {**good, "level": None}}}) as url:
        api = connect(
            redis, url=url, token="", timeout=timedelta(seconds=5), threshold=5, duration=timedelta(seconds=1)
        )
        found = api.settlements(["s-1", "s-2"])

    assert isinstance(found["s-1"], Settlement)
    assert isinstance(found["s-2"], TransientError)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"outage": True}, TransientError),
        ({"errorRate": 1}, TransientError),
        ({"graphqlErrorRate": 1}, TransientError),
        ({"malformed": 1}, TransientError),
    ],
)
def test_faults_are_transient(api: MainApi, sandbox: SandboxApi, fault: dict[str, object], error: type) -> None:
    """Whatever fails between us and the main API may work later."""
    sandbox.control("POST", "faults", fault)

    with pytest.raises(error):
        api.campaign("campaign-1")


def test_too_many_requests_says_when(api: MainApi, sandbox: SandboxApi) -> None:
    """Retry-After reaches the retry."""
    sandbox.control("POST", "faults", {"rateLimit": {"next": 1, "retryAfterS": 7}})

    with pytest.raises(TransientError) as caught:
        api.campaign("campaign-1")
    assert caught.value.retry_after == timedelta(seconds=7)


def test_a_wrong_credential_is_permanent(sandbox: SandboxApi, redis: Redis) -> None:
    """It is told apart from everything else."""
    foreign = connect(
        redis,
        url=f"{sandbox.url}/graphql",
        token="wrong",
        timeout=timedelta(seconds=10),
        threshold=5,
        duration=timedelta(seconds=1),
    )

    with pytest.raises(NotAuthorized):
        foreign.campaigns()


def test_an_effect_without_an_answer_is_unknown(api: MainApi, sandbox: SandboxApi) -> None:
    """It was executed and the answer got lost: nobody may send it again by himself."""
    sandbox.control("POST", "faults", {"loseAnswers": 1})

    with pytest.raises(OutcomeUnknown) as caught:
        api.execute_effect("effect-1-1", key="job-1", sending=Sending(lambda: True))
    assert caught.value.may_resend is False
    assert len(sandbox.world()["executions"]) == 1
    assert api.execute_effect("effect-1-1", key="job-1", sending=Sending(lambda: True)).execution_id == "execution-1"


def test_one_key_stands_for_one_request(api: MainApi, sandbox: SandboxApi) -> None:
    """A main API that holds a key to its first request answers each batch of a job, and the same batch again."""
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


def test_an_inactive_effect_is_refused(api: MainApi, sandbox: SandboxApi) -> None:
    """success=false carries the reason."""
    with pytest.raises(PermanentError, match="not active"):
        api.execute_effect("effect-1-4", key="job-2", sending=Sending(lambda: True))


def test_a_key_does_not_keep_a_refusal(api: MainApi, sandbox: SandboxApi) -> None:
    """Once its cause is gone the job is retried by hand, under its key: then the effect is executed."""
    with pytest.raises(PermanentError, match="not active"):
        api.execute_effect("effect-1-4", key="job-2", sending=Sending(lambda: True))

    sandbox.control("POST", "effects", {"id": "effect-1-4", "isActive": True})

    assert api.execute_effect("effect-1-4", key="job-2", sending=Sending(lambda: True)).execution_id == "execution-1"


def test_one_failing_event_costs_none_of_the_others(api: MainApi, sandbox: SandboxApi) -> None:
    """What stands before it has run, what stands after it is sent again."""
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


def _events(api: MainApi) -> list:  # type: ignore[type-arg]
    found = api.overdue_events(["campaign-1"])["campaign-1"]
    assert not isinstance(found, JobError)
    return found


def test_a_failing_campaign_does_not_stop_the_rest(api: MainApi) -> None:
    """Its own error stands beside the others' events."""
    found = api.overdue_events(["campaign-1", "no-such", "campaign-2"])

    assert isinstance(found["no-such"], PermanentError)
    assert len(found["campaign-1"]) == 1  # type: ignore[arg-type]
    assert found["campaign-2"] == []


def grown(settlement: Settlement, population: int) -> Update[Settlement]:
    """The settlement with another population."""
    return Update(settlement, level=settlement.level, variables={"population": population}, key=f"job-{population}")


def read(api: MainApi, *ids: str) -> list[Settlement]:
    """Settlements that are there."""
    found = list(api.settlements(ids).values())
    assert all(isinstance(settlement, Settlement) for settlement in found)
    return found  # type: ignore[return-value]


def test_updates_are_under_a_version(api: MainApi) -> None:
    """The second of two updates of one reading is a conflict, and changes nothing."""
    (settlement,) = read(api, "settlement-1-1-1")
    branch = api.main_branch("campaign-1").id

    written = api.update_settlements([grown(settlement, 700)], branch_id=branch)["settlement-1-1-1"]
    again = api.update_settlements([grown(settlement, 800)], branch_id=branch)["settlement-1-1-1"]

    assert isinstance(written, Settlement)
    assert (written.version, written.variables) == (settlement.version + 1, {"population": 700})
    assert isinstance(again, VersionConflict)
    assert read(api, "settlement-1-1-1") == [written]


def test_a_conflict_inside_a_batch_harms_no_other(api: MainApi, sandbox: SandboxApi) -> None:
    """The updates before the failed alias have run and say so; those after it are sent again, once."""
    ids = [f"settlement-1-1-{n}" for n in (1, 2, 3)]
    first, second, third = read(api, *ids)
    branch = api.main_branch("campaign-1").id
    api.update_settlements([grown(second, 600)], branch_id=branch)
    before = sandbox.control("GET", "stats")["operations"]["updateSettlement"]

    answers = api.update_settlements([grown(first, 701), grown(second, 702), grown(third, 703)], branch_id=branch)

    assert isinstance(answers[second.id], VersionConflict)
    assert [answers[first.id], answers[third.id]] == read(api, first.id, third.id)
    assert [s.variables["population"] for s in read(api, *ids)] == [701, 600, 703]
    assert sandbox.control("GET", "stats")["operations"]["updateSettlement"] - before == 3


def test_what_is_not_there_is_none(api: MainApi) -> None:
    """A settlement that is gone does not keep the others of its batch from being read."""
    found = api.settlements(["settlement-1-1-1", "no-such"])

    assert isinstance(found["settlement-1-1-1"], Settlement)
    assert found["no-such"] is None


def settlements_of(api: MainApi, campaign_id: str) -> list[Settlement]:
    """All settlements of a campaign."""
    found = api.settlements_by_kingdom([kingdom.id for kingdom in api.kingdoms(campaign_id)])
    return [town for towns in found.values() if isinstance(towns, Listing) for town in towns]


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


def test_nobody_there_means_nothing_was_sent() -> None:
    """Even for a mutation: nobody at the port is a fault that names itself, and may be sent again."""
    transport = PooledTransport(f"http://127.0.0.1:{free_port()}/", TOKEN, timeout=timedelta(seconds=1))

    with pytest.raises(Fault) as caught:
        transport.send({"query": "{a}"}, request=Request.UPDATE)
    assert type(caught.value.error) is TransientError
    assert "onnect" in str(caught.value)


def test_what_must_not_be_sent_twice_is_sent_once(api: MainApi, sandbox: SandboxApi) -> None:
    """When the connection is closed without an answer the effect was executed once, and nobody knows whether."""
    assert api.effect("effect-1-1")
    sandbox.control("POST", "faults", {"loseAnswers": 1})

    with pytest.raises(OutcomeUnknown) as caught:
        api.execute_effect("effect-1-1", key="job-1", sending=Sending(lambda: True))

    assert not caught.value.may_resend
    assert len(sandbox.world()["executions"]) == 1


@pytest.mark.parametrize("fault", [{"trickle": 5}, {"latencyMs": 60_000}], ids=["trickles", "is late"])
def test_what_takes_too_long_is_no_answer(redis: Redis, sandbox: SandboxApi, fault: dict[str, object]) -> None:
    """API_REQUEST_TIMEOUT_MS is the limit of the whole exchange."""
    sandbox.control("POST", "faults", fault)
    impatient = connect(
        redis,
        url=f"{sandbox.url}/graphql",
        token=TOKEN,
        timeout=timedelta(seconds=1),
        threshold=5,
        duration=timedelta(seconds=1),
    )
    began = time.monotonic()

    with pytest.raises(TransientError):
        impatient.campaigns(fresh=True)

    assert time.monotonic() - began < 30


@pytest.mark.parametrize("letters", [10, 20_000, 60_000])
def test_batches_fit_what_a_server_takes(api: MainApi, sandbox: SandboxApi, letters: int) -> None:
    """40 towns with long variables: no request is above 100 KB where one town is not, and all are written."""
    for n in range(40):
        town = {
            "id": f"town-{n}",
            "kingdomId": "kingdom-1-1",
            "name": "T",
            "level": 1,
            "version": 1,
            "variables": {"chronicle": "x" * letters},
            "archivedAt": None,
        }
        sandbox.control("POST", "settlements", town)
    sandbox.control("POST", "faults", {"largestRequest": 100_000})
    found = api.settlements([f"town-{n}" for n in range(40)])
    towns = [town for town in found.values() if isinstance(town, Settlement)]
    updates = [Update(town, level=2, variables=town.variables, key="job-1") for town in towns]
    branch = api.main_branch("campaign-1").id

    written = api.update_settlements(updates, branch_id=branch)

    assert len(towns) == 40
    assert {town.level for town in written.values() if isinstance(town, Settlement)} == {2}
    assert len(written) == 40


def test_what_no_server_takes_costs_itself(api: MainApi, sandbox: SandboxApi) -> None:
    """One town above the limit is refused for good, the others are written."""
    sandbox.control("POST", "faults", {"largestRequest": 50_000})
    towns = settlements_of(api, "campaign-1")
    big = {"chronicle": "x" * 60_000}
    updates = [Update(t, level=2, variables=big if n == 1 else {}, key="job-1") for n, t in enumerate(towns)]

    written = api.update_settlements(updates, branch_id=api.main_branch("campaign-1").id)

    refused = [one for one in written.values() if not isinstance(one, Settlement)]
    assert [type(error) for error in refused] == [TooLarge]


def test_one_town_nested_too_deeply_costs_itself(redis: Redis) -> None:
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


def event_of(event_id: str) -> Event:
    return Event(id=event_id, campaign_id="c-1", name="", event_type="story", is_completed=False)


def of_an_api(redis: Redis, url: str) -> MainApi:
    return connect(redis, url=url, token="", timeout=timedelta(seconds=5), threshold=99, duration=timedelta(seconds=1))


@pytest.mark.parametrize("code", ["BAD_USER_INPUT", "BAD_REQUEST", "NOT_FOUND", "CONFLICT", "HTTP 413"])
def test_an_event_refused_without_a_place_costs_itself(redis: Redis, code: str) -> None:
    """Smaller requests find it; each of the others is expired once."""
    expired: list[str] = []

    def answer(request: dict[str, Any]) -> dict[str, Any] | int:
        ids = list(request["variables"].values())
        if "getOverdueEvents" in request["query"]:
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


@pytest.mark.parametrize("code", ["NOT_FOUND", "BAD_USER_INPUT", "BAD_REQUEST"])
def test_an_error_below_an_update_may_be_sent_again(redis: Redis, code: str) -> None:
    """The update has run, and only its answer could not be read: neither a dead letter nor an expired event."""
    good = {"id": "s-1", "kingdomId": "k", "name": "S", "level": 1, "variables": {}, "version": 1, "archivedAt": None}
    town = msgspec.convert(good, Settlement)

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        name = "updateSettlement" if "updateSettlement" in request["query"] else "expireEvent"
        return {"data": None, "errors": [{"path": [name, "id"], "extensions": {"code": code}}]}

    with other_api(answer) as url:
        api = of_an_api(redis, url)
        written = api.update_settlements([Update(town, level=1, variables={}, key="job")], branch_id="b")["s-1"]
        expired = api.expire_events([event_of("e-1")], key="job")["e-1"]

    assert [type(written), type(expired)] == [OutcomeUnknown, OutcomeUnknown]


def test_an_answer_about_something_else_costs_itself(redis: Redis) -> None:
    """Neither is another town written, nor another effect executed, nor another campaign's clock believed."""
    town = {"kingdomId": "k", "name": "S", "level": 1, "variables": {}, "version": 1, "archivedAt": None}
    data = {
        "a0": {**town, "id": "s-1"}, "a1": {**town, "id": "s-9"},
        "campaign": {"id": "c-9", "name": "", "isActive": False},
        "getEffect": {"id": "f-9", "name": "", "effectType": "", "entityType": "", "entityId": "", "timing": "",
                      "priority": 1, "isActive": True, "version": 1},
    }  # fmt: skip
    with other_api(lambda _request: {"data": data}) as url:
        api = of_an_api(redis, url)
        found = api.settlements(["s-1", "s-2"])
        with pytest.raises(TransientError, match="asked for c-1, got c-9"):
            api.campaign("c-1")
        with pytest.raises(TransientError, match="asked for f-1, got f-9"):
            api.effect("f-1")

    assert isinstance(found["s-1"], Settlement)
    assert isinstance(found["s-2"], TransientError)


def test_a_deleted_event_puts_the_blame_on_no_other(redis: Redis) -> None:
    """Of a batch whose error has no place: those before it are expired, itself is not found, the rest is sent again."""
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
