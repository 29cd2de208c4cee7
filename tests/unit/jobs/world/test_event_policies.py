"""Which policy counts for an event."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.world.event_policies import EXPIRE, EventAction, Policies, Policy

ASK, TRIGGER = EventAction.ASK, EventAction.TRIGGER
EVERYWHERE, OF_TYPE = Policy(EventAction.EXPIRE), Policy(ASK, event_type="story")
OF_CAMPAIGN, EXACT = Policy(TRIGGER, "c-1"), Policy(ASK, "c-1", "story", default_answer=True)
ORDER = (EXACT, OF_CAMPAIGN, OF_TYPE, EVERYWHERE)


@pytest.mark.parametrize("missing", range(5))
def test_the_most_specific_policy_counts(missing: int) -> None:
    """Of campaign and type, of the campaign, of the type, of all; then events expire."""
    found = Policies(ORDER[missing:]).of("c-1", "Story ")

    assert found == (*ORDER, EXPIRE)[missing]


@pytest.mark.parametrize(
    ("campaign", "event_type", "expected"),
    [("c-1", "party", OF_CAMPAIGN), ("c-2", "story", OF_TYPE), ("c-2", "", EVERYWHERE), ("", "STORY", OF_TYPE)],
)
def test_others_have_less_specific_policies(campaign: str, event_type: str, expected: Policy) -> None:
    assert Policies(ORDER).of(campaign, event_type) == expected


places = st.sampled_from(["", "c-1", "c-2"]), st.sampled_from(["", "story", "party"])


@given(found=st.lists(st.builds(Policy, st.sampled_from(EventAction), *places)), campaign=places[0], kind=places[1])
def test_a_policy_that_counts_fits_and_none_that_fits_is_more_specific(
    found: list[Policy], campaign: str, kind: str
) -> None:
    """Whatever else there is."""
    policies, by_place = Policies(found), {(one.campaign_id, one.event_type): one for one in found}
    fitting = [one for one in by_place.values() if one.campaign_id in ("", campaign) and one.event_type in ("", kind)]
    ranks = {one: (bool(one.campaign_id), bool(one.event_type)) for one in fitting}

    assert policies.of(campaign, kind) == max(ranks, key=lambda one: ranks[one], default=EXPIRE)
    assert policies.only_expire is all(one.action is EventAction.EXPIRE for one in by_place.values())
