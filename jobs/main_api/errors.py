"""The contract's error codes and our exception for each."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from jobs.errors import JobError, NotAuthorized, NotFound, PermanentError, TransientError, VersionConflict
from scheduler_project.text import plain

LONGEST_MESSAGE: Final = 2000  #: characters kept of an error message
LONGEST_CODE: Final = 64

ERROR_OF_CODE: Final[Mapping[str, type[JobError]]] = {
    "NOT_FOUND": NotFound,
    "BAD_USER_INPUT": PermanentError,
    "BAD_REQUEST": PermanentError,
    "UNAUTHENTICATED": NotAuthorized,
    "FORBIDDEN": NotAuthorized,
    "OPTIMISTIC_LOCK": VersionConflict,
    "CONFLICT": VersionConflict,
}  # any other code, or none: TransientError


class FieldError(NamedTuple):
    """One entry of a GraphQL response's errors[]."""

    message: str
    code: str  #: empty if missing
    path: tuple[str | int, ...]  #: empty if missing

    @property
    def alias(self) -> str:
        """The alias that failed, path[0]; empty if none is named."""
        return str(self.path[0]) if self.path else ""

    def refuses(self, alias: str) -> bool:
        """Whether this rejects the whole field `alias`, by a code of the contract, so that it has not run.

        An error below the field, in one of its subfields, means that the field itself has run.
        """
        return self.code in ERROR_OF_CODE and self.path in ((), (alias,))


def read_error(raw: object) -> FieldError:
    """Parse an entry of errors[] of any shape.

    A path that cannot be read may lead below the field: such an error loses its code, so that it rejects nothing.
    """
    if not isinstance(raw, Mapping):
        return FieldError(_text(raw, LONGEST_MESSAGE), "", ())
    extensions, path = raw.get("extensions"), raw.get("path")
    code = _text(extensions.get("code") or "", LONGEST_CODE) if isinstance(extensions, Mapping) else ""
    message = _text(raw.get("message", ""), LONGEST_MESSAGE)
    if path is None or (isinstance(path, list) and all(type(step) in (str, int) for step in path)):
        return FieldError(message, code, tuple(path or ()))
    return FieldError(f"{code} at {_text(path, LONGEST_CODE)}: {message}", "", ())


def error_of(operation: str, error: FieldError) -> JobError:
    """Map an entry of errors[] to our exception; the message names the operation and the code."""
    kind = ERROR_OF_CODE.get(error.code, TransientError)
    return kind(f"{operation}: {error.code or 'no code'}: {error.message}")


def _text(value: Any, longest: int) -> str:
    text = value if isinstance(value, str) else repr(value)[: longest + 1]
    return plain(text if len(text) <= longest else f"{text[:longest]}…")
