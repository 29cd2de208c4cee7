"""Values of the main API's contract: records, times, and errors with their codes."""

from datetime import UTC, datetime
from typing import Any

Record = dict[str, Any]


class Refusal(Exception):
    """A GraphQL error with its code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.extensions = {"code": code}


def parse(text: str) -> datetime:
    """Parse a time of the contract. Refused with BAD_USER_INPUT if it is malformed."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        raise Refusal("BAD_USER_INPUT", f"{text!r} is not an ISO 8601 time of the years 0001 to 9999") from None


def stamp(moment: datetime) -> str:
    """Format a time as the main API does."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
