"""The sandbox's world: the contract's rules, and faults."""

import json
import urllib.error
from pathlib import Path

import pytest
from graphql import build_schema, lexicographic_sort_schema, print_schema

from sandbox.contract import Refusal
from sandbox.dialect import Dialect
from sandbox.faults import BadFaults, Faults
from sandbox.schema import MUTATIONS, QUERIES, Service
from sandbox.seed import Size, make_effect, make_event, seed_records
from sandbox.world import World
from tests.support.servers import ROOT, SandboxApi


def code(refusal: pytest.ExceptionInfo[Refusal]) -> str:
    """The code of a refusal."""
    return refusal.value.extensions["code"]


def test_the_same_seed_makes_the_same_world() -> None:
    """Another seed makes another one, and a world survives its dump."""
    first, loaded = World(seed=1), World(seed=2)
    assert first.dump() == World(seed=1).dump() != loaded.dump()

    loaded.load(json.loads(json.dumps(first.dump())))

    assert loaded.dump() == first.dump()
    assert loaded.of("campaign-1", "events") == first.of("campaign-1", "events")


def test_the_world_follows_the_contract() -> None:
    """Versions, completed events, time that only moves forward, unknown IDs."""
    world = World()
    update = {"branchId": "campaign-1-main", "expectedVersion": 1, "variables": {"a": 1}}
    assert world.update("Settlement", "settlement-1-1-1", update)["version"] == 2

    with pytest.raises(Refusal) as stale:
        world.update("Settlement", "settlement-1-1-1", update)
    with pytest.raises(Refusal) as branch:
        world.update("Structure", "structure-1-1-1-1", {**update, "branchId": "none"})
    with pytest.raises(Refusal) as backwards:
        world.advance("campaign-1", "1001-06-01T12:00:00Z")
    with pytest.raises(Refusal) as unknown:
        world.complete("none")
    assert [code(c) for c in (stale, branch, backwards, unknown)] == [
        "OPTIMISTIC_LOCK",
        "BAD_USER_INPUT",
        "BAD_REQUEST",
        "NOT_FOUND",
    ]


def test_events_are_overdue_after_five_minutes() -> None:
    """Oldest first, without completed ones, and none without a clock."""
    world = World()
    for minute in (54, 55, 50):
        world.plant("events", make_event(f"e-{minute}", "campaign-1", f"1001-06-01T11:{minute}:00.000Z"))

    assert [e["id"] for e in world.overdue("campaign-1")] == ["event-1-1", "e-50", "e-54"]
    world.complete("e-50")
    assert [e["id"] for e in world.overdue("campaign-1")] == ["event-1-1", "e-54"]
    assert world.overdue("campaign-2") == []


def test_after_a_failed_mutation_the_later_ones_do_not_run() -> None:
    """data is null, the fields before it have run, and path[0] names the alias."""
    world = World()
    service = Service(world, lambda name, args: None, Dialect())
    answer = service.execute(
        'mutation { a0: expireEvent(eventId: "event-1-1") { id } a1: expireEvent(eventId: "none") { id } '
        'a2: expireEvent(eventId: "event-1-2") { id } }',
        None,
        None,
    )

    assert answer["data"] is None
    assert answer["errors"][0]["path"] == ["a1"]
    assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    assert [world.events[e]["isCompleted"] for e in ("event-1-1", "event-1-2")] == [True, False]


@pytest.mark.parametrize(
    ("to", "variables"),
    [("$to", {"to": 5}), ("$to", {}), ('"soon"', {}), ('"9999-12-31T23:59:59-14:00"', {})],
)
def test_a_bad_argument_is_bad_user_input(to: str, variables: dict[str, object]) -> None:
    """INTERNAL_SERVER_ERROR would say that the request may be repeated."""
    service = Service(World(), lambda name, args: None, Dialect())
    declared = "($to: DateTime!)" if to == "$to" else ""
    query = f'mutation{declared} {{ advanceWorldTime(input: {{campaignId: "campaign-1", to: {to}}}) {{ message }} }}'

    answer = service.execute(query, variables, None)

    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


