"""Reads what an answer says about advancing a campaign's world time."""

from typing import Final

from jobs.errors import JobError, TransientError
from jobs.main_api.answers import Answer
from jobs.main_api.listing import read_one
from jobs.main_api.model import AdvancedClock
from jobs.main_api.updating import no_answer

ADVANCE: Final = "advanceWorldTime"


def read_advance(answer: Answer, campaign_id: str) -> AdvancedClock:
    """Return the clock as it was moved. Raises the error of the answer, or one for an answer that says nothing."""
    found = read_one(ADVANCE, ADVANCE, answer, AdvancedClock)
    if found is None:
        raise no_answer(ADVANCE, f"campaign {campaign_id}")
    if isinstance(found, JobError):
        raise found
    if found.campaign_id != campaign_id:
        raise TransientError(f"{ADVANCE}: asked for campaign {campaign_id}, got {found.campaign_id[:100]}")
    return found
