"""How jobs of a type are retried, and how long an attempt may take: what an operator has set goes before the type's
declaration, and that before the environment.
"""

from datetime import timedelta
from functools import lru_cache

from django.conf import settings

from jobs import overrides
from jobs.errors import Refused
from jobs.outcome import RetryPolicy
from jobs.overrides import Overrides
from jobs.registry import type_named


def policy_of(job_type: str) -> RetryPolicy:
    """How jobs of this type are retried now."""
    return cached_policy(job_type, overrides.of(job_type))


@lru_cache(maxsize=256)
def cached_policy(job_type: str, own: Overrides) -> RetryPolicy:
    """Made anew whenever an operator changes it, not for each job."""
    try:
        declared = type_named(job_type)
    except Refused:  # a type that this release no longer has
        return RetryPolicy(max_attempts=1, base=settings.QUEUE_RETRY_BACKOFF, idempotent=False, may_resend=False)
    return RetryPolicy(
        max_attempts=own.max_attempts or declared.max_attempts or settings.QUEUE_MAX_RETRIES,
        base=own.backoff or settings.QUEUE_RETRY_BACKOFF,
        idempotent=declared.idempotent,
        may_resend=declared.idempotent or settings.EFFECT_UNKNOWN_OUTCOME == "retry",
    )


def time_limit_of(job_type: str) -> timedelta:
    """How long an attempt, and a batch of them, may take."""
    limit: timedelta = settings.JOB_TIMEOUT
    try:
        return overrides.of(job_type).timeout or type_named(job_type).timeout or limit
    except Refused:
        return limit
