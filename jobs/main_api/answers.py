"""What a response, or its absence, says about the request: the one place that decides whether a mutation was done.

| response | query | update | mutation that must not be sent twice |
| --- | --- | --- | --- |
| never sent: no connection, no room within the limits, breaker open | retry | retry | not done: retry |
| HTTP 429 | retry after Retry-After | same | not done: retry |
| HTTP 413, or errors that all say that the request is too complex, whatever the status
  | permanent; a batch is halved | same | not done: permanent; unknown with HTTP 5xx |
| HTTP 401 or 403 | NotAuthorized | same | not done: NotAuthorized |
| an error for exactly this field, clear by code or status, or by a message that names the effect (errors.py)
  | by kind | by kind | not done: by kind |
| `success: false` | | | not done: permanent |
| `success: true` | | | done, even with errors beside it |
| everything else: HTTP 5xx, timeout, lost connection, more than 8 MB, not JSON, neither data nor errors, an error
  without a code or below the field, data that does not match the contract, for mutations sent once a key that occurs
  twice | retry | retry | unknown |

A status that says it all counts although its body is lost, too large or in an unknown encoding.

Whether to retry after an unknown outcome is decided in jobs/outcome.py, by EFFECT_UNKNOWN_OUTCOME.
"""

from collections.abc import Mapping
from datetime import timedelta
from enum import Enum, auto
from typing import Any, Final, NamedTuple

from jobs.errors import JobError, NotAuthorized, OutcomeUnknown, TooComplex, TooLarge, TooManyRequests, TransientError
from jobs.main_api import wire
from jobs.main_api.errors import FieldError, read_error

MOST_ERRORS: Final = 1000  #: entries of errors[] that are read
_SHOWN: Final = 80  #: bytes of an unreadable body in the error


class Request(Enum):
    """The kind of request, which decides what an unclear response means."""

    QUERY = auto()
    UPDATE = auto()  #: a mutation that is safe to send again
    ONCE = auto()  #: a mutation that must not be sent twice

    def unclear(self, message: str, *, retry_after: timedelta | None = None) -> TransientError:
        """The error for a response that does not say whether the request was carried out."""
        match self:
            case Request.QUERY:
                return TransientError(message, retry_after=retry_after)
            case _:
                return OutcomeUnknown(message, may_resend=self is Request.UPDATE, retry_after=retry_after)


class Fault(Exception):
    """A sign that the main API is down, which the circuit breaker counts. The caller gets `error`."""

    def __init__(self, error: JobError) -> None:
        super().__init__(str(error))
        self.error = error


class Reply(NamedTuple):
    """An HTTP response."""

    status: int
    body: bytes
    retry_after: timedelta | None = None
    seconds: float = 0.0  #: from sending to the first byte of the answer, without making the connection


class Answer(NamedTuple):
    """A GraphQL response: data, errors or both."""

    data: Mapping[str, Any]  #: empty if it was null
    errors: tuple[FieldError, ...] = ()


def is_clear(status: int) -> bool:
    """Whether the status alone says what the response means, whatever its body."""
    return status in (401, 403, 413, 429) or status >= 500


def read_reply(reply: Reply, request: Request) -> Answer:
    """Parse an HTTP response as a GraphQL response, by the table above.

    Raises Fault for 5xx and for anything but a GraphQL response, NotAuthorized, TooLarge and TooManyRequests.
    """
    status = reply.status
    match status:
        case 401 | 403:
            raise NotAuthorized(f"main API: HTTP {status}: it refuses API_SERVICE_ACCOUNT_TOKEN")
        case 413:
            raise TooLarge("main API: HTTP 413: the request is too large")
        case 429:
            raise TooManyRequests("main API: HTTP 429: too many requests", retry_after=reply.retry_after)
        case _ if status >= 500:
            if request is not Request.ONCE and (refused := _too_complex(reply.body)):
                return Answer({}, refused)
            raise Fault(request.unclear(f"main API: HTTP {status}", retry_after=reply.retry_after))
    try:
        found = wire.decode(reply.body, unique_keys=request is Request.ONCE)
    except wire.NestedTooDeeply as error:  # an answer all the same; a smaller batch may leave it out
        text = f"main API: {error}"
        raise (TooLarge(text) if request is Request.QUERY else request.unclear(text)) from None
    except ValueError:
        found = None
    data, errors = (found.get("data"), found.get("errors")) if isinstance(found, Mapping) else (None, None)
    if not isinstance(data, Mapping):
        data = None
    if data is None and not errors:
        shown = repr(reply.body[:_SHOWN])
        raise Fault(request.unclear(f"main API: HTTP {status} with neither data nor errors: {shown}"))
    return Answer(data or {}, tuple(map(read_error, _entries(errors))))


def _too_complex(body: bytes) -> tuple[FieldError, ...]:
    """The errors of a response, if they all say that the request is too complex: a server may give what it refuses
    before it executes anything a status of 5xx.
    """
    try:
        found = wire.decode(body, unique_keys=False)
    except ValueError:
        return ()
    entries = _entries(found.get("errors")) if isinstance(found, Mapping) and found.get("data") is None else []
    errors = tuple(map(read_error, entries))
    return errors if all(error.kind is TooComplex and not error.path for error in errors) else ()


def refusal_of(answer: Answer, field: str, *, about: str) -> FieldError | None:
    """The error that rejects the request's only `field`; None if the field may have run.

    An error that only its message explains rejects it if it names the object that the request is `about`. Too many
    requests, unless HTTP says so, may be those that the field itself has sent elsewhere.
    """
    clear = (
        e.refuses(field) and e.kind is not TooManyRequests and (not e.is_told_by_message or e.mentions(about))
        for e in answer.errors
    )
    if answer.data.get(field) is not None or not all(clear):
        return None
    return answer.errors[0] if answer.errors else None


def _entries(errors: object) -> list[Any]:
    """Return the entries of errors[]. Where some are cut off, the last says so and makes no refusal clear."""
    found = errors if isinstance(errors, list) else [errors] if errors else []
    if len(found) <= MOST_ERRORS:
        return found
    return [*found[:MOST_ERRORS], {"message": f"{len(found) - MOST_ERRORS:,} more errors"}]