def test_every_field_of_the_contract_has_a_resolver() -> None:
    """And the SDL is the contract's, where that file is available."""
    text = (ROOT / "sandbox" / "schema.graphql").read_text()
    schema = build_schema(text)
    contract = Path(ROOT).parent / "shared" / "main-api.graphql"

    assert schema.query_type is not None
    assert schema.mutation_type is not None
    assert set(schema.query_type.fields) == set(QUERIES)
    assert set(schema.mutation_type.fields) == set(MUTATIONS)
    if contract.exists():
        theirs = build_schema(contract.read_text())
        assert print_schema(lexicographic_sort_schema(theirs)) == print_schema(lexicographic_sort_schema(schema))


@pytest.mark.parametrize(
    "wrong",
    [
        {"latency": 1},
        {"latencyMs": "x"},
        {"errorRate": -1},
        {"outage": 1},
        {"operations": [5]},
        {"rateLimit": {"next": "x"}},
        {"rateLimit": {"following": 1}},
    ],
)
def test_bad_faults_name_the_field(wrong: dict[str, object]) -> None:
    """And nothing is changed."""
    faults = Faults()

    with pytest.raises(BadFaults, match=next(iter(wrong))):
        faults.set(wrong)
    assert faults.as_json() == Faults().as_json()


def test_control_rejects_unknown_paths_and_bodies(sandbox: SandboxApi) -> None:
    """404 for a path, 400 for a body."""
    for path, body, status in (("nothing", {}, 404), ("faults", {"x": 1}, 400), ("advance", {}, 400)):
        with pytest.raises(urllib.error.HTTPError) as caught:
            sandbox.control("POST", path, body)
        assert caught.value.code == status


@pytest.mark.parametrize("points", [frozenset(), frozenset({14})])
def test_completing_an_event_counts_its_effects(points: frozenset[int]) -> None:
    """By the contract they are executed in order; today they are only recorded."""
    world = World()
    for number, (timing, priority) in enumerate([("POST", 1), ("PRE", 2), ("PRE", 1)]):
        world.plant("effects", make_effect(f"e-{number}", "event-1-2"))
        world.plant("effects", {"id": f"e-{number}", "timing": timing, "priority": priority})
    world.plant("effects", {"id": "e-2", "fails": "no such town"})
    service = Service(world, lambda name, args: None, Dialect(points))
    fields = "pre { total succeeded failed } post { total succeeded }"
    answer = service.execute(f'mutation {{ completeEvent(id: "event-1-2") {{ {fields} }} }}', None, None)

    assert answer["data"]["completeEvent"] == {
        "pre": {"total": 2, "succeeded": 2, "failed": 0} if points else {"total": 2, "succeeded": 1, "failed": 1},
        "post": {"total": 1, "succeeded": 1},
    }
    assert [one["effectId"] for one in world.executions] == ([] if points else ["e-1", "e-0"])


def test_names_tell_records_of_a_campaign_apart() -> None:
    """However many there are; an effect's and an event's name is no ID."""
    size = Size(campaigns=2, kingdoms=2, settlements=200, structures=7, effects=20)
    names: dict[tuple[str, str], list[str]] = {}
    for table, record in seed_records(size, 7):
        if table in ("settlements", "structures", "events", "effects"):
            names.setdefault((table, record["id"].split("-")[1]), []).append(record["name"])

    assert len(names) == 8
    for each in names.values():
        assert len(set(each)) == len(each)
        assert not any("-" in name for name in each)


@pytest.mark.parametrize("record_id", ["", "0", "\ud83c", "x\0", "9" * 5000, "effect-0"])
def test_a_record_of_any_id_has_a_name(record_id: str) -> None:
    assert make_effect(record_id, "event-1-1")["name"]
    assert make_event(record_id, "campaign-1", "1001-06-01T12:00:00.000Z")["name"]
