"""Waits: attempts that found that the job must wait. They are neither failures nor runs, and are counted apart."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from jobs.errors import AwaitsAnswer, CircuitOpen, MustWait, NoPermit, Outage


class Wait(StrEnum):
    """What a job waits for, besides its time. The values are `outcome` in jobs.models.OutcomeMinute."""

    BREAKER = "BREAKER"  #: the circuit breaker blocks calls to the main API
    LIMIT = "LIMIT"  #: the main API's limits left no room in time
    ANSWER = "ANSWER"  #: an operator is asked first
    OUTAGE = "OUTAGE"  #: our own database or Redis is down
    OTHER = "OTHER"  #: another job, or the rest of a long piece of work


_BY_ERROR: Final[Mapping[type[Exception], Wait]] = {
    CircuitOpen: Wait.BREAKER,
    NoPermit: Wait.LIMIT,
    AwaitsAnswer: Wait.ANSWER,
    MustWait: Wait.OTHER,
    Outage: Wait.OUTAGE,
}
_BY_NAME: Final = {error.__name__: wait for error, wait in _BY_ERROR.items()}
ERRORS: Final = tuple(_BY_NAME)  #: names of errors that say that a job must wait, as its `error` begins


def wait_of(error: BaseException) -> Wait:
    """What a MustWait or an Outage waits for."""
    return next(wait for kind in type(error).__mro__ if (wait := _BY_ERROR.get(kind)))


def error_of(wait: Wait) -> str:
    """The name of the error that says that a job waits for this."""
    return next(name for name, of in _BY_NAME.items() if of is wait)


def wait_in(error: str) -> Wait | None:
    """What a job waits for, by its recorded error; None for a failure, or no error.

    >>> wait_in("CircuitOpen: circuit breaker open"), wait_in("TransientError: HTTP 503")
    (<Wait.BREAKER: 'BREAKER'>, None)
    """
    return _BY_NAME.get(error.partition(":")[0])
