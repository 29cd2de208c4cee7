"""The requests that one attempt of a job makes: for whom, until when, and recorded as they end."""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

MOST_NOTED: Final = 40  #: per attempt; later ones are only counted


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One request, as the client's observers get it."""

    operation: str
    began: float  #: by time.perf_counter
    seconds: float
    result: str
    request_id: str


class Calls:
    """An attempt's requests in order; as a context manager it records this thread's requests."""

    __slots__ = ("_token", "campaign_id", "count", "deadline", "job_id", "noted")

    def __init__(self, *, campaign_id: str = "", job_id: str = "", deadline: float = float("inf")) -> None:
        self.campaign_id = campaign_id
        self.job_id = job_id
        self.deadline = deadline  #: of the attempt, by time.monotonic
        self.noted: list[ApiCall] = []
        self.count = 0

    def __enter__(self) -> "Calls":
        self._token = _of_this_attempt.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _of_this_attempt.reset(self._token)


_of_this_attempt: ContextVar[Calls | None] = ContextVar("calls", default=None)


def current() -> Calls | None:
    """Those of this thread's attempt; None for a request that belongs to no job."""
    return _of_this_attempt.get()


def note(call: ApiCall) -> None:
    """Record a request if it belongs to an attempt."""
    calls = _of_this_attempt.get()
    if calls is not None:
        calls.count += 1
        if len(calls.noted) < MOST_NOTED:
            calls.noted.append(call)
