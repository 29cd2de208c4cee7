"""Many events in few requests: one that cannot be expired harms no other, with or without a path in its error."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobs.errors import Forbidden, JobError, NotAuthorized, NotFound, NotServed, OutcomeUnknown
from jobs.main_api.answers import Answer
from jobs.main_api.errors import FieldError
from jobs.main_api.expiring import EXPIRE_BATCH, Expiring
from jobs.main_api.listing import Listing
from jobs.main_api.model import Event

WORDS = ["Validation failed", "Forbidden resource", "Event {} cannot be expired", "Event is already completed"]


class Events:
    """A main API that stops at the first event that it refuses."""

    def __init__(self, count: int, refused: set[int], *, placed: bool, words: str) -> None:
        self.open = [event(f"e-{n}") for n in range(count)]
        self.requests = 0
        self._refused = {f"e-{n}" for n in refused}
        self._placed = placed
        self._words = words

    def send(self, name: str, each: Sequence[Mapping[str, Any]], *, key: str = "") -> Answer:
        self.requests += 1
        done = {}
        for position, one in enumerate(each):
            alias = f"a{position}" if len(each) > 1 else name
            if one["eventId"] in self._refused:
                text = self._words.format(one["eventId"])
                return Answer({}, (FieldError(text, "", (alias,) if self._placed else ()),))
            self.open = [event for event in self.open if event.id != one["eventId"]]
            done[alias] = {"id": one["eventId"], "isCompleted": True}
        return Answer(done)

    def overdue(self, campaign_ids: Sequence[str]) -> dict[str, Listing[Event] | JobError]:
        self.requests += 1
        return dict.fromkeys(campaign_ids, Listing(self._still_open()))

    def single(self, ids: Sequence[str]) -> dict[str, Event | JobError | None]:
        self.requests += 1
        still = {one.id for one in self._still_open()}
        return {one: event(one, is_completed=one not in still) for one in ids}

    def _still_open(self) -> list[Event]:
        return [one for one in self.open if "completed" not in self._words or one.id not in self._refused]


def leave_unserved(ids: Sequence[str]) -> dict[str, Event | JobError | None]:
    """As by the contract; known from the first answer on."""
    return dict.fromkeys(ids, NotServed("event"))


def event(event_id: str, *, is_completed: bool = False) -> Event:
    return Event(id=event_id, campaign_id="c", name="", event_type="story", is_completed=is_completed)


@given(
    count=st.integers(1, 40),
    refused=st.sets(st.integers(0, 39)),
    placed=st.booleans(),
    words=st.sampled_from(WORDS),
    lists=st.sampled_from(["only", "old", "fresh"]),
)
@example(count=40, refused={0, 1, 2, 3}, placed=False, words=WORDS[1], lists="only")
@example(count=10, refused={7}, placed=False, words=WORDS[0], lists="old")
def test_refused_events_harm_no_other(count: int, refused: set[int], placed: bool, words: str, lists: str) -> None:
    """Each of the others expires once, for at most three more requests; completed ones count as expired.

    A main API may have nothing but lists to tell what has run, or lists that are older than what has.
    """
    refused = {n for n in refused if n < count - 1}  # the last is tried alone before all of them are given up
    api = Events(count, refused, placed=placed, words=words)
    before = list(api.open)

    def kept(campaign_ids: Sequence[str]) -> dict[str, Listing[Event] | JobError]:
        return dict.fromkeys(campaign_ids, Listing(before))

    overdue, single = kept if lists == "old" else api.overdue, leave_unserved if lists == "only" else api.single
    answers = Expiring(api.send, overdue, single).run(before, "job")

    failed = {one for one, error in answers.items() if error}
    assert failed == (set() if "completed" in words else {f"e-{n}" for n in refused})
    assert {one.id for one in api.open} == {f"e-{n}" for n in refused}
    assert len(answers) == count
    assert api.requests <= ceil(count / EXPIRE_BATCH) + 3 * len(refused)
    if "Forbidden" in words and len(failed) < count:
        assert {type(answers[one]) for one in failed} <= {Forbidden}


@pytest.mark.parametrize("placed", [True, False])
def test_a_main_api_that_refuses_all_is_not_stormed(placed: bool) -> None:
    """For want of a role. The credential is to blame."""
    api = Events(40, set(range(40)), placed=placed, words="Forbidden resource")

    answers = Expiring(api.send, api.overdue, leave_unserved).run(list(api.open), "job")

    assert {type(answer) for answer in answers.values()} == {NotAuthorized}
    assert api.requests <= 5


def test_an_answer_about_another_event_is_unclear() -> None:
    """The others of the request expire."""
    api = Events(3, set(), placed=True, words="")

    def send(name: str, each: Sequence[Mapping[str, Any]], *, key: str = "") -> Answer:
        data = api.send(name, each, key=key).data
        odd = {alias: {**one, "id": "e-9"} if one["id"] == "e-1" else one for alias, one in data.items()}
        return Answer(odd)

    answers = Expiring(send, api.overdue, leave_unserved).run(list(api.open), "job")

    assert {one: type(error) for one, error in answers.items() if error} == {"e-1": OutcomeUnknown}
    assert set(answers) == {"e-0", "e-1", "e-2"}


@pytest.mark.parametrize("gone", [0, 2])
def test_an_event_that_is_gone_is_the_culprit(gone: int) -> None:
    """Its error names none. It is neither open nor completed; by lists alone the event behind it would be blamed."""
    api = Events(4, {gone}, placed=False, words="Record to update not found")

    def single(ids: Sequence[str]) -> dict[str, Event | JobError | None]:
        return {**api.single(ids), f"e-{gone}": None}

    answers = Expiring(api.send, lambda _: {}, single).run(list(api.open), "job")

    assert {one: type(error) for one, error in answers.items() if error} == {f"e-{gone}": NotFound}


def test_events_that_are_all_completed_have_expired() -> None:
    """Whatever the error was about."""
    api = Events(3, set(), placed=False, words="")

    def send(name: str, each: Sequence[Mapping[str, Any]], *, key: str = "") -> Answer:
        api.send(name, each, key=key)
        return Answer({}, (FieldError("Internal server error", "", ()),))

    assert Expiring(send, api.overdue, api.single).run(list(api.open), "job") == dict.fromkeys(["e-0", "e-1", "e-2"])
    assert api.requests == 2
