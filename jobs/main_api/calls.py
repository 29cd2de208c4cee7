"""The requests that one attempt of a job made, noted as they end."""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

MOST_NOTED: Final = 40  #: of one attempt; of what comes after them only the number is kept


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One request, for whoever observes the client."""

    operation: str
    began: float  #: by time.perf_counter
    seconds: float
    result: str
    request_id: str


class Calls:
    """What an attempt asked of the main API, in order; as a context manager it notes this thread's requests."""

    __slots__ = ("_token", "count", "noted")

    def __init__(self) -> None:
        self.noted: list[ApiCall] = []
        self.count = 0

    def __enter__(self) -> "Calls":
        self._token = _of_this_attempt.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _of_this_attempt.reset(self._token)


_of_this_attempt: ContextVar[Calls | None] = ContextVar("calls", default=None)


def note(call: ApiCall) -> None:
    """Note a request, where an attempt is under way."""
    calls = _of_this_attempt.get()
    if calls is not None:
        calls.count += 1
        if len(calls.noted) < MOST_NOTED:
            calls.noted.append(call)
