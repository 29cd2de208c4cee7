"""Each point in which the served main API differs from its contract, by itself."""

import json
from typing import Any

import pytest

from sandbox.answer import Answer
from sandbox.control import handle
from sandbox.dialect import DIALECTS, POINTS, TOKENS
from sandbox.server import Sandbox
from sandbox.world import World

TOKEN = "camp_sk_of_tests"
UPDATE = """mutation { updateSettlement(id: "settlement-1-1-1",
    input: {branchId: "campaign-1-main", expectedVersion: %s}) { version } }"""
EXECUTE = 'mutation { executeEffect(input: {effectId: "effect-1-%s"%s}) { success affectedFields } }'
ADVANCE = 'mutation { advanceWorldTime(input: {campaignId: "campaign-1", to: "1500-01-01T00:00:00Z"}) { message } }'
MANY = (
    "query { "
    + "".join(f'a{n}: campaign(id: "campaign-1") {{ ...all }} ' for n in range(126))
    + """}
    fragment all on Campaign { a: id b: id c: id d: id e: id f: id g: id }"""
)


def ask(sandbox: Sandbox, query: str) -> Any:
    """The response; of a refused request, its status."""
    try:
        return json.loads(sandbox.graphql({"x-api-key": TOKEN}, json.dumps({"query": query}).encode()))
    except Answer as answer:
        return answer.status


@pytest.mark.parametrize(
    ("point", "query", "contract", "today"),
    [
        (1, EXECUTE % (1, ", context: {}"), '"success": true', "INTERNAL_SERVER_ERROR"),
        (2, "{ campaigns { name } }", 'Chronicles"', "date-time-string"),
        (3, '{ campaign(id: "campaign-1") { currentWorldTime } }', "1001-06-01T12:00:00.000Z", "-30565598400000"),
        (4, '{ getOverdueEvents(campaignId: "campaign-1") { scheduledAt } }', "1001-06-01T11", "-305656"),
        (5, UPDATE % 7, '"path"', "OPTIMISTIC_LOCK"),
        (6, UPDATE % 7, "OPTIMISTIC_LOCK", "at version 1"),
        (7, UPDATE % 7, "OPTIMISTIC_LOCK", '"status": 409'),
        (7, EXECUTE % (4, ""), '"success": false', "FORBIDDEN"),
        (8, UPDATE % 1, '"version": 2', "must be a UUID"),
        (9, UPDATE % 1, '"version": 2', "401"),
        (10, UPDATE % 1, '"version": 2', "FORBIDDEN"),
        (11, ADVANCE, "advanced", "CONFLICT"),
        (15, EXECUTE % (1, ""), "variables.morale", '"affectedFields": null'),
        (16, '{ getEffect(id: "effect-1-1") { entityType } }', '"event"', '"EVENT"'),
        (17, MANY, '"a125"', "too complex"),
    ],
)
def test_each_point_changes_only_itself(point: int, query: str, contract: str, today: str) -> None:
    """Without it the contract holds."""
    answers = [json.dumps(ask(Sandbox(World(), TOKEN, points), query)) for points in (frozenset(), frozenset({point}))]

    assert contract in answers[0]
    assert today in answers[1]
    assert contract not in answers[1]


@pytest.mark.parametrize("points", DIALECTS.values(), ids=DIALECTS)
def test_a_dialect_has_its_own_messages(points: frozenset[int]) -> None:
    """By entity and without world time, or by campaign."""
    sent: list[tuple[str, Any]] = []
    sandbox = Sandbox(World(publish=lambda channel, body: sent.append((channel, body))), TOKEN, points)
    ask(sandbox, UPDATE % 1)
    sandbox.world.advance("campaign-1", "1500-01-01T00:00:00Z")
    channels = [channel for channel, _ in sent]

    if 12 in points:
        assert channels == ["entity.modified.settlement-1-1-1"]
        assert sent[0][1]["entityModified"] | {"modifiedAt": ""} == {
            "entityId": "settlement-1-1-1",
            "entityType": "settlement",
            "version": 2,
            "modifiedBy": "service-account",  # of a key; a JWT names the account
            "modifiedAt": "",
        }
    else:
        assert channels == ["campaign.campaign-1.entityModified", "campaign.campaign-1.worldTimeAdvanced"]


def test_a_message_names_whose_change_it_is() -> None:
    """The scheduler's account, or the game master."""
    sent: list[Any] = []
    token = TOKENS["today"]
    world = World(publish=lambda _channel, body: sent.append(body["entityModified"]["modifiedBy"]))
    sandbox = Sandbox(world, token, DIALECTS["today"])

    sandbox.graphql({"authorization": f"Bearer {token}"}, json.dumps({"query": UPDATE % 1}).encode())
    handle(sandbox, "POST", "settlements", b'{"id": "settlement-1-1-1", "level": 2}')
    handle(sandbox, "POST", "settlements", b'{"id": "new", "kingdomId": "kingdom-1-1", "version": 1}')

    assert sent == ["scheduler", "game-master"]


@pytest.mark.parametrize(("points", "code"), [([], "NOT_FOUND"), ([7], "INTERNAL_SERVER_ERROR")])
def test_what_is_missing_is_null_or_an_error(points: list[int], code: str) -> None:
    sandbox = Sandbox(World(), TOKEN)
    single = '{ settlement(id: "none") { version } }'
    handle(sandbox, "POST", "dialect", json.dumps({"points": points}).encode())
    assert ask(sandbox, single) == {"data": {"settlement": None}}

    handle(sandbox, "POST", "dialect", json.dumps({"points": points, "missing": "error"}).encode())

    (error,) = ask(sandbox, single)["errors"]
    assert error["extensions"] == {"code": code} | ({"status": 404} if points else {})


def test_lists_are_kept_and_single_reads_are_fresh() -> None:
    """Point 17."""
    sandbox = Sandbox(World(), TOKEN, frozenset({17}))
    listed = '{ settlementsByKingdom(kingdomId: "kingdom-1-1") { version } }'
    ask(sandbox, listed)
    ask(sandbox, UPDATE % 1)

    assert ask(sandbox, listed)["data"]["settlementsByKingdom"][0] == {"version": 1}
    assert ask(sandbox, '{ settlement(id: "settlement-1-1-1") { version } }')["data"]["settlement"] == {"version": 2}
    assert ask(sandbox, "{ " + " " * 110_000 + "campaigns { id } }") == 413


def test_points_can_be_switched_at_run_time() -> None:
    """A dialect by name, points by number; an unknown one is named, and the world stays."""
    sandbox = Sandbox(World(), TOKEN)
    ask(sandbox, UPDATE % 1)

    shown: Any = handle(sandbox, "POST", "dialect", b'{"dialect": "today"}')
    assert (shown["points"], len(shown["known"])) == (sorted(DIALECTS["today"]), len(POINTS))
    handle(sandbox, "POST", "dialect", b'{"points": [3]}')
    assert sandbox.points == {3}
    assert sandbox.world.settlements["settlement-1-1-1"]["version"] == 2
    for bad in (b'{"points": [18]}', b'{"points": "all"}', b'{"dialect": "klingon"}', b"{}"):
        with pytest.raises(Answer) as refused:
            handle(sandbox, "POST", "dialect", bad)
        assert refused.value.status == 400
