"""Which of our errors an entry of errors[] is: by code, else by status, else by message, else transient.

The contract promises codes. The main API as it is served today gives some errors INTERNAL_SERVER_ERROR with a status,
and in production all errors a message only.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from jobs.errors import (
    Inactive,
    JobError,
    NotAuthorized,
    NotFound,
    PermanentError,
    TooComplex,
    TooLarge,
    TooManyRequests,
    TransientError,
    VersionConflict,
)
from scheduler_project.text import plain

LONGEST_MESSAGE: Final = 2000  #: characters kept of an error message
LONGEST_CODE: Final = 64
UNPLACED: Final = "unreadable path"  #: in place of the code of an error that may be about anything

ERROR_OF_CODE: Final[Mapping[str, type[JobError]]] = {
    "NOT_FOUND": NotFound,
    "BAD_USER_INPUT": PermanentError,
    "BAD_REQUEST": PermanentError,
    "UNAUTHENTICATED": NotAuthorized,
    "FORBIDDEN": NotAuthorized,
    "OPTIMISTIC_LOCK": VersionConflict,
    "CONFLICT": VersionConflict,
    "TOO_MANY_REQUESTS": TooManyRequests,
    # Of the GraphQL server itself, before anything is executed
    "GRAPHQL_PARSE_FAILED": PermanentError,
    "GRAPHQL_VALIDATION_FAILED": PermanentError,
}
ERROR_OF_STATUS: Final[Mapping[int, type[JobError]]] = {
    400: PermanentError,
    401: NotAuthorized,
    403: NotAuthorized,
    404: NotFound,
    409: VersionConflict,
    413: TooLarge,
    422: PermanentError,
    429: TooManyRequests,
}


def _pattern(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(rf"\b{one}\b" for one in alternatives), re.IGNORECASE)


_COMPLETED: Final = _pattern("already (?:completed|expired)")
_UNAUTHENTICATED: Final = _pattern(
    "unauthori[sz]ed",
    "unauthenticated",
    "not authenticated",
    "authentication (?:is )?required",
    "invalid (?:or expired )?(?:token|api key|credentials?)",
    "(?:jwt|token|api key) (?:is |has )?(?:expired|invalid|malformed|not valid)",
)
#: Messages that say more than the code beside them.
ERROR_OF_ANY_MESSAGE: Final[Mapping[re.Pattern[str], type[JobError]]] = {
    _pattern("effect .*(?:is not active|is inactive)", "inactive effect"): Inactive,
    _pattern("too complex", "complexity .*exceed(?:s|ed)?", "exceed(?:s|ed)? .*complexity"): TooComplex,
    _pattern("maximum cost", r"(?:alias(?:es)?|tokens?|cost) limit of \d+", r"more tha[nt] \d+ tokens"): TooComplex,
}
#: Messages of errors without code and status.
ERROR_OF_MESSAGE: Final[Mapping[re.Pattern[str], type[JobError]]] = {
    _COMPLETED: PermanentError,
    _pattern("not found", "does not exist", "no longer exists"): NotFound,
    _pattern("version mismatch", "version conflict", "optimistic lock(?:ing)?", "modified by another"): VersionConflict,
    _UNAUTHENTICATED: NotAuthorized,
    _pattern("forbidden", "access denied", "insufficient permissions?"): NotAuthorized,
    _pattern("too many requests"): TooManyRequests,
    _pattern("entity too large", "payload too large"): TooLarge,
    _pattern("must be an?", "got invalid value", "cannot query field", "validation failed"): PermanentError,
}


class FieldError(NamedTuple):
    """One entry of a GraphQL response's errors[]."""

    message: str
    code: str  #: empty if missing
    path: tuple[str | int, ...]  #: empty if missing
    status: int = 0  #: 0 if missing

    @property
    def alias(self) -> str:
        """The alias that failed, path[0]; empty if none is named."""
        return str(self.path[0]) if self.path else ""

    @property
    def kind(self) -> type[JobError] | None:
        """Our error for it; None if it says nothing of what happened."""
        if self.code == UNPLACED:
            return None
        if self.code != "UNAUTHENTICATED" and (said := _first(ERROR_OF_ANY_MESSAGE, self.message)):
            return said
        if self.code in ERROR_OF_CODE:
            return ERROR_OF_CODE[self.code]
        if self.status:
            return ERROR_OF_STATUS.get(self.status)
        return None if self.code else _first(ERROR_OF_MESSAGE, self.message)

    @property
    def is_told_by_message(self) -> bool:
        """Whether only its words say what kind of error it is."""
        return self.kind is not None and self.code not in ERROR_OF_CODE and self.status not in ERROR_OF_STATUS

    @property
    def is_about_credential(self) -> bool:
        """Whether it says, without naming a field, that our credential is not valid.

        FORBIDDEN does not: it may be about one object.
        """
        if self.path or self.kind is not NotAuthorized:
            return False
        if not self.code and not self.status:
            return bool(_UNAUTHENTICATED.search(self.message))
        return self.code == "UNAUTHENTICATED" or self.status == 401

    @property
    def is_about_request(self) -> bool:
        """Whether it is about the request as a whole: its size, our credential, or how many we send."""
        return self.is_about_credential or (not self.path and self.kind in (TooComplex, TooLarge, TooManyRequests))

    def mentions(self, entity_id: str) -> bool:
        """Whether the message names the entity: `e-1` is not in "e-10 not found"."""
        return bool(entity_id) and bool(re.search(rf"(?<![\w-]){re.escape(entity_id)}(?![\w-])", self.message))

    def refuses(self, alias: str) -> bool:
        """Whether this clearly rejects the whole field `alias`, so that it has not run.

        An error below the field, in one of its subfields, means that the field itself has run.
        """
        return self.kind is not None and self.path in ((), (alias,))


