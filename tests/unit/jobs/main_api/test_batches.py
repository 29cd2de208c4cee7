"""How large batches are: what the main API refuses is halved, and remembered for the process."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from redis import Redis

from jobs.errors import JobError, TooLarge
from jobs.main_api import operations
from jobs.main_api.answers import Answer
from jobs.main_api.batches import BatchLimits, size_of
from jobs.main_api.errors import FieldError
from jobs.main_api.model import Settlement
from jobs.main_api.reading import READ_BATCH, Reading
from jobs.main_api.triggering import TIMINGS
from jobs.main_api.updates import Update
from jobs.main_api.updating import WRITE_BATCH, Updating
from jobs.main_api.versions import Versions

TOO_COMPLEX = "Query is too complex: 1200. Maximum allowed complexity: 1000"
IDS = [f"s-{n}" for n in range(100)]


class Small:
    """A main API that takes so many aliases, and so many bytes."""

    def __init__(self, *, aliases: int = 1000, size: int = 1_000_000) -> None:
        self.refused = 0
        self._aliases = aliases
        self._size = size

    def send(self, name: str, each: Sequence[Mapping[str, Any]], *, key: str = "") -> Answer:
        if sum(map(size_of, each)) > self._size:
            self.refused += 1
            raise TooLarge("main API: HTTP 413: the request is too large")
        if len(each) > self._aliases:
            self.refused += 1
            return Answer({}, (FieldError(TOO_COMPLEX, "BAD_USER_INPUT", ()),))
        names = [f"a{n}" if len(each) > 1 else name for n in range(len(each))]
        return Answer(
            {alias: {**town(one["id"]), "version": 2 if key else 1} for alias, one in zip(names, each, strict=True)}
        )


def town(town_id: str) -> dict[str, Any]:
    return {"id": town_id, "kingdomId": "k", "name": "", "level": 1, "variables": {}, "version": 1}


def none(ids: Sequence[str]) -> dict[str, Settlement | JobError | None]:
    """Nothing needs to be read back."""
    return dict.fromkeys(ids)


def write(api: Small, limits: BatchLimits) -> list[type]:
    towns = [Settlement(id=i, kingdom_id="k", name="", level=1, variables={}, version=1) for i in IDS]
    updates = [Update(one, level=2, variables={"motto": "x" * 500}, key="job") for one in towns]
    updating = Updating("updateSettlement", limits, lambda each, key: api.send("updateSettlement", each, key=key), none)
    return [type(answer) for answer in updating.run(updates, "branch").values()]


@pytest.mark.parametrize("takes", [{"aliases": 7}, {"aliases": 1}, {"size": 20_000}], ids=str)
def test_refused_updates_are_halved_once(takes: dict[str, int]) -> None:
    """All are written; the next run stays within what was learnt."""
    api, limits = Small(**takes), BatchLimits()

    assert write(api, limits) == [Settlement] * len(IDS)
    assert 0 < api.refused <= 6
    api.refused = 0
    assert write(api, limits) == [Settlement] * len(IDS)
    assert api.refused == 0


@pytest.mark.parametrize("most", [1, 7])
def test_refused_reads_are_halved_once(most: int) -> None:
    """All are read; the next run stays within what was learnt."""
    api = Small(aliases=most)
    reading = Reading(api.send, BatchLimits(), Versions(Redis()))

    for refused in (6, 0):
        api.refused = 0
        found = reading.find_each("settlement", IDS, Settlement)
        assert {type(one) for one in found.values()} == {Settlement}
        assert api.refused <= refused


@pytest.mark.parametrize("name", [*operations.names(), *sorted(operations.beyond_contract())])
def test_full_batches_are_below_the_limits_of_today(name: str) -> None:
    """A complexity of 1000, where each field and each alias counts, and 100 KB beside the variables."""
    batched = "$" in operations.text(name)
    few = {"completeEvent": 1, "getEffectsForEntity": len(TIMINGS)}  # these go in no larger batch
    size = few.get(name, WRITE_BATCH if name.startswith("update") else READ_BATCH) if batched else 1
    text = operations.text(name, size)
    body, *fragments = text.split("\nfragment ")
    fields = len(body.split("{", 1)[1].replace("{", " ").split()) + size * sum(len(f.split()) for f in fragments)

    assert fields < 1000
    assert len(text) < 10_000


def test_nothing_that_today_breaks_is_requested() -> None:
    """executeEffectsForEntity, which ignores dryRun."""
    assert "executeEffectsForEntity" not in {*operations.names(), *operations.beyond_contract()}
    assert "context" not in operations.text("executeEffect")
