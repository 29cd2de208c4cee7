"""advanceWorldTime, against the sandbox: by the contract, and as the main API is served today."""

from typing import Any

import pytest

from jobs.errors import NotFound, OutcomeUnknown, PermanentError, TransientError, VersionConflict
from jobs.main_api.advancing import read_advance
from jobs.main_api.answers import Answer
from jobs.main_api.client import MainApi
from jobs.main_api.model import AdvancedClock
from sandbox.dialect import DIALECTS
from tests.support.dialects import let_time_move
from tests.support.servers import SandboxApi

WAS, TO = "1001-06-01T12:00:00.000Z", "1001-06-02T00:00:00.000Z"
WORKING = sorted(DIALECTS["today"] - {11})


def advance(api: MainApi, to: str = TO, campaign_id: str = "campaign-1", key: str = "job-1") -> AdvancedClock:
    branch = api.main_branch("campaign-1").id
    return api.advance_world_time(campaign_id, to, branch_id=branch, key=key)


@pytest.mark.parametrize("points", [[], *([point] for point in WORKING), WORKING], ids=str)
def test_world_time_moves_forward_only(api: MainApi, sandbox: SandboxApi, points: list[int]) -> None:
    """The same request gets the same answer; another for a time that has passed is refused, and changes nothing."""
    sandbox.control("POST", "dialect", {"points": points})

    moved = advance(api)

    assert (moved.previous_world_time, moved.current_world_time) == (WAS, TO)
    assert advance(api) == moved
    for passed in (TO, WAS):
        with pytest.raises((PermanentError, TransientError)):  # without a code no message says which
            advance(api, passed, key="job-2")
    assert sandbox.world()["campaigns"]["campaign-1"]["currentWorldTime"] == TO


@pytest.mark.parametrize("points", [[11], [7, 11], sorted(DIALECTS["today"])], ids=str)
def test_a_conflict_is_told_apart(api: MainApi, sandbox: SandboxApi, points: list[int]) -> None:
    """By its code, its status, or its message alone."""
    sandbox.control("POST", "dialect", {"points": points})

    with pytest.raises(VersionConflict):
        advance(api)


def test_a_campaign_that_is_gone_is_not_found(api: MainApi, sandbox: SandboxApi) -> None:
    let_time_move(sandbox)
    with pytest.raises(NotFound):
        advance(api, campaign_id="none")


def test_an_unclear_answer_may_be_sent_again(api: MainApi, sandbox: SandboxApi) -> None:
    """Whether it was done or not: world time that has moved stays moved."""
    sandbox.control("POST", "faults", {"operations": ["advanceWorldTime"], "errorRate": 1})

    with pytest.raises(OutcomeUnknown) as caught:
        advance(api)

    assert caught.value.may_resend


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"advanceWorldTime": None},
        {"advanceWorldTime": {"campaignId": "c-1"}},
        {"advanceWorldTime": {"campaignId": "c-2", "currentWorldTime": TO}},
        {"advanceWorldTime": [TO]},
    ],
    ids=str,
)
def test_an_answer_that_says_nothing_is_no_success(data: dict[str, Any]) -> None:
    with pytest.raises(OutcomeUnknown):
        read_advance(Answer(data), "c-1")


def test_milliseconds_are_read_too() -> None:
    """As the campaign's own world time is served today."""
    answer = Answer({"advanceWorldTime": {"campaignId": "c-1", "currentWorldTime": "-18869738400000"}})

    assert read_advance(answer, "c-1").current_world_time == "1372-01-16T06:00:00.000Z"
