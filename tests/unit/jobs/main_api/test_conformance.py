"""The check of the main API: what it says of each dialect, and that it changes nothing in any."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.main_api.answers import Fault, Request
from jobs.main_api.conformance.asker import MOST_REQUESTS, Asker
from jobs.main_api.conformance.check import check
from jobs.main_api.conformance.points import POINTS
from jobs.main_api.conformance.report import EXIT_CODES, CheckOutcome, PointVerdict, Report, Verdict, from_json
from jobs.main_api.heard import Heard
from sandbox import dialect
from sandbox.contract import Record
from sandbox.seed import Size
from sandbox.server import Sandbox
from sandbox.world import World
from tests.support.conformance import JWT, KEY, Recorder, answer_with, check_sandbox, finding, verdicts
from tests.support.servers import ROOT

FITS, TOLERATED, FAULT, NOT_SEEN = Verdict.FITS, Verdict.TOLERATED, Verdict.FAULT, Verdict.NOT_SEEN
#: Completing an event cannot be tried, and the contract's schema tells nothing of it.
OF_THE_CONTRACT = dict.fromkeys(range(1, 18), FITS) | {14: NOT_SEEN}
#: For each point what it changes: itself, and what cannot be seen any more, or follows.
CHANGES: Mapping[int, dict[int, Verdict]] = {
    **{number: {number: TOLERATED} for number in (1, 2, 3, 4, 5, 7, 11, 12, 15, 16, 17)},
    6: {6: TOLERATED, 5: TOLERATED, 7: NOT_SEEN},  # such an error has neither path nor code
    8: {8: FAULT, 7: NOT_SEEN},  # the version is not compared
    9: {9: FAULT, **dict.fromkeys((1, 4, 5, 6, 7, 8, 10, 11, 13, 15, 16, 17), NOT_SEEN)},  # all else is HTTP 401
    10: {10: FAULT, **dict.fromkeys((1, 7, 8, 11, 15), NOT_SEEN)},  # so is every mutation
    13: {},  # only an update without worldTime would show it, and the scheduler sends none
    14: {},
}


@pytest.mark.parametrize("number", dialect.POINTS)
def test_each_point_changes_its_own_line_only(number: int) -> None:
    """And those that the table names."""
    report = check_sandbox([number], token=KEY if number == 9 else JWT)

    assert verdicts(report) == OF_THE_CONTRACT | CHANGES[number]
    assert report.exit_code == (1 if FAULT in verdicts(report).values() else 0)
    assert all(bool(point.advice) == (point.verdict in (TOLERATED, FAULT)) for point in report.points)


def test_the_contract_passes_the_check() -> None:
    """All of it, by the schema too."""
    report = check_sandbox(introspects=True)

    assert verdicts(report) == OF_THE_CONTRACT
    assert (report.outcome, report.exit_code, report.reason, report.faults) == (CheckOutcome.FITS, 0, "", [])
    assert (len(report.operations), report.invalid_operations, report.schema) == (16, {}, "")
    assert report.campaigns == 3


def test_todays_dialect_is_tolerated() -> None:
    """Each point that can be seen differs."""
    report = check_sandbox(dialect.DIALECTS["today"], introspects=True)
    differing = {number for number, verdict in verdicts(report).items() if verdict is TOLERATED}

    assert differing == {1, 2, 3, 4, 5, 6, 11, 12, 15, 16, 17}
    assert (report.outcome, report.exit_code) == (CheckOutcome.TOLERATED, 0)


@pytest.mark.parametrize(
    ("points", "token", "faults", "said"),
    [
        ({8, 9, 10}, JWT, {10}, "8 IDs in inputs: not seen: mutations are refused before their IDs are checked"),
        ({8, 9, 10}, KEY, {9}, "10 Rights of the credential: not seen: the credential is refused for queries"),
        ({8, 9}, JWT, {8}, "Its owners must change: accept its own IDs as branchId and campaignId"),
        (set(dialect.POINTS), JWT, {10}, "campaign-1 is no UUID: if only those are taken, that comes next"),
        (set(dialect.POINTS) - {10}, JWT, {8}, "no code: branchId must be a UUID"),
    ],
)
def test_points_that_cannot_work_are_named(points: set[int], token: str, faults: set[int], said: str) -> None:
    """With what hides another point."""
    report = check_sandbox(points, token=token)
    lines = "\n".join(f"{point.point} {point.what}: {point.as_sentence()}" for point in report.points)

    assert {point.point for point in report.faulty} == faults
    assert (report.outcome, report.exit_code) == (CheckOutcome.CANNOT_WORK, 1)
    assert said in lines


@pytest.mark.parametrize("points", [[], [8], [10], [5, 6], sorted(dialect.DIALECTS["today"])], ids=str)
def test_missing_data_is_reported(points: list[int]) -> None:
    """Without campaigns and effects, operations are tried on what does not exist."""
    world = World(size=Size(campaigns=0))
    report = check_sandbox(points, world=world, effects=[], heard=Heard())
    seen = verdicts(report)

    assert {number: seen[number] for number in (1, 3, 4, 12, 15, 16)} == dict.fromkeys((1, 3, 4, 12, 15, 16), NOT_SEEN)
    assert (seen[8], seen[10]) == (
        FAULT if 8 in points else NOT_SEEN if 10 in points else FITS,
        FAULT if 10 in points else FITS,
    )
    assert "needed: a campaign with a world time" in finding(report, 3)
    assert "name one with check_main_api --effect" in finding(report, 1)
    assert "the listener has heard no message" in finding(report, 12)


class Careless(World):
    """A world that does not compare versions."""

    def update(self, kind: str, entity_id: str, changes: Mapping[str, Any]) -> Record:
        return super().update(kind, entity_id, {**changes, "expectedVersion": self.settlements[entity_id]["version"]})


def test_a_main_api_that_accepts_a_wrong_version_is_dangerous() -> None:
    """It is named; what was written is what was read."""
    world = Careless()
    before = json.loads(json.dumps(world.settlements))
    report = check(Recorder(Sandbox(world, JWT)), url="u", is_key=False, by="tests")

    changed = {key for key, town in world.settlements.items() if town != before[key]}
    assert [{**world.settlements[key], "version": 1} for key in changed] == [before[key] for key in changed]
    assert verdicts(report)[7] is FAULT
    assert "dangerous: an update of settlement-1-1-1" in finding(report, 7)
    assert report.exit_code == 1


def test_unreadable_effects_are_found_by_a_dry_run() -> None:
    """One of a settlement is found; a deleted one is not."""
    world = World()
    world.plant("effects", {**world.effects["effect-1-1"], "id": "of-a-town", "entityType": "settlement"})
    unreadable = check_sandbox([16], world=world, effects=["of-a-town"])
    inactive = check_sandbox(effects=["effect-1-4"])

    assert "getEffect does not find of-a-town, which executeEffect runs" in finding(unreadable, 16)
    assert verdicts(inactive)[16] is NOT_SEEN


ODD: Mapping[str, tuple[object, CheckOutcome, str]] = {
    "HTML": (b"<html>hello</html>", CheckOutcome.UNREACHABLE, "neither data nor errors"),
    "data is null": ({"data": None}, CheckOutcome.UNREACHABLE, "neither data nor errors"),
    "nothing": (b"", CheckOutcome.UNREACHABLE, "neither data nor errors"),
    "HTTP 503": (503, CheckOutcome.UNREACHABLE, "HTTP 503"),
    "HTTP 429": (429, CheckOutcome.UNREACHABLE, "HTTP 429"),
    "HTTP 404": (404, CheckOutcome.UNREACHABLE, "HTTP 404"),
    "HTTP 401": (401, CheckOutcome.CANNOT_WORK, "Check API_SERVICE_ACCOUNT_TOKEN"),
    "FORBIDDEN": ({"errors": [{"extensions": {"code": "FORBIDDEN"}}]}, CheckOutcome.CANNOT_WORK, "Check API_SERVICE"),
    "another API": ({"data": {"hello": "world"}}, CheckOutcome.CANNOT_WORK, "the answer holds no list"),
    "an error": ({"errors": [{"message": "broken"}]}, CheckOutcome.CANNOT_WORK, "campaigns: no code: broken"),
}


@pytest.mark.parametrize(("answer", "outcome", "said"), ODD.values(), ids=ODD)
def test_odd_answers_end_the_check(answer: object, outcome: CheckOutcome, said: str) -> None:
    """After two requests at most, with a reason."""
    report = check(answer_with(lambda _: answer), url="u", is_key=False, by="tests")

    assert (report.outcome, report.points) == (outcome, [])
    assert said in report.reason
    assert report.requests <= 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2**40) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "version", "level", "success", "campaignId", "kingdomId", "parentId", "a0", "isActive"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)
ERRORS = st.lists(st.fixed_dictionaries({}, optional={"message": JSON, "path": JSON, "extensions": JSON}), max_size=2)
CAMPAIGN = {"id": "c", "name": "C", "isActive": True, "currentWorldTime": "1001-06-01T12:00:00Z"}


@settings(max_examples=25)
@given(st.data())
def test_no_answer_breaks_the_check(data: st.DataObject) -> None:
    """Whatever stands in an answer, and whichever requests find none."""

    def answer(payload: Mapping[str, Any]) -> object:
        if "{ campaigns" in payload["query"]:
            return {"data": {"campaigns": [CAMPAIGN, data.draw(JSON)]}}
        fields = ("a0", "__schema", "branches", "kingdomsByCampaign", "settlement", "updateSettlement", "executeEffect")
        body = {"data": {name: data.draw(JSON) for name in fields if name in payload["query"]}}
        return data.draw(st.sampled_from([body, body, {**body, "errors": data.draw(ERRORS)}, 503, 401, 413, b"<"]))

    report = check(answer_with(answer), url="u", is_key=False, by="tests", effect_ids=["e"])

    assert report.outcome in CheckOutcome
    assert from_json(json.loads(json.dumps(report.as_json()))) == report


def test_a_check_respects_its_time_limit() -> None:
    """With slow answers and with many; what it did not ask counts as not seen."""
    now = [0.0]

    def slow(payload: Mapping[str, Any], *, request: Request = Request.QUERY) -> Any:
        now[0] += 1
        raise Fault(request.unclear("slow"))

    asker = Asker(slow, within_s=2.0, clock=lambda: now[0])
    asker.requests = 1  # the first one decides whether there is a main API
    assert "slow" in asker.ask("{ a }").why("a")
    now[0] = 2.0
    assert "the check may take 2 s only" in asker.ask("{ a }").why("a")
    now[0], asker.requests = 0.0, MOST_REQUESTS
    assert f"may take {MOST_REQUESTS} requests only" in asker.ask("{ a }").why("a")


def test_the_documented_table_has_every_point() -> None:
    """In the order of docs/main-api.md, which documents the JSON's fields and the exit codes as well."""
    page = (ROOT / "docs" / "main-api.md").read_text()

    assert [point.number for point in POINTS] == list(dialect.POINTS)
    fields = (*Report.__struct_encode_fields__, *PointVerdict.__struct_encode_fields__, "exitCode")
    for field in fields:
        assert f"`{field}`" in page, field
    for outcome, code in EXIT_CODES.items():
        assert f"`{outcome}`" in page
        assert f"| {code} |" in page
