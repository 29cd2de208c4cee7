"""The client against the main API as it is served today: each point in which that differs from the contract."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis

from jobs.errors import (
    Inactive,
    JobError,
    NotAuthorized,
    NotFound,
    NotServed,
    OutcomeUnknown,
    PermanentError,
    VersionConflict,
)
from jobs.main_api.client import MainApi, connect
from jobs.main_api.model import Campaign, EffectExecution, Event, Settlement
from jobs.main_api.updates import Update
from jobs.sending import Sending
from sandbox.dialect import DIALECTS
from tests.support.environment import TOKEN
from tests.support.servers import SandboxApi

TODAY = sorted(DIALECTS["today"])
TOWNS = [f"settlement-1-{k}-{s}" for k in (1, 2) for s in (1, 2, 3)]
EVENTS = [f"e-{n}" for n in range(12)]
OF_KEYS = pytest.mark.skipif(not TOKEN.startswith("camp_sk_"), reason="a JWT is valid everywhere")


@pytest.fixture(params=[[], *([point] for point in TODAY), TODAY], ids=lambda points: f"points {points}")
def points(request: pytest.FixtureRequest, sandbox: SandboxApi) -> list[int]:
    """Nothing but the contract, each point by itself, and all of them."""
    sandbox.control("POST", "dialect", {"points": request.param})
    return list(request.param)


@pytest.fixture
def fresh(sandbox: SandboxApi, redis: Redis) -> MainApi:
    """A client that has learnt nothing yet."""
    timeout = timedelta(seconds=10)
    url = f"{sandbox.url}/graphql"
    return connect(redis, url=url, token=TOKEN, timeout=timeout, threshold=1, duration=timedelta(minutes=5))


def towns(api: MainApi) -> list[Settlement]:
    found = list(api.settlements(TOWNS).values())
    return [one for one in found if isinstance(one, Settlement)]


def grow(town: Settlement, **changes: Any) -> Update[Settlement]:
    values: dict[str, Any] = {"level": town.level, "variables": {**town.variables, "population": 777}, "key": "job"}
    return Update(town, **{**values, "world_time": "1001-06-01T12:00:00.000Z", **changes})


def test_everything_can_be_read(points: list[int], fresh: MainApi) -> None:
    """Times are ISO 8601, and a name that cannot be read is the ID."""
    campaigns = {campaign.id: campaign for campaign in fresh.campaigns(fresh=True)}
    overdue = fresh.overdue_events(["campaign-1"])["campaign-1"]
    assert not isinstance(overdue, JobError)
    (event,) = overdue

    assert campaigns["campaign-1"].current_world_time == "1001-06-01T12:00:00.000Z"
    assert campaigns["campaign-2"].current_world_time is None
    assert isinstance(event, Event)
    assert event.scheduled_at == "1001-06-01T11:30:00.000Z"
    assert {town.id for town in towns(fresh)} == set(TOWNS)
    assert (campaigns["campaign-1"].name == "campaign-1") == (2 in points)
    assert isinstance(fresh.campaign("campaign-1"), Campaign)
    assert fresh.breaker.snapshot().state == "closed"


def test_all_events_are_read_where_they_are_served(points: list[int], fresh: MainApi, sandbox: SandboxApi) -> None:
    """Those to come, too. The contract has no such query: one request tells, and the breaker stays closed."""
    found = fresh.events_by_campaign(["campaign-1", "campaign-2"])["campaign-1"]
    asked = sandbox.control("GET", "stats")["requests"]
    again = fresh.events_by_campaign(["campaign-1"])["campaign-1"]

    if points:
        assert not isinstance(found, JobError)
        assert [event.scheduled_at for event in found][::3] == ["1001-06-01T11:30:00.000Z", "1001-06-01T13:00:00.000Z"]
        assert again == found
    else:
        assert isinstance(found, NotServed)
        assert isinstance(again, NotServed)
        assert sandbox.control("GET", "stats")["requests"] == asked
    assert fresh.breaker.snapshot().state == "closed"


def test_lists_show_what_was_written_or_heard(points: list[int], fresh: MainApi, sandbox: SandboxApi) -> None:
    """A list may be 10 minutes old. What an update of ours or a message says to be newer is read individually."""

    def listed() -> dict[str, Settlement]:
        kingdoms = ["kingdom-1-1", "kingdom-1-2"]
        lists = fresh.settlements_by_kingdom(kingdoms).values()
        return {town.id: town for found in lists if not isinstance(found, JobError) for town in found}

    before = listed()
    written, changed, gone, unheard = TOWNS[:4]
    fresh.update_settlements([grow(before[written])], branch_id=fresh.main_branch("campaign-1").id)
    for town in (changed, unheard):
        sandbox.control("POST", "settlements", {"id": town, "level": 9})
    fresh.versions.note({changed: 2, gone: 0, "no id": 7})
    asked = sandbox.control("GET", "stats")["requests"]

    after = listed()

    assert after[written].variables["population"] == 777
    assert after[changed].level == 9
    assert (after[unheard].level == 9) != (17 in points)
    assert sandbox.control("GET", "stats")["requests"] - asked == (2 if 17 in points else 1)


@pytest.mark.parametrize("missing", ["null", "error"])
def test_what_is_missing_is_gone_and_costs_itself(
    points: list[int], fresh: MainApi, sandbox: SandboxApi, missing: str
) -> None:
    """Whether single reads answer null or 404: two settlements and a campaign that are not there."""
    sandbox.control("POST", "dialect", {"points": points, "missing": missing})

    found = fresh.settlements([TOWNS[0], "none-1", *TOWNS[1:], "none-2"])

    assert [one for one, town in found.items() if town is None] == ["none-1", "none-2"]
    assert all(isinstance(found[one], Settlement) for one in TOWNS)
    assert fresh.campaign("none") is None
    assert fresh.breaker.snapshot().state == "closed"


def test_threads_that_start_at_once_learn_once(fresh: MainApi, sandbox: SandboxApi) -> None:
    """One of twenty finds out that names cannot be read, and one that the patch can; no other meets the error."""
    sandbox.control("POST", "dialect", {"dialect": "today"})
    before = sandbox.control("GET", "stats")["requests"]
    refused: list[str] = []
    fresh.observers.append(lambda call: refused.append(call.operation) if call.result != "ok" else None)

    with ThreadPoolExecutor(20) as pool:
        read = list(pool.map(lambda n: fresh.settlements([TOWNS[n % 6]]), range(20)))
        served = list(pool.map(lambda _: fresh.effects.patches.are_served(), range(20)))

    assert all(isinstance(town, Settlement) for found in read for town in found.values())
    assert served == 20 * [True]
    assert refused == ["settlement"]
    assert sandbox.control("GET", "stats")["requests"] - before == 20 + 1 + 1


def test_one_culprit_of_a_batch_harms_no_other(points: list[int], fresh: MainApi, sandbox: SandboxApi) -> None:
    """A stale version and an unknown settlement: the others are written once, for at most three requests more."""
    read = towns(fresh)
    branch = fresh.main_branch("campaign-1").id
    fresh.update_settlements([grow(read[2], variables={})], branch_id=branch)
    none = Settlement(id="settlement-none", kingdom_id="k", name="", level=1, variables={}, version=1)
    before = sandbox.control("GET", "stats")["requests"]

    answers = fresh.update_settlements([*map(grow, read[:4]), grow(none), *map(grow, read[4:])], branch_id=branch)

    stored = sandbox.world()["settlements"]
    assert {type(answers[one]) for one in TOWNS if one != read[2].id} == {Settlement}
    assert isinstance(answers[read[2].id], VersionConflict)
    assert isinstance(answers["settlement-none"], NotFound)
    assert {stored[one]["version"] for one in TOWNS} == {2}
    assert sandbox.control("GET", "stats")["requests"] - before <= 1 + 2 * 3
    assert {entry["worldTime"] for entry in sandbox.world()["history"]} == {"1001-06-01T12:00:00.000Z"}
    assert fresh.breaker.snapshot().state == "closed"


def test_one_event_that_fails_harms_no_other(points: list[int], fresh: MainApi, sandbox: SandboxApi) -> None:
    """One is completed already, one cannot be: the others are expired."""
    for event_id in EVENTS:
        event = {"id": event_id, "campaignId": "campaign-1", "scheduledAt": "1001-06-01T10:00:00.000Z"}
        sandbox.control("POST", "events", event)
    found: Any = fresh.overdue_events(["campaign-1"])["campaign-1"]
    events = [event for event in found if event.id in EVENTS]
    fresh.expire_events([events[4]], key="job-1")
    sandbox.control("POST", "faults", {"failEventIds": [events[7].id]})

    answers = fresh.expire_events(events, key="job-2")

    assert [event_id for event_id, error in answers.items() if error] == [events[7].id]
    completed = {event["id"] for event in sandbox.world()["events"].values() if event["isCompleted"]}
    assert completed == set(EVENTS) - {events[7].id}


def test_effects_are_executed_once(points: list[int], fresh: MainApi, sandbox: SandboxApi) -> None:
    """An inactive one is a refusal and no fault of the credential; an unknown one is not found, if that is clear."""
    sandbox.control("POST", "effects", {"id": "of-a-town", "entityId": TOWNS[0], "entityType": "settlement"})

    def execute(effect_id: str) -> object:
        try:
            return fresh.execute_effect(effect_id, key=f"job-{effect_id}", sending=Sending(lambda: True))
        except JobError as error:
            return type(error)

    assert (fresh.effect("of-a-town") is None) == (16 in points)
    executed = [execute(one) for one in ("effect-1-1", "of-a-town")]
    assert [done.affected_fields for done in executed if isinstance(done, EffectExecution)] == 2 * [
        ["variables.morale"]
    ]
    assert execute("effect-1-4") is (Inactive if 7 in points else PermanentError)
    assert execute("no-effect") is NotFound
    assert [done["effectId"] for done in sandbox.world()["executions"]] == ["effect-1-1", "of-a-town"]
    assert fresh.breaker.snapshot().state == "closed"


def test_patches_are_shown_where_introspection_is_off(fresh: MainApi, sandbox: SandboxApi) -> None:
    """As servers have it in production, where errors have no codes either."""
    sandbox.control("POST", "dialect", {"dialect": "today"})
    off = "GraphQL introspection is not allowed by Apollo Server, but the query contained __schema or __type."
    reply = {"status": 400, "body": json.dumps({"errors": [{"message": off}]})}
    sandbox.control("POST", "faults", {"operations": ["__type"], "replies": [reply]})

    done = fresh.execute_effect("effect-1-1", key="job", sending=Sending(lambda: True))

    assert done.affected_fields == ["variables.morale"]
    assert [one["effectId"] for one in sandbox.world()["executions"]] == ["effect-1-1"]
    assert fresh.breaker.snapshot().state == "closed"


@pytest.mark.parametrize("extensions", [{}, {"extensions": {"code": "INTERNAL_SERVER_ERROR"}}])
@pytest.mark.parametrize("status", [200, 400, 500])
def test_a_batch_that_is_too_complex_is_halved_whatever_the_status(
    fresh: MainApi, sandbox: SandboxApi, status: int, extensions: dict[str, Any]
) -> None:
    """A server gives what its plugins refuse before the execution HTTP 500: that is no outage."""
    fresh.campaign("campaign-1")  # so that it knows whether names can be read
    error = {"message": "Query is too complex: 1200. Maximum allowed complexity: 1000", **extensions}
    reply = {"status": status, "body": json.dumps({"errors": [error]})}
    sandbox.control("POST", "faults", {"operations": ["settlement"], "replies": [reply]})
    before = sandbox.control("GET", "stats")["requests"]

    assert {town.id for town in towns(fresh)} == set(TOWNS)
    assert sandbox.control("GET", "stats")["requests"] - before == 3
    assert fresh.breaker.snapshot().state == "closed"


@pytest.mark.parametrize("points", [[10], [5, 6, 10]])
def test_a_main_api_that_refuses_all_mutations_is_told_apart(
    points: list[int], fresh: MainApi, sandbox: SandboxApi
) -> None:
    """For want of a role: not an outage, and not retried for each item."""
    sandbox.control("POST", "dialect", {"points": points})
    updates = [grow(town) for town in towns(fresh)]
    branch = fresh.main_branch("campaign-1").id
    before = sandbox.control("GET", "stats")["requests"]

    answers = fresh.update_settlements(updates, branch_id=branch)

    assert {type(answer) for answer in answers.values()} == {NotAuthorized}
    assert sandbox.control("GET", "stats")["requests"] - before <= 5


@pytest.mark.parametrize(
    ("point", "error", "says"),
    [
        (8, PermanentError, "must be a UUID"),
        pytest.param(9, NotAuthorized, "HTTP 401", marks=OF_KEYS),
        (10, NotAuthorized, "Forbidden resource"),
    ],
)
def test_points_that_cannot_work_are_answers_and_no_outage(
    fresh: MainApi, sandbox: SandboxApi, point: int, error: type[JobError], says: str
) -> None:
    """Each item names the refusal; the breaker, which one fault would open, stays closed."""
    updates, branch = [grow(town) for town in towns(fresh)], fresh.main_branch("campaign-1").id
    sandbox.control("POST", "dialect", {"points": [point]})

    answers = fresh.update_settlements(updates, branch_id=branch)

    assert {type(answer) for answer in answers.values()} == {error}
    assert all(says in str(answer) for answer in answers.values())
    assert fresh.breaker.snapshot().state == "closed"


@OF_KEYS
def test_a_key_that_is_valid_for_campaigns_only_reads_campaigns(fresh: MainApi, sandbox: SandboxApi) -> None:
    """So a world time is heard of, and nothing else works."""
    sandbox.control("POST", "dialect", {"points": [9]})

    assert len(fresh.campaigns(fresh=True)) == 3
    assert isinstance(fresh.campaigns_by_id(["campaign-1"])["campaign-1"], Campaign)
    with pytest.raises(NotAuthorized):
        fresh.main_branch("campaign-1")


@pytest.mark.parametrize("message", ["boom", "timed out", "not found", "is not active", "Effect x is not active"])
def test_an_error_that_names_no_effect_is_no_refusal(fresh: MainApi, sandbox: SandboxApi, message: str) -> None:
    """Of a mutation that must not be sent twice."""
    reply = {"body": f'{{"data": null, "errors": [{{"message": "{message}"}}]}}'}
    sandbox.control("POST", "faults", {"operations": ["executeEffect"], "replies": [reply]})

    with pytest.raises(OutcomeUnknown):
        fresh.execute_effect("effect-1-1", key="job", sending=Sending(lambda: True))
