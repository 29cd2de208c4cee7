"""Which of our errors an entry of errors[] is: a row for each code, status and message."""

from typing import Any

import pytest

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
from jobs.main_api.errors import (
    ERROR_OF_ANY_MESSAGE,
    ERROR_OF_CODE,
    ERROR_OF_MESSAGE,
    ERROR_OF_STATUS,
    error_of,
    read_error,
)


def entry(message: str = "no", code: str | None = None, status: object = None) -> dict[str, Any]:
    extensions = {"code": code, "status": status}
    return {"message": message, "extensions": {k: v for k, v in extensions.items() if v is not None}}


CASES: list[tuple[Any, type[JobError]]] = [
    (entry(code="NOT_FOUND"), NotFound),
    (entry(code="BAD_USER_INPUT"), PermanentError),
    (entry(code="BAD_REQUEST"), PermanentError),
    (entry(code="UNAUTHENTICATED"), NotAuthorized),
    (entry(code="FORBIDDEN"), NotAuthorized),
    (entry(code="OPTIMISTIC_LOCK"), VersionConflict),
    (entry(code="CONFLICT"), VersionConflict),
    (entry(code="TOO_MANY_REQUESTS"), TooManyRequests),
    (entry(code="GRAPHQL_PARSE_FAILED"), PermanentError),
    (entry('Cannot query field "x" on type "Settlement".', "GRAPHQL_VALIDATION_FAILED"), PermanentError),
    (entry(code="INTERNAL_SERVER_ERROR"), TransientError),
    (entry(code="INTERNAL_SERVER_ERROR", status=404), NotFound),
    (entry(code="INTERNAL_SERVER_ERROR", status="409"), VersionConflict),
    (entry(code="INTERNAL_SERVER_ERROR", status=500), TransientError),
    (entry(status=400), PermanentError),
    (entry(status=401), NotAuthorized),
    (entry(status=403), NotAuthorized),
    (entry(status=413), TooLarge),
    (entry(status=422), PermanentError),
    (entry(status=429), TooManyRequests),
    (entry("Effect e-1 is not active", "FORBIDDEN", 403), Inactive),
    (entry("Cannot execute inactive effect e-1"), Inactive),
    (entry("Account is not active", "UNAUTHENTICATED"), NotAuthorized),
    (entry("Your account is inactive", "FORBIDDEN"), NotAuthorized),
    (entry("The account of effect e-1 is inactive", "UNAUTHENTICATED"), NotAuthorized),
    (entry("Query is too complex: 1200. Maximum allowed complexity: 1000", "BAD_USER_INPUT"), TooComplex),
    (entry("The query exceeds the maximum complexity of 1000. Actual complexity is 1200"), TooComplex),
    (entry("The query exceeds the maximum cost of 1000. Actual cost is 1200"), TooComplex),
    (entry("Syntax Error: Aliases limit of 15 exceeded, found 50.", "GRAPHQL_VALIDATION_FAILED"), TooComplex),
    (entry("Syntax Error: Document contains more that 1000 tokens.", "GRAPHQL_PARSE_FAILED"), TooComplex),
    (entry("ThrottlerException: Too Many Requests"), TooManyRequests),
    (entry("Settlement with ID s-1 not found"), NotFound),
    (entry("Version mismatch: expected 3, got 4"), VersionConflict),
    (entry("Event e-1 is already completed"), PermanentError),
    (entry("Unauthorized"), NotAuthorized),
    (entry("jwt expired"), NotAuthorized),
    (entry("Token has expired"), NotAuthorized),
    (entry("Invalid or expired token"), NotAuthorized),
    (entry("Invalid API key provided"), NotAuthorized),
    (entry("API key is not valid"), NotAuthorized),
    (entry("Authentication required"), NotAuthorized),
    (entry("Lock token of settlement s-1 is taken"), TransientError),
    (entry("The event has expired"), TransientError),
    (entry("Forbidden resource"), NotAuthorized),
    (entry("request entity too large"), TooLarge),
    (entry("branchId must be a UUID"), PermanentError),
    (entry("boom"), TransientError),
    (entry("timed out", "NOT_FOUND?"), TransientError),
    ({"message": "not found", "path": "settlement"}, TransientError),
    ("not found", NotFound),
    (None, TransientError),
]


@pytest.mark.parametrize(("raw", "kind"), CASES)
def test_errors_are_classified(raw: object, kind: type[JobError]) -> None:
    """By code, else by status, else by message, else transient."""
    assert type(error_of("o", read_error(raw))) is kind


def test_each_row_of_the_tables_is_tried() -> None:
    """By a case above."""
    tried = [read_error(raw) for raw, _ in CASES]

    assert ERROR_OF_CODE.keys() <= {error.code for error in tried}
    assert ERROR_OF_STATUS.keys() <= {error.status for error in tried}
    for pattern in (*ERROR_OF_MESSAGE, *ERROR_OF_ANY_MESSAGE):
        assert any(pattern.search(error.message) for error in tried), pattern.pattern


@pytest.mark.parametrize(
    ("message", "entity_id", "named"),
    [
        ("Effect e-1 not found", "e-1", True),
        ("Effect e-10 not found", "e-1", False),
        ("Effect my-e-1 not found", "e-1", False),
        ("Effect 'e.1' not found", "e.1", True),
        ("Effect ex1 not found", "e.1", False),
        ("not found", "", False),
    ],
)
def test_messages_name_entities_as_whole_words(message: str, entity_id: str, named: bool) -> None:
    """An ID within a longer one does not count."""
    assert read_error({"message": message}).mentions(entity_id) is named
