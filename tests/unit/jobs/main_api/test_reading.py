"""Many reads in few requests: a failing one harms no other, with or without a path in its error."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from jobs.errors import Forbidden, JobError, NotAuthorized, PermanentError
from jobs.main_api.answers import Answer
from jobs.main_api.batches import BatchLimits
from jobs.main_api.errors import FieldError
from jobs.main_api.listing import Listing
from jobs.main_api.model import Settlement
from jobs.main_api.reading import Reading
from jobs.main_api.versions import Versions

NAME = "settlementsByKingdom"


class Kingdoms:
    """A main API whose lists are non-null: one that it refuses makes all data null."""

    def __init__(self, refused: set[int], *, placed: bool, words: str) -> None:
        self.requests = 0
        self._refused = {f"k-{n}" for n in refused}
        self._placed = placed
        self._words = words

    def send(self, name: str, each: Sequence[Mapping[str, Any]], *, key: str = "") -> Answer:
        self.requests += 1
        aliases = {f"a{n}" if len(each) > 1 else name: one["kingdomId"] for n, one in enumerate(each)}
        bad = next((alias for alias, one in aliases.items() if one in self._refused), None)
        if bad is None:
            return Answer({alias: [] for alias in aliases})
        return Answer({}, (FieldError(self._words.format(aliases[bad]), "", (bad,) if self._placed else ()),))

    def read(self, count: int) -> dict[str, Listing[Settlement] | JobError]:
        ids = [f"k-{n}" for n in range(count)]
        return Reading(self.send, BatchLimits(), Versions(Redis())).list_each(NAME, "kingdomId", ids, Settlement)


@given(
    refused=st.sets(st.integers(0, 48)),
    placed=st.booleans(),
    words=st.sampled_from(["Validation failed", "Forbidden resource", "Validation failed for {}"]),
)
def test_refused_lists_harm_no_other(refused: set[int], placed: bool, words: str) -> None:
    """With a place or an ID each costs one request more; without, smaller requests find it."""
    api = Kingdoms(refused, placed=placed, words=words)

    found = api.read(50)

    failed = {one: type(error) for one, error in found.items() if isinstance(error, JobError)}
    assert failed == dict.fromkeys((f"k-{n}" for n in refused), Forbidden if "Forbidden" in words else PermanentError)
    if placed or "{}" in words:
        assert api.requests == 1 + len(refused)


@pytest.mark.parametrize(("words", "most"), [("Forbidden resource", 10), ("Unauthorized", 1)])
def test_a_main_api_that_refuses_all_is_not_stormed(words: str, most: int) -> None:
    """The credential is to blame."""
    api = Kingdoms(set(range(50)), placed=False, words=words)

    found = api.read(50)

    assert {type(error) for error in found.values()} == {NotAuthorized}
    assert api.requests <= most