def read_error(raw: object) -> FieldError:
    """Parse an entry of errors[] of any shape.

    A path that cannot be read may lead below the field: such an error loses its code, so that it rejects nothing.
    """
    if not isinstance(raw, Mapping):
        return FieldError(_text(raw, LONGEST_MESSAGE), "", ())
    extensions, path = raw.get("extensions"), raw.get("path")
    given = extensions if isinstance(extensions, Mapping) else {}
    message, code = _text(raw.get("message", ""), LONGEST_MESSAGE), _text(given.get("code") or "", LONGEST_CODE)
    if path is None or (isinstance(path, list) and all(type(step) in (str, int) for step in path)):
        return FieldError(message, code, tuple(path or ()), _status(given.get("status")))
    return FieldError(f"{code} at {_text(path, LONGEST_CODE)}: {message}", UNPLACED, ())


def error_of(operation: str, error: FieldError) -> JobError:
    """Map an entry of errors[] to our exception; the message names the operation and the code."""
    label = error.code or (f"status {error.status}" if error.status else "no code")
    return (error.kind or TransientError)(f"{operation}: {label}: {error.message}")


def says_completed(error: FieldError) -> bool:
    """Whether a mutation is refused because the event is completed already, as its message says."""
    return error.refuses(error.alias) and bool(_COMPLETED.search(error.message))


def expires_nothing(error: FieldError) -> bool:
    """Whether expireEvent is refused because the event is completed already: by contract, with BAD_REQUEST.

    An error without a path may be about the request itself; then only its message tells.
    """
    by_contract = error.code == "BAD_REQUEST" and bool(error.path)
    return says_completed(error) or (by_contract and error.refuses(error.alias))


def _first(table: Mapping[re.Pattern[str], type[JobError]], message: str) -> type[JobError] | None:
    return next((kind for pattern, kind in table.items() if pattern.search(message)), None)


def _status(value: object) -> int:
    """
    >>> _status(404), _status("404"), _status("soon"), _status(True)
    (404, 404, 0, 0)
    """
    if isinstance(value, str) and value.isdecimal() and len(value) == 3:
        return int(value)
    return value if type(value) is int and 100 <= value <= 599 else 0


def _text(value: Any, longest: int) -> str:
    text = value if isinstance(value, str) else repr(value)[: longest + 1]
    return plain(text if len(text) <= longest else f"{text[:longest]}…")
