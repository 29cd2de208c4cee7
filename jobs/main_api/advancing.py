"""Reads what an answer says about advancing a campaign's world time."""

from typing import Final

from jobs.errors import JobError
from jobs.main_api.answers import Answer, Request
from jobs.main_api.listing import read_one
from jobs.main_api.model import AdvancedClock
from jobs.main_api.updating import no_answer, read_mutation

ADVANCE: Final = "advanceWorldTime"


def read_advance(answer: Answer, campaign_id: str) -> AdvancedClock:
    """Return the clock after the move. Raises the answer's error, or OutcomeUnknown if the answer says nothing."""
    if answer.errors:
        found = read_one(ADVANCE, ADVANCE, answer, AdvancedClock) or no_answer(ADVANCE, f"campaign {campaign_id}")
    else:
        found = read_mutation(ADVANCE, ADVANCE, answer, AdvancedClock, entity_id=campaign_id)
    if isinstance(found, JobError):
        raise found
    if found.campaign_id != campaign_id:
        raise Request.UPDATE.unclear(f"{ADVANCE}: asked for campaign {campaign_id}, got {found.campaign_id[:100]}")
    return found
