"""How the end of a handler decides about its job."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from jobs.errors import CircuitOpen, Outage, OutcomeUnknown, PermanentError, Skip, TransientError
from jobs.outcome import RetryPolicy, outcome_of
from jobs.states import State

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = RetryPolicy(max_attempts=3, base=timedelta(seconds=5))


@pytest.mark.parametrize(
    ("error", "failures", "to", "counts"),
    [
        (None, 0, State.SUCCEEDED, False),
        (Skip("gone"), 0, State.SKIPPED, False),
        (CircuitOpen(NOW + timedelta(seconds=9)), 2, State.RETRYING, False),
        (Outage("our database is away"), 2, State.RETRYING, False),
        (PermanentError("no"), 0, State.DEAD, True),
        (TransientError("later"), 1, State.RETRYING, True),
        (TransientError("later"), 2, State.DEAD, True),
        (OutcomeUnknown("?"), 0, State.RETRYING, True),
        (KeyError("a bug"), 0, State.RETRYING, True),
    ],
)
def test_outcome_of_every_error(error: BaseException | None, failures: int, to: State, counts: bool) -> None:
    """And only a failure that counts brings a dead letter nearer."""
    outcome = outcome_of(error, failures=failures, policy=POLICY, now=NOW, random=Random(1))

    assert (outcome.to, outcome.counts) == (to, counts)
    assert (outcome.due_at is not None) == (to is State.RETRYING)


def test_an_unknown_outcome_that_must_not_be_resent_is_dead() -> None:
    """An effect that may have been executed is not executed again by itself."""
    policy = RetryPolicy(max_attempts=3, base=timedelta(seconds=5), may_resend=False)

    assert outcome_of(OutcomeUnknown("?"), failures=0, policy=policy, now=NOW, random=Random(1)).to is State.DEAD


def test_retry_after_is_honoured() -> None:
    """It is the shortest wait; the backoff may be longer."""
    error = TransientError("slow down", retry_after=timedelta(minutes=9))
    outcome = outcome_of(error, failures=0, policy=POLICY, now=NOW, random=Random(1))

    assert outcome.due_at == NOW + timedelta(minutes=9)
