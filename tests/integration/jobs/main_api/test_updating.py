"""Updating in batches: under versions, within the limits, and a failing one harms no other."""

from typing import Any

import msgspec
import pytest
from redis import Redis

from jobs.errors import JobError, OutcomeUnknown, PermanentError, TooLarge, TransientError, VersionConflict
from jobs.main_api import branches
from jobs.main_api.client import MainApi
from jobs.main_api.model import AdvancedClock, Settlement
from jobs.main_api.updates import Update
from tests.support.main_api import event_of, of_an_api, settlements_of
from tests.support.receivers import other_api
from tests.support.servers import SandboxApi


def grow(settlement: Settlement, population: int) -> Update[Settlement]:
    """The settlement with another population."""
    return Update(settlement, level=settlement.level, variables={"population": population}, key=f"job-{population}")


def read(api: MainApi, *ids: str) -> list[Settlement]:
    """Settlements that are there."""
    found = [one for one in api.settlements(ids).values() if isinstance(one, Settlement)]
    assert len(found) == len(ids)
    return found


def test_updates_carry_a_version(api: MainApi) -> None:
    """The second of two updates of one reading is a conflict and changes nothing."""
    (settlement,) = read(api, "settlement-1-1-1")
    branch = api.main_branch("campaign-1").id

    written = api.update_settlements([grow(settlement, 700)], branch_id=branch)["settlement-1-1-1"]
    again = api.update_settlements([grow(settlement, 800)], branch_id=branch)["settlement-1-1-1"]

    assert isinstance(written, Settlement)
    assert (written.version, written.variables) == (settlement.version + 1, {"population": 700})
    assert isinstance(again, VersionConflict)
    assert read(api, "settlement-1-1-1") == [written]


def test_a_conflict_inside_a_batch_harms_no_other(api: MainApi, sandbox: SandboxApi) -> None:
    """Updates before the failed alias have run; those after it are sent again, once."""
    ids = [f"settlement-1-1-{n}" for n in (1, 2, 3)]
    first, second, third = read(api, *ids)
    branch = api.main_branch("campaign-1").id
    api.update_settlements([grow(second, 600)], branch_id=branch)
    before = sandbox.control("GET", "stats")["operations"]["updateSettlement"]

    answers = api.update_settlements([grow(first, 701), grow(second, 702), grow(third, 703)], branch_id=branch)

    assert isinstance(answers[second.id], VersionConflict)
    assert [answers[first.id], answers[third.id]] == read(api, first.id, third.id)
    assert [s.variables["population"] for s in read(api, *ids)] == [701, 600, 703]
    assert sandbox.control("GET", "stats")["operations"]["updateSettlement"] - before == 3


@pytest.mark.parametrize("letters", [10, 20_000, 60_000])
def test_batches_stay_below_100_kb(api: MainApi, sandbox: SandboxApi, letters: int) -> None:
    """40 settlements with long variables are all written."""
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


def test_an_update_above_the_limit_harms_no_other(api: MainApi, sandbox: SandboxApi) -> None:
    """It is rejected for good, the others are written."""
    sandbox.control("POST", "faults", {"largestRequest": 50_000})
    towns = settlements_of(api, "campaign-1")
    big = {"chronicle": "x" * 60_000}
    updates = [Update(t, level=2, variables=big if n == 1 else {}, key="job-1") for n, t in enumerate(towns)]

    written = api.update_settlements(updates, branch_id=api.main_branch("campaign-1").id)

    refused = [one for one in written.values() if not isinstance(one, Settlement)]
    assert [type(error) for error in refused] == [TooLarge]


@pytest.mark.parametrize("code", ["NOT_FOUND", "BAD_USER_INPUT", "BAD_REQUEST"])
def test_an_error_below_an_update_may_be_sent_again(redis: Redis, code: str) -> None:
    """The update has run, and only its answer could not be read: no dead letter, no expired event."""
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


class Restored:
    """A main API with one campaign, whose main branch may become another."""

    def __init__(self) -> None:
        self.main, self.reads, self.is_down = "old", 0, False

    def answer(self, request: dict[str, Any]) -> dict[str, Any] | int:
        wanted = request["variables"].get("input")
        if wanted is None:
            self.reads += "branches" in request["query"]
            branch = {"id": self.main, "campaignId": "c-1", "name": "main", "parentId": None}
            return 500 if self.is_down else {"data": {"branches": [branch]}}
        name = "advanceWorldTime" if "to" in wanted else "updateSettlement"
        if wanted["branchId"] != self.main:
            error = {"message": "no such branch", "path": [name], "extensions": {"code": "BAD_USER_INPUT"}}
            return {"data": None, "errors": [error]}
        clock = {"campaignId": "c-1", "currentWorldTime": wanted.get("to")}
        return {"data": {name: {"id": request["variables"].get("id"), "version": 2, **clock}}}


@pytest.mark.parametrize("operation", ["update", "advance"])
@pytest.mark.parametrize(
    ("renewed_after", "is_down", "error", "reads"),
    [(0.0, False, None, 2), (0.0, True, TransientError, 2), (60.0, False, PermanentError, 1)],
    ids=["found", "unread", "read just now"],
)
def test_a_campaign_may_get_another_main_branch(
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    renewed_after: float,
    is_down: bool,
    error: type[JobError] | None,
    reads: int,
) -> None:
    """Made anew or restored: what was refused is sent again. Branches are not read at each refusal."""
    monkeypatch.setattr(branches, "RENEWED_AFTER_S", renewed_after)
    restored = Restored()
    town = Settlement(id="s-1", kingdom_id="k", name="S", level=1, variables={}, version=1)
    done: object
    with other_api(restored.answer) as url:
        api = of_an_api(redis, url)
        old = api.main_branch("c-1").id
        restored.main, restored.is_down = "new", is_down
        try:
            if operation == "update":
                done = api.update_settlements([Update(town, level=2, variables={}, key="job")], branch_id=old)["s-1"]
            else:
                done = api.advance_world_time("c-1", "1001-06-02T00:00:00.000Z", branch_id=old, key="job")
        except JobError as raised:
            done = raised

    assert type(done) in (error, Settlement, AdvancedClock)
    assert isinstance(done, JobError) == (error is not None)
    assert restored.reads == reads
