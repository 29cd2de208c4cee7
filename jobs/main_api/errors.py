"""The contract's error codes, and the class of ours for each."""

from collections.abc import Mapping
from typing import Any, Final

from jobs.errors import JobError, NotAuthorized, NotFound, PermanentError, TransientError, VersionConflict

ERROR_OF_CODE: Final[Mapping[str, type[JobError]]] = {
    "NOT_FOUND": NotFound,
    "BAD_USER_INPUT": PermanentError,
    "BAD_REQUEST": PermanentError,
    "UNAUTHENTICATED": NotAuthorized,
    "FORBIDDEN": NotAuthorized,
    "OPTIMISTIC_LOCK": VersionConflict,
    "CONFLICT": VersionConflict,
}  # anything else, or none: TransientError


def code_of(error: Mapping[str, Any]) -> str:
    """The code of one entry of a GraphQL answer's errors[]; empty when it has none."""
    extensions = error.get("extensions")
    return str(extensions.get("code") or "") if isinstance(extensions, Mapping) else ""


def error_of(operation: str, error: Mapping[str, Any]) -> JobError:
    """The error of ours for one entry of errors[]; its message names the operation and the code."""
    code = code_of(error)
    kind = ERROR_OF_CODE.get(code, TransientError)
    return kind(f"{operation}: {code or 'no code'}: {error.get('message', '')}")


def alias_of(error: Mapping[str, Any]) -> str:
    """The alias that failed: path[0]; empty when the whole request did."""
    path = error.get("path")
    return str(path[0]) if isinstance(path, list) and path else ""
