"""Many updates in few requests: a failing one harms no other, with or without a path in its error."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobs.errors import JobError, NotAuthorized, NotFound, OutcomeUnknown, VersionConflict
from jobs.main_api.answers import Answer
from jobs.main_api.batches import BatchLimits
from jobs.main_api.errors import FieldError
from jobs.main_api.model import Settlement
from jobs.main_api.updates import Update
from jobs.main_api.updating import WRITE_BATCH, Updating


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
                text = self._words.format(one["id"])
                return Answer({}, (FieldError(text, "", (alias,) if self._placed else ()),))
            assert one["input"]["expectedVersion"] == self.versions[one["id"]]
            self.versions[one["id"]] += 1
            done[alias] = {"id": one["id"], "version": self.versions[one["id"]]}
        return Answer(done)

    def read(self, ids: Sequence[str]) -> dict[str, Settlement | JobError | None]:
        self.requests += 1
        known = [(one, self.versions.get(one)) for one in ids]
        return {one: town(one, version, grown=version == 2) if version else None for one, version in known}


def town(town_id: str, version: int = 1, *, grown: bool = False) -> Settlement:
    values = {"population": 7} if grown else {}
    return Settlement(id=town_id, kingdom_id="k", name="", level=1, variables=values, version=version)


WORDS = ["Validation failed", "Internal server error", "Forbidden resource", "{} is not allowed"]


def write(api: Towns) -> dict[str, Settlement | JobError]:
    updates = [Update(town(one), level=1, variables={"population": 7}, key="job") for one in api.versions]
    return Updating("updateSettlement", BatchLimits(), api.send, api.read).run(updates, "branch")


@given(
    count=st.integers(1, 60),
    refused=st.sets(st.integers(0, 59)),
    placed=st.booleans(),
    words=st.sampled_from(WORDS),
)
@example(count=50, refused={0, 1, 2, 3}, placed=False, words=WORDS[2])
@example(count=50, refused={25}, placed=False, words=WORDS[2])
def test_refused_updates_harm_no_other(count: int, refused: set[int], placed: bool, words: str) -> None:
    """All in the same words, with or without a place: each of the others is written once, for few requests."""
    refused = {n for n in refused if n < count - 1}  # the last is tried alone before all of them are given up
    api = Towns(count, refused, placed=placed, words=words)

    answers = write(api)

    failed = {one for one, answer in answers.items() if isinstance(answer, JobError)}
    assert failed == {f"s-{n}" for n in refused}
    assert {one for one, version in api.versions.items() if version == 2} == set(api.versions) - failed
    assert api.requests <= ceil(count / WRITE_BATCH) + 3 * len(failed)
    assert not any(isinstance(answer, NotAuthorized) for answer in answers.values())  # others are allowed


@pytest.mark.parametrize("placed", [True, False])
def test_a_main_api_that_refuses_all_is_not_stormed(placed: bool) -> None:
    """For want of a role. The credential is to blame."""
    api = Towns(50, set(range(50)), placed=placed, words="Forbidden resource")

    answers = write(api)

    assert {type(answer) for answer in answers.values()} == {NotAuthorized}
    assert api.requests <= 5


@given(changed=st.sets(st.integers(0, 49)), gone=st.sets(st.integers(0, 49)))
def test_conflicts_are_found_by_reading_back(changed: set[int], gone: set[int]) -> None:
    """Whatever the error says, and although it says that nothing is wrong with our credential."""
    api = Towns(50, changed | gone, placed=False, words="Forbidden resource")
    for n in changed:
        api.versions[f"s-{n}"] = 5
    for n in gone:
        api.versions.pop(f"s-{n}", None)
    updates = [Update(town(f"s-{n}"), level=1, variables={"population": 7}, key="job") for n in range(50)]

    answers = Updating("updateSettlement", BatchLimits(), api.send, api.read).run(updates, "branch")

    found: dict[type, set[str]] = {NotFound: set(), VersionConflict: set(), Settlement: set()}
    for one, answer in answers.items():
        found[type(answer)].add(one)
    assert found[NotFound] == {f"s-{n}" for n in gone}
    assert found[VersionConflict] == {f"s-{n}" for n in changed - gone}


@pytest.mark.parametrize(
    ("second", "is_written"),
    [
        ({"id": "s-1", "version": 2}, True),
        ({"id": "s-1", "version": 3}, True),  # somebody else was quick
        ({"id": "s-1", "version": 1}, False),
        ({"id": "s-9", "version": 2}, False),
        ({"id": "s-1"}, False),
        ({}, False),
        (None, False),
    ],
    ids=str,
)
def test_an_answer_about_another_entity_is_unclear(second: dict[str, Any] | None, is_written: bool) -> None:
    """Or with a version that no update can have made. The others of the request are not concerned."""
    api = Towns(3, set(), placed=True, words="")
    updates = [Update(town(one), level=1, variables={"population": 7}, key="job") for one in api.versions]

    def send(each: Sequence[Mapping[str, Any]], key: str) -> Answer:
        answer = api.send(each, key)
        return answer._replace(data={**answer.data, "a1": second})

    answers = Updating("updateSettlement", BatchLimits(), send, api.read).run(updates, "branch")

    assert [isinstance(answers[one], Settlement) for one in api.versions] == [True, is_written, True]
    unclear = answers["s-1"]
    assert is_written or (isinstance(unclear, OutcomeUnknown) and unclear.may_resend)
