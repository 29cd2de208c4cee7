"""Many updates in few requests: what fails costs itself, whatever the error tells of its place."""

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import JobError
from jobs.main_api.answers import Answer
from jobs.main_api.errors import FieldError
from jobs.main_api.model import Settlement
from jobs.main_api.updates import Update
from jobs.main_api.updating import Limits, Updating


class Towns:
    """A main API that stops at the first update that it refuses."""

    def __init__(self, count: int, refused: set[int], *, placed: bool, words: str) -> None:
        self.versions = {f"s-{n}": 1 for n in range(count)}
        self.requests = 0
        self._refused = {f"s-{n}" for n in refused}
        self._placed = placed
        self._words = words

    def send(self, each: Sequence[Mapping[str, Any]], _key: str) -> Answer:
        self.requests += 1
        done = {}
        for position, one in enumerate(each):
            alias = f"a{position}" if len(each) > 1 else "updateSettlement"
            if one["id"] in self._refused:
                return Answer({}, (FieldError(self._words, "", (alias,) if self._placed else ()),))
            assert one["input"]["expectedVersion"] == self.versions[one["id"]]
            self.versions[one["id"]] += 1
            done[alias] = {"id": one["id"], "version": self.versions[one["id"]]}
        return Answer(done)

    def read(self, ids: Sequence[str]) -> dict[str, Settlement | JobError | None]:
        self.requests += 1
        return {one: town(one, self.versions[one], grown=self.versions[one] > 1) for one in ids}


def town(town_id: str, version: int = 1, *, grown: bool = False) -> Settlement:
    values = {"population": 7} if grown else {}
    return Settlement(id=town_id, kingdom_id="k", name="", level=1, variables=values, version=version)


@given(
    count=st.integers(1, 60),
    refused=st.sets(st.integers(0, 59).map(lambda n: 3 * n)),
    placed=st.booleans(),
    words=st.sampled_from(["Validation failed", "Internal server error"]),
)
def test_refused_updates_harm_no_other(count: int, refused: set[int], placed: bool, words: str) -> None:
    """All in the same words, and with or without a place: each of the others is written once."""
    api = Towns(count, refused, placed=placed, words=words)
    updates = [Update(town(one), level=1, variables={"population": 7}, key="job") for one in api.versions]

    answers = Updating("updateSettlement", Limits(), api.send, api.read).run(updates, "branch")

    failed = {one for one, answer in answers.items() if isinstance(answer, JobError)}
    assert failed == {f"s-{n}" for n in refused if n < count}
    assert {one for one, version in api.versions.items() if version == 2} == set(api.versions) - failed
    assert api.requests <= 2 + 4 * len(failed)


@given(st.booleans())
def test_a_main_api_that_refuses_all_is_not_stormed(placed: bool) -> None:
    api = Towns(50, set(range(50)), placed=placed, words="Forbidden resource")
    updates = [Update(town(one), level=1, variables={}, key="job") for one in api.versions]

    answers = Updating("updateSettlement", Limits(), api.send, api.read).run(updates, "branch")

    assert all(isinstance(answer, JobError) for answer in answers.values())
    assert api.requests <= 6
