"""The outcome of an attempt: the one place that decides between success, retry and dead letter.

When a retry is due is in backoff.py. Before that, attempt.judge corrects an error by what is known about sending.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Final

import msgspec

from jobs.backoff import backoff
from jobs.errors import (
    LostBeforeSending,
    MustWait,
    NotBegun,
    Outage,
    OutcomeUnknown,
    PermanentError,
    Skip,
    Stopped,
    TransientError,
)
from jobs.states import State
from jobs.waits import Wait, wait_of

#: Prefix of the reason of a dead letter that may have done its work and must not do it twice.
UNKNOWN: Final = "outcome unknown, not sent again"
#: `outcome` in jobs.models.OutcomeMinute of claims that were handed back before they began.
NOT_BEGUN: Final = "NOT_BEGUN"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When to retry a failed attempt."""

    max_attempts: int
    """Failures after which the job is a dead letter."""
    base: timedelta
    """Backoff after the first failure."""
    idempotent: bool = True
    """Whether the work can be done twice without harm."""
    may_resend: bool = True
    """Whether to retry after an unknown outcome."""


class Outcome(msgspec.Struct, frozen=True):
    """What happens to a job after an attempt."""

    to: State
    reason: str
    due_at: datetime | None = None
    counts: bool = False  #: counts against the policy's max_attempts
    unknown: bool = False  #: the work may have been done, and must not be done twice
    wait: Wait | None = None  #: what the job waits for, if the attempt only found that
    begun: bool = True  #: False: it was handed back before

    @property
    def is_run(self) -> bool:
        """Whether its run time and its start delay count."""
        return self.begun and self.wait is None

    @property
    def counted_as(self) -> str:
        """`outcome` in jobs.models.OutcomeMinute."""
        return (self.wait or self.to).value if self.begun else NOT_BEGUN


def outcome_of(
    error: BaseException | None, *, failures: int, policy: RetryPolicy, now: datetime, random: Random
) -> Outcome:
    """Decide what happens to a job from how its handler ended. Pure; nothing else decides this."""
    unknown = not policy.idempotent and (
        isinstance(error, OutcomeUnknown) or (isinstance(error, Stopped) and error.sent)
    )
    match error:
        case None:
            return Outcome(State.SUCCEEDED, "done")
        case Skip():
            return Outcome(State.SKIPPED, str(error))
        case MustWait() | Outage():
            until = error.until if isinstance(error, MustWait) else now + policy.base
            spread = timedelta(seconds=random.random())  # so that they do not all retry at the same instant
            return Outcome(State.RETRYING, str(error), due_at=max(until, now) + spread, wait=wait_of(error))
        case NotBegun():
            return Outcome(State.QUEUED, str(error), begun=False)
        case PermanentError():
            reason = str(error) if isinstance(error, Stopped) else f"permanent: {error}"
            return Outcome(State.DEAD, reason, counts=True, unknown=unknown)
        case OutcomeUnknown() if not policy.may_resend:
            return Outcome(State.DEAD, f"{UNKNOWN}: {error}", counts=True, unknown=unknown)
        case _ if failures + 1 >= policy.max_attempts:
            reason = f"failure {failures + 1} of {policy.max_attempts}: {_text_of(error)}"
            return Outcome(State.DEAD, reason, counts=True, unknown=unknown)
        case LostBeforeSending():
            return Outcome(State.QUEUED, str(error), counts=True)
        case _:  # transient, or a bug of ours that the next release may fix
            wait = backoff(policy.base, failures + 1, random=random)
            if isinstance(error, TransientError) and error.retry_after:
                wait = max(wait, error.retry_after)
            reason = f"failure {failures + 1} of {policy.max_attempts}: {_text_of(error)}"
            return Outcome(State.RETRYING, reason, due_at=now + wait, counts=True, unknown=unknown)


def _text_of(error: BaseException) -> str:
    return str(error) or type(error).__name__
