"""Sends a check's requests, few and within a time, past the breaker: a check must work while that is open."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from jobs.errors import JobError, NotAuthorized, TransientError
from jobs.main_api.answers import Answer, Fault, Request
from jobs.main_api.errors import FieldError, error_of

MOST_REQUESTS: Final = 24
MOST_SILENCES: Final = 2  #: requests in a row without an answer, after which the main API has gone


class SendRequest(Protocol):
    """How requests are sent: PooledTransport.send."""

    def __call__(self, payload: Mapping[str, Any], *, request: Request = Request.QUERY) -> Answer:
        """Raise Fault or JobError unless there is a GraphQL response."""


class Unreachable(Exception):
    """The main API does not answer."""


class Asked(NamedTuple):
    """What became of a request: an answer, or why there is none."""

    answer: Answer = Answer({})
    failure: JobError | None = None

    @property
    def error(self) -> FieldError | None:
        """The first GraphQL error."""
        return self.answer.errors[0] if self.answer.errors else None

    @property
    def kind(self) -> type[JobError] | None:
        """What the client takes the failure for; None if there is none, or it says nothing."""
        return type(self.failure) if self.failure else self.error.kind if self.error else None

    @property
    def is_refused(self) -> bool:
        """Whether the credential is refused."""
        return self.kind is NotAuthorized

    @property
    def is_answered(self) -> bool:
        """Whether there is a GraphQL response of any kind."""
        return self.failure is None

    def why(self, name: str) -> str:
        """The error in words; empty if there is none."""
        return str(self.failure) if self.failure else str(error_of(name, self.error)) if self.error else ""


class Asker:
    """Counts requests and silences. Answers instead of asking once its requests or its time are used up."""

    def __init__(self, send: SendRequest, *, within_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.requests = 0
        self._send = send
        self._clock = clock
        self._within_s = within_s
        self._began = clock()
        self._silences = 0

    @property
    def seconds(self) -> float:
        return self._clock() - self._began

    def ask(
        self, document: str, variables: Mapping[str, Any] | None = None, *, request: Request = Request.QUERY
    ) -> Asked:
        """Send a request. Raises Unreachable if the main API does not answer, or asks for patience."""
        if self.requests >= MOST_REQUESTS or self.seconds >= self._within_s:
            limit = f"{MOST_REQUESTS} requests" if self.requests >= MOST_REQUESTS else f"{self._within_s:g} s"
            return Asked(failure=TransientError(f"not asked, because the check may take {limit} only"))
        self.requests += 1
        try:
            answer = self._send({"query": document, "variables": variables or {}}, request=request)
        except Fault as fault:
            self._silences += 1
            if self.requests == 1 or self._silences >= MOST_SILENCES:
                raise Unreachable(str(fault.error)) from fault
            return Asked(failure=fault.error)
        except TransientError as busy:  # HTTP 429, or no connection is free
            raise Unreachable(str(busy)) from busy
        except JobError as refused:
            self._silences = 0
            return Asked(failure=refused)
        self._silences = 0
        return Asked(answer)
