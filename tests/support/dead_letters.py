"""Dead letters made by the ledger itself, in any number."""

from collections.abc import Sequence

from django.utils import timezone

from jobs.ledger import Ending, moves
from jobs.outcome import Outcome
from jobs.service import Submission, submit_many
from jobs.states import State

REASON = "failure 3 of 3: main API: HTTP 500"


def make_dead_letters(
    number: int = 1,
    *,
    campaigns: Sequence[str] = ("c",),
    actor: str = "test",
    reason: str = REASON,
    error: str = "TransientError: main API: HTTP 500",
    unknown: bool = False,
) -> list[str]:
    """Submit and claim `number` jobs and record them as dead; return their ids."""
    now = timezone.now()
    work = [
        Submission(
            type="EVENT_EXPIRATION",
            campaign_id=campaigns[n % len(campaigns)],
            payload={},
            subject=f"{now.timestamp()} {n}",
        )
        for n in range(number)
    ]
    jobs = submit_many(work, actor=actor)
    ids = [str(job.id) for job, *_ in jobs]
    for start in range(0, number, 500):
        part = ids[start : start + 500]
        claimed = moves.cycle([], part, actor="worker:w", worker="w", now=timezone.now())[1]
        ends = [Ending(job, Outcome(State.DEAD, reason, counts=True, unknown=unknown), error=error) for job in claimed]
        moves.cycle(ends, [], actor="worker:w", worker="w", now=timezone.now())
    return ids
