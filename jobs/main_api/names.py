"""Learns whether the main API can serve the names of its objects; where it cannot, IDs are shown in their place."""

import time
from typing import Final

import structlog

from jobs.main_api.answers import Answer
from jobs.main_api.errors import ERROR_OF_CODE

log = structlog.get_logger(__name__)
BELIEVED_S: Final = 3600.0  #: how long names are not asked for once they could not be read
DOUBTED_S: Final = 60.0  #: seconds between two attempts to read without names what failed with them


class Names:
    """What one process knows; a race between threads costs a request."""

    def __init__(self) -> None:
        self._unreadable_until = 0.0
        self._doubt_at = 0.0

    def are_readable(self) -> bool:
        """Whether to ask for names."""
        return time.monotonic() >= self._unreadable_until

    def may_have_failed(self, answer: Answer) -> bool:
        """Whether the names may be why a response with names has no data; True at most once a minute."""
        if not _may_be_about_names(answer) or time.monotonic() < self._doubt_at:
            return False
        self._doubt_at = time.monotonic() + DOUBTED_S
        return True

    def note_unreadable(self, answer: Answer) -> None:
        """The same request without names has succeeded."""
        self._unreadable_until = time.monotonic() + BELIEVED_S
        log.warning("main_api.names_unreadable", error=answer.errors[0].message, next="IDs are shown for an hour")


def has_failed(answer: Answer) -> bool:
    """Whether a response with errors has no data at all."""
    return bool(answer.errors) and not any(value is not None for value in answer.data.values())


def _may_be_about_names(answer: Answer) -> bool:
    named = any(error.path[-1:] == ("name",) for error in answer.errors)
    return named or (has_failed(answer) and any(error.code not in ERROR_OF_CODE for error in answer.errors))
